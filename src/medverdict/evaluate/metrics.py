"""Metrics of a binary judge, each as one weighted formula that serves the value and every resample alike.

A metric takes a `Sample` of n rows and weights [r, n] (row r of the weights is one resample; all ones is the
sample itself) and gives [r] values, nan where it is undefined. `undefined` says why, in words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medverdict.records import Prediction

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

BINS = 15
"""Bins of the calibration error, of equal mass (Nixon et al. 2019, arXiv:1904.01685)."""


@dataclass(frozen=True)
class Sample:
    """Judged rows as arrays of length n."""

    truth: Bools
    """The label is TRUE."""
    verdict: Bools
    """The verdict is TRUE; where it was ABSTAIN, the side that p_true leans to."""
    margin: Floats
    """Score whose order the AUC measures."""
    p_true: Floats
    """Probability of TRUE."""
    group: Ints
    """Family of each row, 0..groups-1."""

    def __len__(self) -> int:
        return len(self.truth)

    @property
    def correct(self) -> Bools:
        """[n] verdict equals label."""
        return np.equal(self.truth, self.verdict)

    @property
    def groups(self) -> int:
        """Number of families."""
        return int(self.group.max()) + 1 if len(self.group) else 0


def says_true(prediction: Prediction) -> bool:
    """The verdict without abstention: headline figures never abstain."""
    return prediction.p_true > 0.5 if prediction.verdict == "ABSTAIN" else prediction.verdict == "TRUE"


def is_right(prediction: Prediction) -> bool:
    """Whether that verdict equals the label."""
    return says_true(prediction) == (prediction.label == "TRUE")


def group_index(predictions: Sequence[Prediction]) -> Ints:
    """[n] family numbers; a row without a group is a family of its own."""
    keys = [f"g{p.group}" if p.group else f"i{p.claim_id}" for p in predictions]
    return np.unique(np.array(keys, dtype=np.str_), return_inverse=True)[1].astype(np.int64)


def to_sample(predictions: Sequence[Prediction]) -> Sample:
    """Stored predictions as arrays, in their order."""
    return Sample(
        truth=np.array([p.label == "TRUE" for p in predictions], dtype=np.bool_),
        verdict=np.array([says_true(p) for p in predictions], dtype=np.bool_),
        margin=np.array([p.margin for p in predictions], dtype=np.float64),
        p_true=np.array([p.p_true for p in predictions], dtype=np.float64),
        group=group_index(predictions),
    )


def accuracy(sample: Sample, weights: Floats) -> Floats:
    """Share of right verdicts; undefined on one class, where a constant answer would score 100 %."""
    tt, tf, ft, ff = _confusion(sample, weights)
    return _only_two_classes(_ratio(tt + ff, tt + tf + ft + ff), tt + tf, ft + ff)


def balanced_accuracy(sample: Sample, weights: Floats) -> Floats:
    """Mean of TRUE recall and FALSE recall."""
    return (true_recall(sample, weights) + false_recall(sample, weights)) / 2


def macro_f1(sample: Sample, weights: Floats) -> Floats:
    """Mean of the F1 of TRUE and the F1 of FALSE."""
    tt, tf, ft, ff = _confusion(sample, weights)
    both = (_ratio(2 * tt, 2 * tt + tf + ft) + _ratio(2 * ff, 2 * ff + tf + ft)) / 2
    return _only_two_classes(both, tt + tf, ft + ff)


def mcc(sample: Sample, weights: Floats) -> Floats:
    """Matthews correlation of verdict and label; undefined where either is constant."""
    tt, tf, ft, ff = _confusion(sample, weights)
    return _ratio(tt * ff - tf * ft, np.sqrt((tt + ft) * (tt + tf) * (ff + ft) * (ff + tf)))


def auc(sample: Sample, weights: Floats) -> Floats:
    """Chance that a TRUE row has a higher margin than a FALSE row, ties counted half (Mann-Whitney)."""
    if not len(sample):
        return np.full(len(weights), np.nan)
    order = np.argsort(sample.margin, kind="stable")
    margins, truth = sample.margin[order], sample.truth[order]
    starts = np.flatnonzero(np.r_[True, margins[1:] != margins[:-1]])
    ordered = weights[:, order]
    positive = np.add.reduceat(ordered * truth, starts, axis=1)
    negative = np.add.reduceat(ordered * ~truth, starts, axis=1)
    below = np.cumsum(negative, axis=1) - negative
    wins = (positive * (below + negative / 2)).sum(axis=1)
    return _ratio(wins, positive.sum(axis=1) * negative.sum(axis=1))


def brier(sample: Sample, weights: Floats) -> Floats:
    """Mean squared distance of p_true from the truth: 0 is perfect, .25 is what a constant .5 gets."""
    positive, negative = weights @ sample.truth, weights @ ~sample.truth
    error = weights @ np.square(sample.p_true - sample.truth)
    return _only_two_classes(_ratio(error, positive + negative), positive, negative)


def calibration_error(sample: Sample, weights: Floats) -> Floats:
    """ECE of p_true: mean |share TRUE - mean p_true| over 15 equal-mass bins whose edges the whole sample sets."""
    positive, negative = weights @ sample.truth, weights @ ~sample.truth
    gap = sample.truth - sample.p_true
    member = equal_mass_bins(sample.p_true, BINS)[:, None] == np.arange(BINS)
    error = np.abs(weights @ (member * gap[:, None])).sum(axis=1)
    return _only_two_classes(_ratio(error, positive + negative), positive, negative)


def true_recall(sample: Sample, weights: Floats) -> Floats:
    """Share of TRUE rows that were called TRUE."""
    tt, tf, _, _ = _confusion(sample, weights)
    return _ratio(tt, tt + tf)


def false_recall(sample: Sample, weights: Floats) -> Floats:
    """Share of FALSE rows that were called FALSE."""
    _, _, ft, ff = _confusion(sample, weights)
    return _ratio(ff, ft + ff)


Formula = Callable[[Sample, Floats], Floats]

METRICS: dict[str, Formula] = {
    "accuracy": accuracy,
    "balanced accuracy": balanced_accuracy,
    "macro-F1": macro_f1,
    "MCC": mcc,
    "AUC": auc,
    "Brier score": brier,
    "calibration error": calibration_error,
    "TRUE recall": true_recall,
    "FALSE recall": false_recall,
}


def undefined(sample: Sample) -> str:
    """Why a metric without a value has none."""
    if not len(sample):
        return "no rows"
    if sample.truth.all() or not sample.truth.any():
        return f"every label is {'TRUE' if sample.truth[0] else 'FALSE'}"
    return f"every verdict is {'TRUE' if sample.verdict[0] else 'FALSE'}"


def equal_mass_bins(values: Floats, bins: int) -> Ints:
    """[n] bin of each value, so that bins hold equally many rows; equal values share a bin."""
    edges = np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1]) if len(values) else np.zeros(0)
    return np.searchsorted(edges, values, side="left").astype(np.int64)


def _confusion(sample: Sample, weights: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """[r] weights of TRUE called TRUE, TRUE called FALSE, FALSE called TRUE, FALSE called FALSE."""
    t, v = sample.truth, sample.verdict
    cells = np.stack([t & v, t & ~v, ~t & v, ~t & ~v], axis=1).astype(np.float64)
    tt, tf, ft, ff = (weights @ cells).T
    return tt, tf, ft, ff


def _ratio(above: Floats, below: Floats) -> Floats:
    result: Floats = np.divide(above, below, out=np.full(len(above), np.nan), where=below > 0)
    return result


def _only_two_classes(values: Floats, positive: Floats, negative: Floats) -> Floats:
    return np.where((positive > 0) & (negative > 0), values, np.nan)
