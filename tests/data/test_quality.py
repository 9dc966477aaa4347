"""Filter, balance, augment: each says what it took or made, and `prepare` keeps the rows that went."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from medverdict import claims as shipped
from medverdict.data.augment import augmented
from medverdict.data.balance import surplus_cues, surplus_labels
from medverdict.data.clean import RULES, low_quality
from medverdict.data.prepare import AUGMENTED_OUTSIDE, Steps, prepare
from medverdict.data.read import read_claims
from medverdict.files import read_records, write_jsonl
from medverdict.records import Claim, Dropped

KEPT = (
    "Bệnh lao lây qua đường hô hấp.",
    "Vitamin B12 (cobalamin) có trong thịt, cá và trứng.",
    "HbA1c từ 6,5 % trở lên gợi ý đái tháo đường.",
    "Trong ICD-10, mã của bệnh lao nằm trong khoảng A00-B99.",
    "Bạn tình của người nhiễm lậu cần được điều trị cùng lúc.",
    "Neomycin nhỏ tai có thể gây độc tai trong.",
    "Ho kéo dài trên 2 tuần: có thể là dấu hiệu của lao phổi.",
)
FAULTS = {
    "Ho lao.": "fewer than 4 words",
    "Bệnh lao có lây qua đường hô hấp không?": "a question",
    "Tôi bị đau đầu từ hôm qua.": "speaks of a person",
    "Thuốc nói trên gây buồn nôn nhiều.": "points to a text that is not there",
    "Bệnh lao lây qua đường hô hấp và": "cut off",
    "Bệnh lao (do vi khuẩn lây qua không khí.": "cut off",
    "Bệnh lao lây qua đường hô hấp (đúng).": "says its own label",
    "Bệnh lao <b>lây</b> qua đường hô hấp.": "holds markup or a link",
    "Bệnh lao lao lao lây qua đường hô hấp.": "one word 3 times in a row",
    "A 1 2 3 4 5 6 7 8 9 = 12.": "hardly words",
    "Thuá»‘c giáº£m Ä‘au gÃ¢y loÃ©t.": "wrongly decoded text",
}


def rows(*texts, label="TRUE"):
    return [Claim(id=f"r{n}", text=text, label=label) for n, text in enumerate(texts)]


@pytest.mark.parametrize("sentence", FAULTS)
def test_a_rule_drops_a_row_with_its_reason(sentence):
    assert low_quality(rows(sentence)) == {"r0": FAULTS[sentence]}


@pytest.mark.parametrize("sentence", KEPT)
def test_no_rule_speaks_against_a_sound_claim(sentence):
    assert low_quality(rows(sentence)) == {}


def test_every_rule_has_a_row_that_it_drops():
    assert {rule for rule in RULES if not any(rule(sentence) for sentence in FAULTS)} == set()


def test_hardly_any_of_our_own_claims_is_of_low_quality():
    ours = [claim for file in shipped.training_files() for claim in read_claims(file).claims]
    found = low_quality(ours)
    assert len(found) <= 0.001 * len(ours), Counter(found.values())


def labelled(true, false, cue="", pair=""):
    return [
        Claim(id=f"{label}{n}{cue}{pair}", text=f"Câu {label} {n} {cue}.", label=label, pair=pair and f"{pair}{n}")
        for label, count in (("TRUE", true), ("FALSE", false))
        for n in range(count)
    ]


def left(claims, gone):
    return Counter(claim.label for claim in claims if claim.id not in gone)


def test_labels_are_balanced_by_leaving_out_the_surplus():
    claims = labelled(30, 12)
    gone = surplus_labels(claims, seed=0)
    assert left(claims, gone) == {"TRUE": 12, "FALSE": 12}
    assert set(gone.values()) == {"label balance"}
    assert gone == surplus_labels(claims, seed=0) != surplus_labels(claims, seed=1)
    assert surplus_labels(labelled(5, 5), seed=0) == {}


def test_rows_without_a_twin_go_first():
    claims = [*labelled(10, 10, pair="p"), *labelled(6, 0)]
    assert all(not claim.pair for claim in claims if claim.id in surplus_labels(claims, seed=0))


def test_each_cue_word_ends_as_often_true_as_false():
    claims = [*labelled(4, 20, "luôn"), *labelled(9, 3, "chỉ"), *labelled(10, 8)]
    gone = surplus_cues(claims, lambda text: [cue for cue in ("luôn", "chỉ") if cue in text], seed=0)
    for cue, each in (("luôn", 4), ("chỉ", 3)):
        assert left([c for c in claims if cue in c.text], gone) == {"TRUE": each, "FALSE": each}
    assert left([c for c in claims if c.id[-1].isdigit()], gone) == {"TRUE": 8, "FALSE": 8}
    assert Counter(gone.values()) == {"cue balance: luôn": 16, "cue balance: chỉ": 6, "cue balance": 2}


def test_a_claim_is_told_again_with_synonyms_and_its_label():
    [claim] = rows("Tăng huyết áp mạn tính thường gặp ở người già.", label="FALSE")
    made = augmented([claim], variants=7, seed=0)  # two words for each of three places, less the claim itself
    assert len({claim.text, *(again.text for again in made)}) == 8
    assert {again.label for again in made} == {"FALSE"} and {again.group for again in made} == {claim.id}
    assert [again.id for again in made] == [f"r0+{n}" for n in range(1, 8)]
    assert any(again.text.startswith("Cao huyết áp") for again in made)
    assert augmented([claim], 7, seed=0) == made
    assert augmented(rows("Da khô và ngứa."), 3, seed=0) == ()


def prepared_with(tmp_path, claims, steps):
    write_jsonl(tmp_path / "mine.jsonl", claims)
    done = prepare([tmp_path / "mine.jsonl"], tmp_path / "out", steps=steps)
    return done, read_records(tmp_path / "out" / "dropped.jsonl", Dropped)


def many(count):
    """Claims with little in common, more TRUE than FALSE."""
    return [
        Claim(id=f"m{n}", text=f"Bệnh số {n * 7919} gây ra chứng {n * 104729} ở vùng {n * 31}.", label=label)
        for n in range(count)
        for label in ["TRUE" if n % 3 else "FALSE"]
    ]


def test_prepare_filters_balances_and_keeps_every_row_that_went(tmp_path):
    claims = [*many(120), *rows("Ho lao.", "Tôi bị đau đầu từ hôm qua.")]
    done, dropped = prepared_with(tmp_path, claims, Steps(low_quality=True, balance_labels=True))
    reasons = Counter(row.reason for row in dropped)
    assert reasons == {"fewer than 4 words": 1, "speaks of a person": 1, "label balance": 40}
    assert {row.text for row in dropped} >= {"Ho lao.", "Tôi bị đau đầu từ hôm qua."}
    labels = Counter(claim.label for split in done.splits.values() for claim in split.claims)
    assert labels == {"TRUE": 40, "FALSE": 40}
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["dropped"] == reasons and manifest["origin"]["steps"] == ["filter", "balance labels"]


def test_augmented_rows_stand_in_training_alone(tmp_path):
    done, dropped = prepared_with(tmp_path, many(120), Steps(augment=1))
    made = {name: [c for c in split.claims if "+" in c.id] for name, split in done.splits.items()}
    assert made["train"] and not made["dev"] and not made["test"]
    assert {row.reason for row in dropped} == {AUGMENTED_OUTSIDE}
    assert len(made["train"]) + len(dropped) == 120
    assert done.audit.clean
    home = {claim.id: (name, claim.group) for name, split in done.splits.items() for claim in split.claims}
    for claim in made["train"]:
        assert home[claim.id.removesuffix("+1")] == ("train", claim.group)
