"""Slices are told apart by what a row is; twins, confident mistakes and suspect labels are found."""

from __future__ import annotations

from io import StringIO

import numpy as np
import pytest
from judged import claims_of, judged, toy_run
from rich.console import Console

from medverdict.errors import DataError
from medverdict.evaluate.baselines import TFIDF, tfidf_logistic
from medverdict.evaluate.mistakes import find_mistakes, out_of_fold, suspect_labels, twin_mistakes
from medverdict.evaluate.slices import hard_rows, measure_twins, slice_masks, slice_table
from medverdict.evaluate.tables import mistake_sheets
from medverdict.records import Prediction


def names(rows: list[Prediction], family: str) -> dict[str, list[bool]]:
    return {name: mask.tolist() for (kind, name), mask in slice_masks(rows).items() if kind == family}


def about(text: str) -> Prediction:
    return judged(1, "TRUE", 1.0, text=text)


def test_rows_are_told_apart_by_their_words() -> None:
    rows = [about("Sốt 39 độ."), about("Mã J45.0 là hen."), about("Bệnh không lây."), about(" ".join(["từ"] * 30))]
    assert names(rows, "numbers") == {"holds a number": [True, True, False, False]}
    assert names(rows, "ICD") == {"holds an ICD code": [False, True, False, False]}
    assert names(rows, "negation") == {"holds a negation": [False, False, True, False]}
    assert names(rows, "length") == {"more than 25 words": [False] * 3 + [True], "up to 15 words": [True] * 3 + [False]}


def test_a_vitamin_is_no_icd_code() -> None:
    assert names([about("Thiếu vitamin B12 và coenzym Q10.")], "ICD") == {}
    assert names([about("Theo ICD, nhóm B15-B19 là viêm gan.")], "ICD") == {"holds an ICD code": [True]}


def test_hard_rows_are_those_the_keyword_rule_gets_wrong() -> None:
    rows = [
        judged(1, "TRUE", 1.0, text="Luôn rửa tay."),
        judged(2, "FALSE", 1.0, text="Luôn sốt."),
        judged(3, "FALSE", 1.0, text="Thường sốt."),
        judged(4, "TRUE", 1.0, text="Thường ho."),
    ]
    assert hard_rows(rows).tolist() == [True, False, True, False]


def test_a_bad_slice_comes_first_with_its_excess_error() -> None:
    rows = [judged(i, "TRUE", -1.0 if i < 20 else 1.0, topic="tim" if i < 20 else "gan") for i in range(60)]
    slices, hidden = slice_table([*rows, judged(99, "FALSE", -1.0, topic="hiếm")])
    worst = slices[0]
    assert (worst.family, worst.name, worst.accuracy.value, worst.accuracy.n) == ("topic", "tim", 0.0, 20)
    assert worst.excess.value == 1.0
    assert worst.accuracy.high == pytest.approx(1 - 0.025 ** (1 / 20), abs=1e-6)
    assert slices[-1].name == "gan"
    assert hidden >= 1
    assert not any(s.name == "hiếm" for s in slices)


def test_excess_error_of_a_harmless_trait_has_an_interval_around_zero() -> None:
    rng = np.random.default_rng(0)
    rows = [r.model_copy(update={"topic": str(rng.integers(2))}) for r in toy_run(400)]
    found = {s.name: s.excess for s in slice_table(rows)[0] if s.family == "topic"}
    for excess in found.values():
        assert excess.low is not None and excess.high is not None
        assert excess.low < 0 < excess.high
    assert found["0"].value == pytest.approx(-(found["1"].value or 0), abs=1e-6)


def twin(pair: str, *members: tuple[str, float]) -> list[Prediction]:
    return [
        judged(hash((pair, i)) % 10**9, "TRUE" if label == "T" else "FALSE", margin, pair=pair, group=pair)
        for i, (label, margin) in enumerate(members)
    ]


def test_twins_both_right_and_ranked() -> None:
    rows = [
        *twin("a", ("T", 1.0), ("F", -1.0)),
        *twin("b", ("T", 2.0), ("F", 1.0)),
        *twin("c", ("T", -1.0), ("F", 1.0)),
        *twin("same", ("T", 1.0), ("T", -1.0)),
        *twin("alone", ("T", 1.0)),
    ]
    found = measure_twins(rows)
    assert found is not None
    assert found.pairs == 3
    assert found.both_right.value == pytest.approx(1 / 3, abs=1e-6)
    assert found.ranked.value == pytest.approx(2 / 3, abs=1e-6)
    assert measure_twins(toy_run(10)) is None
    assert {t.pair: t.kind for t in twin_mistakes(rows)} == {
        "b": "one answer for both",
        "c": "the wrong way round",
        "same": "different answers to one label",
    }


def test_the_surest_mistake_comes_first() -> None:
    rows = [
        judged(1, "TRUE", -0.5),
        judged(2, "TRUE", -4.0, text="Luôn đúng."),
        judged(3, "FALSE", 2.0),
        judged(4, "TRUE", 9.0),
    ]
    found = find_mistakes(rows)
    assert (found.wrong, found.n) == (3, 4)
    assert [m.claim_id for m in found.confident] == ["c2", "c3", "c1"]
    assert found.confident[0].cues == ("luôn",)


def test_a_planted_wrong_label_is_the_first_suspect() -> None:
    rows = toy_run(300, skill=2.0)
    planted = rows[10].model_copy(update={"label": "FALSE", "margin": 6.0, "p_true": 0.9975, "verdict": "TRUE"})
    rows[10] = planted
    suspects = suspect_labels(rows)
    assert suspects[0].claim_id == planted.claim_id
    assert suspects[0].p_label_words is not None and suspects[0].p_label_words < 0.5


def test_out_of_fold_confidence_never_sees_the_row_or_its_group() -> None:
    rng = np.random.default_rng(0)
    secret = [
        judged(i, "TRUE" if rng.random() < 0.5 else "FALSE", 0.0, text=f"riêng{i // 4}", group=f"g{i // 4}")
        for i in range(200)
    ]
    same = [r.model_copy(update={"label": secret[i // 4 * 4].label}) for i, r in enumerate(secret)]
    p_true = out_of_fold(same)
    assert p_true is not None
    right = np.mean((p_true > 0.5) == np.array([r.label == "TRUE" for r in same]))
    assert right < 0.7  # each group's word decides its label, which only a leak could know
    assert out_of_fold(toy_run(20)) is None


def test_the_tfidf_baseline_adds_a_slice_and_other_rows_are_refused() -> None:
    rows = toy_run(200, skill=0.3)
    noisy = [p.model_copy(update={"margin": -p.margin, "verdict": "TRUE" if -p.margin > 0 else "FALSE"}) for p in rows]
    assert "TF-IDF wrong" in {s.name for s in find_mistakes(rows, {TFIDF: noisy}).slices}
    with pytest.raises(DataError, match="same rows"):
        find_mistakes(rows, {TFIDF: tfidf_logistic(claims_of(rows[:50]), claims_of(rows))})


def test_no_predictions_are_an_error() -> None:
    with pytest.raises(DataError, match="at least one row"):
        find_mistakes([])


def test_everything_right_leaves_empty_lists_that_still_print() -> None:
    found = find_mistakes([judged(i, "TRUE", 3.0) for i in range(12)])
    assert (found.wrong, found.confident, found.twins, found.suspects) == (0, (), (), ())
    for sheet in mistake_sheets(found):
        sheet.to_rich()


def test_tables_keep_their_numbers_whole_in_a_narrow_terminal() -> None:
    console = Console(width=80, record=True, file=StringIO())
    for sheet in mistake_sheets(find_mistakes(toy_run(200, skill=0.5))):
        console.print(sheet.to_rich())
        assert all(cell in console.export_text(clear=False) for row in sheet.rows for cell in row[1:])
    assert "…" not in console.export_text()
