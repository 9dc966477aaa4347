"""Every metric agrees with a library that many have checked, and says so where it has no value."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judged import judged, sample
from sklearn import metrics as sk

from medverdict.evaluate.interval import with_intervals
from medverdict.evaluate.metrics import METRICS, Sample, equal_mass_bins, is_right, to_sample

rows = st.lists(st.tuples(st.booleans(), st.sampled_from([-2.0, -0.5, 0.25, 1.0, 3.0])), min_size=2, max_size=40)


def value(name: str, judged_rows: Sample) -> float:
    return float(METRICS[name](judged_rows, np.ones((1, len(judged_rows))))[0])


def both_classes(pairs: list[tuple[bool, float]]) -> Sample | None:
    if len({label for label, _ in pairs}) < 2:
        return None
    truth = "".join("T" if label else "F" for label, _ in pairs)
    verdict = "".join("T" if margin > 0 else "F" for _, margin in pairs)
    return sample(truth, verdict, [margin for _, margin in pairs])


@given(rows)
@settings(max_examples=60, deadline=None)
def test_metrics_agree_with_scikit_learn(pairs: list[tuple[bool, float]]) -> None:
    s = both_classes(pairs)
    if s is None:
        return
    assert value("accuracy", s) == pytest.approx(sk.accuracy_score(s.truth, s.verdict))
    assert value("balanced accuracy", s) == pytest.approx(sk.balanced_accuracy_score(s.truth, s.verdict))
    assert value("macro-F1", s) == pytest.approx(sk.f1_score(s.truth, s.verdict, average="macro", labels=[False, True]))
    assert value("AUC", s) == pytest.approx(sk.roc_auc_score(s.truth, s.margin))
    assert value("Brier score", s) == pytest.approx(sk.brier_score_loss(s.truth, s.p_true))
    assert value("TRUE recall", s) == pytest.approx(sk.recall_score(s.truth, s.verdict))
    assert value("FALSE recall", s) == pytest.approx(sk.recall_score(~s.truth, ~s.verdict))
    if s.verdict.any() and not s.verdict.all():
        assert value("MCC", s) == pytest.approx(sk.matthews_corrcoef(s.truth, s.verdict))


@given(rows, st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_a_weight_of_two_is_the_row_twice(pairs: list[tuple[bool, float]], which: int) -> None:
    s = both_classes(pairs)
    twice = both_classes([*pairs, pairs[which % len(pairs)]])
    if s is None or twice is None:
        return
    weights = np.ones((1, len(s)))
    weights[0, which % len(pairs)] = 2
    for name, formula in METRICS.items():
        if name != "calibration error":  # its bins are set by the unweighted rows
            assert formula(s, weights)[0] == pytest.approx(value(name, twice), nan_ok=True), name


def test_calibration_error_by_hand() -> None:
    s = sample("TF" * 10 + "TT" * 10, "T" * 40, [0.0] * 20 + [100.0] * 20)
    assert value("calibration error", s) == pytest.approx(0.0, abs=1e-9)
    assert value("calibration error", sample("TF" * 10, "T" * 20, [100.0] * 20)) == pytest.approx(0.5)
    too_low_and_too_high = sample("T" * 20 + "F" * 20, "T" * 40, [0.0] * 20 + [100.0] * 20)
    assert value("calibration error", too_low_and_too_high) == pytest.approx(0.75)


def test_no_rows_is_undefined_everywhere() -> None:
    for metric in with_intervals(sample("", "")).values():
        assert (metric.value, metric.low, metric.n, metric.why) == (None, None, 0, "no rows")


@pytest.mark.parametrize(("truth", "alive"), [("TTTT", "TRUE recall"), ("FFFF", "FALSE recall")])
def test_one_class_is_undefined_but_for_its_own_recall(truth: str, alive: str) -> None:
    for name, metric in with_intervals(sample(truth, "TTFF")).items():
        if name == alive:
            assert metric.value == 0.5
        else:
            assert metric.value is None, name
            assert metric.why == f"every label is {'TRUE' if truth[0] == 'T' else 'FALSE'}"


def test_a_constant_judge_has_no_correlation_rather_than_zero() -> None:
    found = with_intervals(sample("TFTF", "TTTT"))
    assert found["MCC"].value is None
    assert found["MCC"].why == "every verdict is TRUE"
    assert found["accuracy"].value == 0.5


def test_bins_hold_equally_many_rows_and_keep_ties_together() -> None:
    assert np.bincount(equal_mass_bins(np.arange(150) / 150, 15)).tolist() == [10] * 15
    assert len(set(equal_mass_bins(np.full(30, 0.7), 15))) == 1


def test_abstaining_counts_as_the_side_it_leans_to() -> None:
    unsure = judged(1, "TRUE", 0.1).model_copy(update={"verdict": "ABSTAIN"})
    assert is_right(unsure)
    assert to_sample([unsure]).verdict.tolist() == [True]


def test_rows_without_a_group_are_groups_of_their_own() -> None:
    rows = [
        judged(1, "TRUE", 1.0),
        judged(2, "TRUE", 1.0),
        judged(3, "TRUE", 1.0, group="x"),
        judged(4, "FALSE", 1.0, group="x"),
    ]
    assert to_sample(rows).groups == 3
    assert not math.isnan(value("accuracy", to_sample(rows)))
