"""From margins to probabilities and verdicts: everything here is fitted on dev, and only there."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import expit, ndtr

from medverdict.errors import DataError
from medverdict.evaluate.metrics import Bools, Floats, Ints
from medverdict.records import Calibration, Label, Verdict

FEWEST_ROWS = 20
"""Dev rows below which nothing is fitted."""
ABSTAIN_COVERAGE = 0.8
"""By default abstention leaves out the least sure fifth."""
_CUTS = 1000
"""Thresholds tried; the smoothed curve has no finer detail."""


def fit_calibration(
    margins: npt.ArrayLike,
    labels: Sequence[Label],
    fitted_on: str,
    target_accuracy: float | None = None,
    target_coverage: float = ABSTAIN_COVERAGE,
) -> Calibration:
    """Threshold, temperature and abstention point from dev rows.

    `margins` [n] are raw; `fitted_on` is the sha256 of the dev split. With fewer than 20 rows or one label the
    model's own tilt stands: threshold 0, temperature 1, no abstention. The abstention point is the lowest
    confidence at which the answered dev rows reach `target_accuracy` where one is given (None if none does),
    else the confidence that `target_coverage` of the dev rows have.
    Raises DataError when a margin is not finite, lengths differ or a target is not a share.
    """
    values, truth = _checked(margins, labels)
    for name, target in (("target accuracy", target_accuracy), ("target coverage", target_coverage)):
        if target is not None and not 0 < target <= 1:
            raise DataError(f"{name} is {target}; expected a share above 0 and at most 1, such as 0.9.")
    if len(values) < FEWEST_ROWS or truth.all() or not truth.any():
        return Calibration(temperature=1.0, threshold=0.0, abstain_below=None, n=len(values), fitted_on=fitted_on)
    threshold = best_threshold(values, truth)
    temperature = best_temperature(values - threshold, truth)
    p_true = expit((values - threshold) / temperature)
    if target_accuracy is None:
        abstain_below: float | None = confidence_for_coverage(p_true, target_coverage)
    else:
        abstain_below = confidence_for_accuracy(p_true, truth, target_accuracy)
    return Calibration(
        temperature=temperature,
        threshold=threshold,
        abstain_below=abstain_below,
        n=len(values),
        fitted_on=fitted_on,
    )


def judge(margins: npt.ArrayLike, calibration: Calibration, abstain: bool = False) -> tuple[list[float], list[Verdict]]:
    """p_true and verdict of each raw margin [n]: TRUE above the threshold, ABSTAIN below the confidence if asked.

    Raises DataError when a margin is not finite, or when abstention is asked for and dev gave no point for it.
    """
    values = np.asarray(margins, dtype=np.float64)
    if not np.isfinite(values).all():
        raise DataError(
            f"margin {int(np.argmin(np.isfinite(values))) + 1} is not a finite number; the model is broken."
        )
    if abstain and calibration.abstain_below is None:
        raise DataError(
            f"this run can't abstain: its {calibration.n} dev rows gave no confidence to abstain below. "
            "Ask without abstention, or calibrate on more dev rows or for a lower accuracy."
        )
    p_true = expit((values - calibration.threshold) / calibration.temperature)
    unsure = confidence(p_true) < (calibration.abstain_below or 0.0) if abstain else np.zeros(len(values), np.bool_)
    verdicts: list[Verdict] = [
        "ABSTAIN" if u else "TRUE" if above else "FALSE"
        for u, above in zip(unsure, values > calibration.threshold, strict=True)
    ]
    return p_true.tolist(), verdicts


def confidence(p_true: Floats) -> Floats:
    """[n] probability of the side that was taken: max(p, 1 - p)."""
    result: Floats = np.maximum(p_true, 1 - p_true)
    return result


def best_threshold(margins: Floats, truth: Bools) -> float:
    """The cut with the highest smoothed accuracy on margins [n] of both labels.

    Raw accuracy is a step curve with chance peaks; each step is blurred by a normal curve whose width shrinks with
    n (smoothed maximum score: Horowitz 1992, Econometrica 60:505), which takes the middle of a plateau and of the
    gap between separable labels. Candidates are midpoints between neighbouring margins, all of them up to 1,000.
    """
    levels = np.unique(margins)
    if len(levels) == 1:
        return 0.0
    width = float(margins.std()) * len(margins) ** -0.2
    midpoints = (levels[1:] + levels[:-1]) / 2
    cuts = midpoints[np.unique(np.linspace(0, len(midpoints) - 1, _CUTS).round().astype(np.int64))]
    sides = np.where(truth, 1.0, -1.0)
    scores = [float(ndtr(sides * (margins - cut) / width).mean()) for cut in cuts]
    return float(cuts[int(np.argmax(scores))])


def best_temperature(shifted: Floats, truth: Bools) -> float:
    """The temperature with the lowest log loss on margins minus threshold [n] (Guo et al. 2017, arXiv:1706.04599).

    Targets are smoothed as in Platt (1999), so that separable rows don't ask for certainty. Searched between a
    hundredth and a hundred times the spread of the margins.
    """
    positive = truth.sum()
    target = np.where(truth, (positive + 1) / (positive + 2), 1 / (len(truth) - positive + 2))
    spread = float(np.abs(shifted).mean()) or 1.0

    def log_loss(log_temperature: float) -> float:
        scaled = shifted / math.exp(log_temperature)
        return float(np.mean(np.logaddexp(0, scaled) - target * scaled))

    bounds = (math.log(spread / 100), math.log(spread * 100))
    return math.exp(float(minimize_scalar(log_loss, bounds=bounds, method="bounded").x))


def confidence_for_coverage(p_true: Floats, coverage: float) -> float:
    """The highest confidence that at least `coverage` of the rows [n] have."""
    ordered = np.sort(confidence(p_true))[::-1]
    return float(ordered[math.ceil(coverage * len(ordered)) - 1])


def confidence_for_accuracy(p_true: Floats, truth: Bools, accuracy: float) -> float | None:
    """The lowest confidence at and above which the rows reach `accuracy`; None where fewer than 20 rows would."""
    sure = confidence(p_true)
    order = np.argsort(-sure, kind="stable")
    answered = np.arange(1, len(order) + 1)
    right = np.cumsum(((p_true > 0.5) == truth)[order]) / answered
    last_of_tie = np.r_[sure[order][1:] != sure[order][:-1], True]
    reached = np.flatnonzero((right >= accuracy) & last_of_tie & (answered >= FEWEST_ROWS))
    return float(sure[order][reached[-1]]) if len(reached) else None


def conformal_margins(margins: Floats, truth: Bools, group: Ints, alpha: float) -> tuple[float, float] | None:
    """Margins (lowest that TRUE may have, highest that FALSE may have) of a label-conditional split-conformal set.

    A claim's set holds TRUE when its margin is at or above the first, FALSE when at or below the second; it is an
    answer when it holds exactly one. For a new claim of either label the set misses the label with chance at most
    alpha (Vovk 2012, "Conditional validity of inductive conformal predictors"), whatever the model, provided that
    claims of new groups are exchangeable with dev's: of each group one seeded row per label is used (subsampling
    once: Dunn, Wasserman & Ramdas 2023, JASA 118:2491). Ranks only, so threshold and temperature don't matter.
    None where a label has fewer than 1/alpha - 1 groups: no finite bound holds.
    """
    ends = []
    for label, sign in ((True, -1.0), (False, 1.0)):
        scores = np.sort(sign * margins[_one_per_group(group, truth == label)])
        rank = math.ceil((len(scores) + 1) * (1 - alpha) - 1e-9)
        if rank > len(scores):
            return None
        ends.append(sign * float(scores[rank - 1]))
    return ends[0], ends[1]


def _one_per_group(group: Ints, rows: Bools) -> Ints:
    """Positions of one row of each group, drawn by a fixed seed among `rows`."""
    positions = np.random.default_rng(0).permutation(np.flatnonzero(rows))
    return np.asarray(positions[np.unique(group[positions], return_index=True)[1]], dtype=np.int64)


def _checked(margins: npt.ArrayLike, labels: Sequence[Label]) -> tuple[Floats, Bools]:
    values = np.asarray(margins, dtype=np.float64)
    if values.shape != (len(labels),):
        raise DataError(f"calibration got margins of shape {values.shape} for {len(labels)} labels; expected one each.")
    if not np.isfinite(values).all():
        raise DataError(
            f"calibration got margin {int(np.argmin(np.isfinite(values))) + 1} that is not a finite number."
        )
    return values, np.array([label == "TRUE" for label in labels], dtype=np.bool_)
