"""95 % intervals by a seeded percentile bootstrap over groups: near-duplicates are drawn together, or not at all.

As many groups are drawn as there are, with replacement (cluster bootstrap: Davison & Hinkley 1997, 3.8); a share
among some of the rows is measured on those of them that a resample holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.stats import beta

from medverdict.evaluate.metrics import METRICS, Bools, Floats, Formula, Ints, Sample, accuracy, undefined
from medverdict.records import Metric

RESAMPLES = 2000
SEED = 20261124
"""Fixed, so that the same predictions give the same report."""
DIGITS = 6
"""Stored digits: enough for any reading, few enough that two processors agree."""
_CELLS = 20_000_000
"""Counts held in one block, 80 MB; one block is remembered, so that a report draws only once."""

Counts = npt.NDArray[np.float32]
"""Whole numbers far below 2**24, so sums of them are exact."""


def group_counts(groups: int) -> Iterable[Counts]:
    """Blocks [r, groups], `RESAMPLES` rows in all: how often each resample drew each group."""
    return _drawn_once(groups) if groups * RESAMPLES <= _CELLS else _blocks(groups)


def row_weights(group: Ints) -> Iterator[Floats]:
    """Blocks [r, n] of row weights: how often each resample drew the group of each row."""
    groups = int(group.max()) + 1
    rows_at_once = max(1, _CELLS // len(group))
    for counts in group_counts(groups):
        for start in range(0, len(counts), rows_at_once):
            yield counts[start : start + rows_at_once, group].astype(np.float64)


def with_intervals(sample: Sample, formulas: Mapping[str, Formula] = METRICS) -> dict[str, Metric]:
    """Each metric with its interval; one set of resamples serves them all.

    Undefined values are None with the reason. An interval always holds its value: the calibration error of a
    resample is biased upwards, and its percentiles alone may lie above it.
    """
    n, groups = len(sample), sample.groups
    if not n:
        return {name: Metric(value=None, low=None, high=None, n=0, why="no rows") for name in formulas}
    values = {name: float(formula(sample, np.ones((1, n)))[0]) for name, formula in formulas.items()}
    draws: dict[str, list[Floats]] = {name: [] for name in formulas}
    for weights in row_weights(sample.group):
        for name, formula in formulas.items():
            draws[name].append(formula(sample, weights))
    found = {}
    for name, value in values.items():
        if formulas[name] is accuracy and value in (0.0, 1.0):
            found[name] = all_or_none(value, n, groups)
        else:
            found[name] = to_metric(value, np.concatenate(draws[name]), (n, groups), undefined(sample))
    return found


def share(hits: Bools, group: Ints, rows: Bools | None = None) -> Metric:
    """Share of true entries among hits [n], where `rows` [n] is true, with its interval; `group` [n] from zero up."""
    rows = np.ones(len(hits), np.bool_) if rows is None else rows
    n, groups = int(rows.sum()), len(np.unique(group[rows]))
    if not n:
        return Metric(value=None, low=None, high=None, n=0, why="no rows")
    value = float(hits[rows].mean())
    if value in (0.0, 1.0):
        return all_or_none(value, n, groups)
    sums = np.stack([np.bincount(group, weights=mask) for mask in (hits & rows, rows)], axis=1).astype(np.float32)
    drawn = np.concatenate([counts @ sums for counts in group_counts(len(sums))]).astype(np.float64)
    draws = np.divide(drawn[:, 0], drawn[:, 1], out=np.full(len(drawn), np.nan), where=drawn[:, 1] > 0)
    return to_metric(value, draws, (n, groups), "")


def to_metric(value: float, draws: Floats, size: tuple[int, int], why: str) -> Metric:
    """A value on `size` = (rows, groups) with the 2.5 % and 97.5 % percentiles of its resamples.

    nan becomes None, with the reason. Where fewer than half of the resamples are defined, or one group is all
    there is, there is no interval.
    """
    n, groups = size
    if np.isnan(value):
        return Metric(value=None, low=None, high=None, n=n, why=why)
    defined = draws[~np.isnan(draws)]
    if groups < 2 or len(defined) * 2 < len(draws):
        return Metric(value=stored(value), low=None, high=None, n=n, why="too few groups for an interval")
    low, high = np.percentile(defined, [2.5, 97.5])
    return Metric(value=stored(value), low=stored(min(low, value)), high=stored(max(high, value)), n=n)


def all_or_none(value: float, n: int, groups: int) -> Metric:
    """Every row right, or none: resampling can't see beyond, the exact interval (Clopper & Pearson 1934) can.

    It counts groups, not rows: near-duplicates are one observation.
    """
    end = stored(beta.ppf(0.025, groups, 1))
    low, high = (end, 1.0) if value else (0.0, stored(1 - end))
    return Metric(value=value, low=low, high=high, n=n)


def stored(value: float) -> float:
    """Rounded as reports store it."""
    return round(float(value), DIGITS) + 0.0


@lru_cache(maxsize=1)
def _drawn_once(groups: int) -> tuple[Counts, ...]:
    return tuple(_blocks(groups))


def _blocks(groups: int) -> Iterator[Counts]:
    rng = np.random.default_rng(SEED)
    step = max(1, _CELLS // groups)
    for start in range(0, RESAMPLES, step):
        rows = min(step, RESAMPLES - start)
        drawn = rng.integers(groups, size=(rows, groups)) + np.arange(rows)[:, None] * groups
        yield np.bincount(drawn.ravel(), minlength=rows * groups).reshape(rows, groups).astype(np.float32)
