"""Threshold, temperature and abstention from dev rows alone, and what a conformal promise is worth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medverdict.errors import DataError
from medverdict.evaluate.calibrate import (
    best_temperature,
    best_threshold,
    confidence_for_accuracy,
    confidence_for_coverage,
    conformal_margins,
    fit_calibration,
    judge,
)
from medverdict.records import Calibration, Label


def dev(n: int, shift: float = 0.0, scale: float = 1.0, seed: int = 0) -> tuple[np.ndarray, list[Label]]:
    """Margins whose log-odds are exact: N(+-1, sqrt 2) parted at 0, then scaled and shifted."""
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < 0.5
    margins = np.where(truth, 1.0, -1.0) + rng.normal(size=n) * math.sqrt(2)
    return margins * scale + shift, ["TRUE" if t else "FALSE" for t in truth]


def test_shift_and_scale_are_found_again() -> None:
    margins, labels = dev(4000, shift=2.5, scale=3.0)
    found = fit_calibration(margins, labels, "dev")
    assert found.threshold == pytest.approx(2.5, abs=0.5)
    assert found.temperature == pytest.approx(3.0, rel=0.1)
    assert (found.n, found.fitted_on) == (4000, "dev")


def test_the_threshold_lies_in_the_middle_of_a_gap() -> None:
    margins = np.array([*np.linspace(-3, -1, 20), *np.linspace(5, 7, 20)])
    assert best_threshold(margins, margins > 0) == pytest.approx(2.0)


def test_separable_rows_do_not_ask_for_certainty() -> None:
    margins = np.array([*np.linspace(-3, -1, 20), *np.linspace(1, 3, 20)])
    p_true, _ = judge(margins, fit_calibration(margins, ["FALSE"] * 20 + ["TRUE"] * 20, "dev"))
    assert max(p_true) < 1.0


@given(st.integers(0, 50), st.floats(-20, 20), st.floats(0.1, 50))
@settings(max_examples=25, deadline=None)
def test_verdicts_do_not_depend_on_shift_and_scale(seed: int, shift: float, scale: float) -> None:
    margins, labels = dev(60, seed=seed)
    plain = judge(margins, fit_calibration(margins, labels, "dev"))[1]
    moved = margins * scale + shift
    assert judge(moved, fit_calibration(moved, labels, "dev"))[1] == plain


@pytest.mark.parametrize("rows", [dev(19), (np.linspace(-1, 1, 50), ["TRUE"] * 50), (np.zeros(0), [])])
def test_too_little_dev_leaves_the_model_as_it_is(rows: tuple[np.ndarray, list[Label]]) -> None:
    found = fit_calibration(*rows, "dev")
    assert (found.threshold, found.temperature, found.abstain_below) == (0.0, 1.0, None)


def test_equal_margins_can_be_calibrated_too() -> None:
    found = fit_calibration(np.zeros(40), ["TRUE", "FALSE"] * 20, "dev")
    assert judge([0.0], found)[0] == [0.5]


def test_a_margin_that_is_not_finite_is_refused() -> None:
    with pytest.raises(DataError, match="margin 2 that is not a finite number"):
        fit_calibration([1.0, math.nan], ["TRUE", "FALSE"], "dev")
    with pytest.raises(DataError, match="margin 1 is not a finite number"):
        judge([math.inf], Calibration(temperature=1, threshold=0, abstain_below=None, n=0, fitted_on=""))
    with pytest.raises(DataError, match="for 1 labels"):
        fit_calibration([1.0, 2.0], ["TRUE"], "dev")


def test_abstention_answers_the_share_it_was_asked_for() -> None:
    margins, labels = dev(1000)
    for coverage in (0.3, 0.8, 1.0):
        found = fit_calibration(margins, labels, "dev", target_coverage=coverage)
        answered = [v for v in judge(margins, found, abstain=True)[1] if v != "ABSTAIN"]
        assert len(answered) / 1000 == pytest.approx(coverage, abs=0.002)


def test_abstention_reaches_the_accuracy_it_was_asked_for_or_says_none() -> None:
    margins, labels = dev(2000)
    found = fit_calibration(margins, labels, "dev", target_accuracy=0.9)
    pairs = [(v, t) for v, t in zip(judge(margins, found, abstain=True)[1], labels, strict=True) if v != "ABSTAIN"]
    assert sum(v == t for v, t in pairs) / len(pairs) >= 0.9
    hopeless = fit_calibration(
        np.random.default_rng(3).normal(size=200), ["TRUE", "FALSE"] * 100, "dev", target_accuracy=0.99
    )
    assert hopeless.abstain_below is None
    with pytest.raises(DataError, match="can't abstain"):
        judge([0.1], hopeless, abstain=True)[1]
    with pytest.raises(DataError, match="expected a share"):
        fit_calibration(margins, labels, "dev", target_accuracy=90)


def test_rows_of_equal_confidence_are_answered_together() -> None:
    p_true = np.array([0.9] * 30 + [0.6] * 30)
    truth = np.array([True] * 45 + [False] * 15)
    assert confidence_for_accuracy(p_true, truth, 0.95) == 0.9
    assert confidence_for_coverage(p_true, 0.6) == 0.6


def test_temperature_minimises_the_log_loss() -> None:
    margins, labels = dev(500, scale=4.0)
    truth = np.array([label == "TRUE" for label in labels])

    def loss(temperature: float) -> float:
        z = margins / temperature
        return float(np.mean(np.logaddexp(0, z) - truth * z))

    best = best_temperature(margins, truth)
    assert loss(best) <= min(loss(best * 0.9), loss(best * 1.1))


def test_the_conformal_promise_holds_on_average_for_each_label() -> None:
    missed = []
    for seed in range(200):
        margins, labels = dev(120, seed=seed)
        truth = np.array([label == "TRUE" for label in labels])
        bounds = conformal_margins(margins, truth, np.arange(120), 0.1)
        assert bounds is not None
        fresh, fresh_labels = dev(300, seed=10_000 + seed)
        is_true = np.array([label == "TRUE" for label in fresh_labels])
        missed.append([(fresh[is_true] < bounds[0]).mean(), (fresh[~is_true] > bounds[1]).mean()])
    assert (np.mean(missed, axis=0) <= 0.105).all()
    assert (np.mean(missed, axis=0) >= 0.07).all()


def test_copies_do_not_make_a_conformal_promise_possible() -> None:
    truth = np.array([True, False] * 50)
    assert conformal_margins(np.arange(100.0), truth, np.repeat(np.arange(5), 20), 0.1) is None
