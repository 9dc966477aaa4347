"""The rows behind the curves, on samples small enough to count by hand."""

from __future__ import annotations

import numpy as np
import pytest
from judged import sample, toy_run

from medverdict.evaluate.curves import conformal_rows, histogram, operating_point, reliability, risk_rows
from medverdict.evaluate.metrics import to_sample


def test_risk_falls_as_only_the_surest_are_answered() -> None:
    s = sample("T" * 10, "T" * 8 + "F" * 2, [5, 5, 4, 4, 3, 3, 2, 2, -1, -1])
    rows = risk_rows(s)
    assert [(r.coverage, r.accuracy.value) for r in rows] == [
        (1.0, 0.8),
        (0.8, 1.0),
        (0.6, 1.0),
        (0.4, 1.0),
        (0.2, 1.0),
    ]
    assert [r.accuracy.n for r in rows] == [10, 8, 6, 4, 2]  # rows of equal confidence stay together


def test_the_operating_point_answers_at_and_above_its_confidence() -> None:
    s = sample("TTTT", "TTTF", [2.0, 1.0, 0.5, -0.1])
    point = operating_point(s, float(s.p_true[1]))
    assert point is not None
    assert (point.coverage, point.accuracy.value) == (0.5, 1.0)
    assert operating_point(s, None) is None
    nothing = operating_point(s, 1.0)
    assert nothing is not None
    assert (nothing.coverage, nothing.accuracy.value, nothing.accuracy.n) == (0.0, None, 0)


def test_reliability_counts_labels_not_verdicts() -> None:
    s = sample("TTTF" * 10, "T" * 40, [0.0] * 40)
    (only,) = reliability(s)
    assert (only.predicted, only.observed.value, only.observed.n) == (0.5, 0.75, 40)
    low, high = reliability(sample("TFFF" * 5 + "TTTF" * 5, "F" * 20 + "T" * 20, [-1.0] * 20 + [1.0] * 20))
    assert (low.observed.value, low.observed.n, high.observed.value, high.observed.n) == (0.25, 20, 0.75, 20)


def test_every_row_is_in_the_histogram_once() -> None:
    s = to_sample(toy_run(500))
    found = histogram(s)
    assert sum(found.true_rows) == sum(found.false_rows) == 250
    assert len(found.edges) == len(found.true_rows) + 1
    assert list(found.edges) == sorted(found.edges)


def test_conformal_bounds_from_dev_are_kept_on_other_rows() -> None:
    dev, test = to_sample(toy_run(400, skill=1.0, seed=1)), to_sample(toy_run(400, skill=1.0, seed=2))
    rows = conformal_rows(test, dev)
    assert [r.alpha for r in rows] == [0.05, 0.1, 0.2]
    for row in rows:
        assert row.dev_groups == (200, 200)
        assert row.missed_true.value == pytest.approx(row.alpha, abs=0.06)
        assert row.missed_false.value == pytest.approx(row.alpha, abs=0.06)
        assert 0 < row.answered < 1
        assert row.accuracy.n == round(400 * row.answered)


def test_too_little_dev_gives_no_conformal_rows() -> None:
    test = to_sample(toy_run(50))
    assert conformal_rows(test, to_sample(toy_run(6))) == ()
    assert [r.alpha for r in conformal_rows(test, to_sample(toy_run(20)))] == [0.1, 0.2]
    assert np.isfinite([r.answered for r in conformal_rows(test, to_sample(toy_run(20)))]).all()
