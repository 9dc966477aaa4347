"""95 % intervals by a seeded percentile bootstrap over groups: near-duplicates are drawn together, or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from scipy.stats import beta

from medverdict.evaluate.metrics import METRICS, Bools, Floats, Formula, Ints, Sample, accuracy, rate, undefined
from medverdict.records import Metric

RESAMPLES = 2000
SEED = 20261124
"""Fixed, so that the same predictions give the same report."""
DIGITS = 6
"""Stored digits: enough for any reading, few enough that two processors agree."""
_CELLS = 20_000_000
"""Weights held at once, about 160 MB."""


def group_weights(group: Ints, resamples: int = RESAMPLES, seed: int = SEED) -> Iterator[Floats]:
    """Blocks [r, n] of row weights, `resamples` rows in all: how often each row's group was drawn.

    As many groups are drawn as there are, with replacement (cluster bootstrap: Davison & Hinkley 1997, 3.8).
    """
    groups = int(group.max()) + 1
    rng = np.random.default_rng(seed)
    step = max(1, _CELLS // len(group))
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        drawn = rng.integers(groups, size=(rows, groups)) + np.arange(rows)[:, None] * groups
        counts = np.bincount(drawn.ravel(), minlength=rows * groups).reshape(rows, groups)
        yield counts[:, group].astype(np.float64)


def with_intervals(sample: Sample, formulas: Mapping[str, Formula] = METRICS) -> dict[str, Metric]:
    """Each metric with its interval; one set of resamples serves them all.

    Undefined values are None with the reason. An interval always holds its value: the calibration error of a
    resample is biased upwards, and its percentiles alone may lie above it.
    """
    if not len(sample):
        return {name: Metric(value=None, low=None, high=None, n=0, why="no rows") for name in formulas}
    values = {name: float(formula(sample, np.ones((1, len(sample))))[0]) for name, formula in formulas.items()}
    draws: dict[str, list[Floats]] = {name: [] for name in formulas}
    for weights in group_weights(sample.group):
        for name, formula in formulas.items():
            draws[name].append(formula(sample, weights))
    found = {}
    for name, value in values.items():
        if formulas[name] in (accuracy, rate) and value in (0.0, 1.0):
            found[name] = all_or_none(value, sample)
        else:
            found[name] = to_metric(value, np.concatenate(draws[name]), sample, undefined(sample))
    return found


def share(hits: Bools, group: Ints) -> Metric:
    """Share of true entries among hits [n], with its interval; `group` [n] says which belong together."""
    nothing = np.zeros(len(hits))
    renumbered = np.unique(group, return_inverse=True)[1].astype(np.int64)
    sample = Sample(np.ones(len(hits), np.bool_), hits, nothing, nothing, renumbered)
    return with_intervals(sample, {"share": rate})["share"]


def to_metric(value: float, draws: Floats, sample: Sample, why: str) -> Metric:
    """A value with the 2.5 % and 97.5 % percentiles of its resamples; nan becomes None, with the reason.

    Where fewer than half of the resamples are defined, or one group is all there is, there is no interval.
    """
    if np.isnan(value):
        return Metric(value=None, low=None, high=None, n=len(sample), why=why)
    defined = draws[~np.isnan(draws)]
    if sample.groups < 2 or len(defined) * 2 < len(draws):
        return Metric(value=stored(value), low=None, high=None, n=len(sample), why="too few groups for an interval")
    low, high = np.percentile(defined, [2.5, 97.5])
    return Metric(value=stored(value), low=stored(min(low, value)), high=stored(max(high, value)), n=len(sample))


def stored(value: float) -> float:
    """Rounded as reports store it."""
    return round(float(value), DIGITS) + 0.0


def all_or_none(value: float, sample: Sample) -> Metric:
    """Every row right, or none: resampling can't see beyond, the exact interval (Clopper & Pearson 1934) can.

    It counts groups, not rows: near-duplicates are one observation.
    """
    end = stored(beta.ppf(0.025, sample.groups, 1))
    low, high = (end, 1.0) if value else (0.0, stored(1 - end))
    return Metric(value=value, low=low, high=high, n=len(sample))
