"""The bootstrap agrees with closed forms where there are any, and respects groups."""

from __future__ import annotations

import time

import numpy as np
import pytest
from judged import sample

from medverdict.evaluate.interval import RESAMPLES, row_weights, share, with_intervals


def coin_flips(n: int, p: float) -> tuple[str, str]:
    right = np.random.default_rng(1).random(n) < p
    truth = "TF" * (n // 2)
    return truth, "".join(t if r else ("F" if t == "T" else "T") for t, r in zip(truth, right, strict=True))


def test_singleton_groups_give_the_normal_interval_of_a_share() -> None:
    truth, verdict = coin_flips(1000, 0.7)
    metric = with_intervals(sample(truth, verdict))["accuracy"]
    assert metric.value is not None and metric.low is not None and metric.high is not None
    half = 1.96 * np.sqrt(metric.value * (1 - metric.value) / 1000)
    assert metric.low == pytest.approx(metric.value - half, abs=0.003)
    assert metric.high == pytest.approx(metric.value + half, abs=0.003)


def test_copies_in_one_group_add_rows_but_no_certainty() -> None:
    truth, verdict = coin_flips(200, 0.7)
    alone = with_intervals(sample(truth, verdict))["accuracy"]
    copied = with_intervals(sample(truth * 4, verdict * 4, group=list(range(200)) * 4))["accuracy"]
    assert copied.n == 800
    assert (copied.low, copied.high) == (alone.low, alone.high)


def test_the_same_rows_give_the_same_interval() -> None:
    truth, verdict = coin_flips(100, 0.6)
    assert with_intervals(sample(truth, verdict)) == with_intervals(sample(truth, verdict))


def test_every_resample_draws_as_many_groups_as_there_are() -> None:
    group = np.array([0, 0, 1, 2, 2, 2])
    (weights,) = row_weights(group)
    first_of_each = weights[:, [0, 2, 3]]
    assert weights.shape == (RESAMPLES, 6)
    assert (first_of_each.sum(axis=1) == 3).all()
    assert (weights[:, 0] == weights[:, 1]).all()


def test_all_right_is_not_certainty() -> None:
    metric = share(np.ones(10, np.bool_), np.arange(10))
    assert (metric.value, metric.high) == (1.0, 1.0)
    assert metric.low == pytest.approx(0.6915, abs=1e-3)  # Clopper-Pearson, 10 of 10
    assert share(np.zeros(10, np.bool_), np.arange(10)).high == pytest.approx(1 - 0.6915, abs=1e-3)


def test_a_share_among_some_rows_ignores_hits_elsewhere() -> None:
    right = np.random.default_rng(2).random(400) < 0.7
    rows = np.arange(400) < 200
    among = share(right | ~rows, np.arange(400), rows)
    alone = share(right[:200], np.arange(200))
    assert (among.value, among.n) == (alone.value, 200)
    assert among.low == pytest.approx(alone.low, abs=0.01)
    assert among.high == pytest.approx(alone.high, abs=0.01)


def test_one_group_gives_a_value_without_an_interval() -> None:
    metric = share(np.array([True, False, True]), np.zeros(3, np.int64))
    assert metric.value == pytest.approx(2 / 3, abs=1e-6)
    assert metric.low is None
    assert metric.why


def test_an_interval_holds_its_value() -> None:
    truth, verdict = coin_flips(300, 0.7)
    for name, metric in with_intervals(sample(truth, verdict)).items():
        assert metric.low <= metric.value <= metric.high, name  # type: ignore[operator]


def test_all_metrics_of_the_public_sample_size_take_seconds() -> None:
    truth, verdict = coin_flips(1246, 0.7)
    start = time.perf_counter()
    with_intervals(sample(truth, verdict))
    assert time.perf_counter() - start < 5
