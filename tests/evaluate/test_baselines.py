"""What words alone can do, and that the baselines learn from training rows only."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest
from judged import claims_of, toy_run

from medverdict.errors import DataError
from medverdict.evaluate.baselines import always_true, cues_in, keyword_rule, majority, tfidf_logistic
from medverdict.evaluate.metrics import is_right
from medverdict.records import Claim
from medverdict.text import normalise


def read(path: Path, text: str, label: str) -> list[Claim]:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [Claim(id=f"{path.stem}-{i}", text=normalise(row[text]), label=row[label]) for i, row in enumerate(rows)]


def test_always_true_says_true() -> None:
    assert {(p.verdict, p.run) for p in always_true(claims_of(toy_run(6)))} == {("TRUE", "baseline:always-true")}


def test_majority_follows_the_training_rows() -> None:
    rows = claims_of(toy_run(30))
    true_rows, false_rows = rows[::2], rows[1::2]
    assert {p.verdict for p in majority(rows, [*true_rows, *false_rows[:3]])} == {"TRUE"}
    assert {p.verdict for p in majority(rows, [*false_rows, *true_rows[:3]])} == {"FALSE"}
    assert {p.verdict for p in majority(rows, rows)} == {"TRUE"}
    assert majority(rows, true_rows[:9])[0].p_true == pytest.approx(10 / 11)
    with pytest.raises(DataError, match="no training rows"):
        majority(rows, [])


@pytest.mark.parametrize(
    ("text", "cues"),
    [
        ("Bệnh này CHỈ gặp ở trẻ em.", ["chỉ"]),
        ("Chỉ số đường huyết luôn luôn tăng", ["chỉ", "luôn"]),
        ("Bệnh thường không bao giờ khỏi, không thể chữa", ["không bao giờ", "không thể"]),
        ("Mọi người và mọi lứa tuổi", ["mọi"]),
        ("Chỉnh liều và thuyên giảm", []),
        ("Xluôn và 3mọi không phải từ", []),
        (unicodedata.normalize("NFD", "Đây là cách duy nhất, không cần thuốc"), ["không cần", "duy nhất"]),
    ],
)
def test_cues_are_whole_words_in_any_case_and_unicode_form(text: str, cues: list[str]) -> None:
    assert cues_in(text) == cues


def test_the_keyword_rule_says_false_where_a_cue_stands() -> None:
    claims = [Claim(id="1", text="Luôn luôn sốt.", label="FALSE"), Claim(id="2", text="Thường sốt.", label="TRUE")]
    assert [(p.verdict, p.margin > 0) for p in keyword_rule(claims)] == [("FALSE", False), ("TRUE", True)]


def test_tfidf_learns_the_words_of_its_training_rows() -> None:
    rows = claims_of(toy_run(80))
    judged = tfidf_logistic(rows[60:], rows[:60])
    assert all(map(is_right, judged))
    assert all((p.margin > 0) == (p.verdict == "TRUE") == (p.p_true > 0.5) for p in judged)
    assert judged == tfidf_logistic(rows[60:], rows[:60])


def test_tfidf_knows_nothing_of_the_rows_it_judges() -> None:
    rows = claims_of(toy_run(60))
    flipped = [c.model_copy(update={"label": "TRUE" if c.label == "FALSE" else "FALSE"}) for c in rows[40:]]
    alone = tfidf_logistic(rows[40:41], rows[:40])[0]
    assert [p.margin for p in tfidf_logistic(flipped, rows[:40])] == [
        p.margin for p in tfidf_logistic(rows[40:], rows[:40])
    ]
    assert alone.margin == pytest.approx(tfidf_logistic(rows[40:], rows[:40])[0].margin)


def test_too_few_or_one_sided_training_rows_are_refused() -> None:
    rows = claims_of(toy_run(80))
    with pytest.raises(DataError, match="got 5 training rows; expected at least 20"):
        tfidf_logistic(rows, rows[:5])
    with pytest.raises(DataError, match="all TRUE; expected rows of both labels"):
        tfidf_logistic(rows, rows[::2])


def test_no_claims_give_no_predictions() -> None:
    assert tfidf_logistic([], claims_of(toy_run(40))) == keyword_rule([]) == always_true([]) == []


@pytest.mark.pinned
def test_the_keyword_rule_on_the_public_dev_half(shared_data: Path) -> None:
    judged = keyword_rule(read(shared_data / "official" / "dev.jsonl", "claim", "label"))
    assert sum(map(is_right, judged)) / len(judged) == pytest.approx(0.722, abs=0.0005)
    assert sum(not is_right(p) for p in judged) == 173


@pytest.mark.pinned
def test_tfidf_from_the_templated_rows_is_near_chance_there(shared_data: Path) -> None:
    train = [row for name in ("val", "test") for row in read(shared_data / "seed" / f"{name}.jsonl", "input", "output")]
    judged = tfidf_logistic(read(shared_data / "official" / "dev.jsonl", "claim", "label"), train)
    assert 0.46 <= sum(map(is_right, judged)) / len(judged) <= 0.54
