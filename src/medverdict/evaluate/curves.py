"""The curves of a report as plain rows: reliability, risk against coverage, conformal sets, margins."""

from __future__ import annotations

import numpy as np

from medverdict.evaluate.calibrate import confidence, conformal_margins
from medverdict.evaluate.interval import share, stored
from medverdict.evaluate.metrics import Sample, equal_mass_bins
from medverdict.evaluate.records import ConformalRow, Histogram, ReliabilityBin, RiskRow

RELIABILITY_BINS = 10
ALPHAS = (0.05, 0.1, 0.2)
HISTOGRAM_BINS = 24


def reliability(sample: Sample) -> tuple[ReliabilityBin, ...]:
    """Share of TRUE labels beside the mean p_true, in ten bins of equally many rows (fewer where p_true is tied)."""
    bins = equal_mass_bins(sample.p_true, RELIABILITY_BINS)
    return tuple(
        ReliabilityBin(
            predicted=stored(sample.p_true[bins == b].mean()),
            observed=share(sample.truth, sample.group, bins == b),
        )
        for b in np.unique(bins)
    )


def risk_rows(sample: Sample) -> tuple[RiskRow, ...]:
    """Accuracy of the surest 100 %, 90 %, ... 10 % of the rows; rows of equal confidence stay together."""
    sure = confidence(sample.p_true)
    descending = np.sort(sure)[::-1]
    cuts = [float(descending[max(1, round(len(sample) * tenth / 10)) - 1]) for tenth in range(10, 0, -1)]
    return tuple(_risk_row(sample, cut) for cut in dict.fromkeys(cuts))


def operating_point(sample: Sample, abstain_below: float | None) -> RiskRow | None:
    """What abstaining below the confidence chosen on dev does to these rows; None where none was chosen."""
    return None if abstain_below is None else _risk_row(sample, abstain_below)


def conformal_rows(sample: Sample, dev: Sample) -> tuple[ConformalRow, ...]:
    """For 5, 10 and 20 % promised error: bounds learnt on dev, kept on these rows? (`calibrate.conformal_margins`)"""
    groups = (len(np.unique(dev.group[dev.truth])), len(np.unique(dev.group[~dev.truth])))
    rows = []
    for alpha in ALPHAS:
        bounds = conformal_margins(dev.margin, dev.truth, dev.group, alpha)
        if bounds is None:
            continue
        holds_true, holds_false = sample.margin >= bounds[0], sample.margin <= bounds[1]
        answered = holds_true ^ holds_false
        right = holds_true == sample.truth
        rows.append(
            ConformalRow(
                alpha=alpha,
                dev_groups=groups,
                missed_true=share(~holds_true, sample.group, sample.truth),
                missed_false=share(~holds_false, sample.group, ~sample.truth),
                answered=stored(answered.mean()),
                accuracy=share(right, sample.group, answered),
            )
        )
    return tuple(rows)


def histogram(sample: Sample) -> Histogram:
    """Margins by label in 24 bins over their middle 99 %; the outermost bins take in what lies beyond."""
    low, high = np.percentile(sample.margin, [0.5, 99.5])
    if low == high:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, HISTOGRAM_BINS + 1)
    inside = np.clip(sample.margin, low, high)
    return Histogram(
        edges=tuple(map(stored, edges)),
        true_rows=tuple(np.histogram(inside[sample.truth], edges)[0].tolist()),
        false_rows=tuple(np.histogram(inside[~sample.truth], edges)[0].tolist()),
    )


def _risk_row(sample: Sample, cut: float) -> RiskRow:
    answered = confidence(sample.p_true) >= cut
    return RiskRow(
        coverage=stored(answered.mean()),
        confidence=stored(cut),
        accuracy=share(sample.correct, sample.group, answered),
    )
