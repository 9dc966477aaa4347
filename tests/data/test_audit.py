"""Planted leaks are found, named and stopped."""

import random

import pytest
from toy_claims import claim, claims, sentence, split

from medverdict import claims as shipped
from medverdict.data.audit import audit, print_audit, require_clean
from medverdict.data.read import read_claims, read_split
from medverdict.errors import GATE_CLOSED, DataError, LeakError

LONG = sentence(77, 40)


def one_word_changed(text):
    words = text.split()
    return " ".join([*words[:20], "khác", *words[21:]])


def against(train_row, test_row):
    """An audit of two clean splits with one more row in each."""
    train = split("train", [*claims(120), train_row])
    return audit([train, split("test", [*claims(120, first=500), test_row])])


def kinds(found):
    return [(pair.kind, pair.left, pair.right) for pair in found.pairs]


def test_splits_without_a_common_row_are_clean():
    found = audit([split("train", claims(200)), split("dev", claims(100, 200)), split("test", claims(100, 300))])
    assert found.clean
    assert found.pairs == ()
    assert found.warnings == ()
    assert found.counts["rows dev TRUE"] == 50


def test_an_exact_copy_even_in_other_case_and_punctuation():
    found = against(claim("a", LONG), claim("b", LONG.upper().replace(".", " !")))
    assert kinds(found) == [("exact", "a", "b")]
    assert found.pairs[0].cosine == 1
    assert not found.clean


def test_a_near_duplicate():
    found = against(claim("a", LONG), claim("b", one_word_changed(LONG)))
    assert kinds(found) == [("near", "a", "b")]
    assert 0.8 <= found.pairs[0].cosine < 1
    assert (found.counts["pairs near"], found.counts["rows test leaking"]) == (1, 1)


def test_a_flipped_twin_is_named_as_such():
    assert kinds(against(claim("a", LONG, "TRUE"), claim("b", one_word_changed(LONG), "FALSE"))) == [
        ("flipped", "a", "b")
    ]
    assert kinds(against(claim("a", LONG, "TRUE"), claim("b", LONG, "FALSE"))) == [("flipped", "a", "b")]


def test_twins_of_one_pair_that_were_parted_though_their_words_differ():
    found = against(claim("a", sentence(1000), pair="f:1"), claim("b", sentence(1001), "FALSE", pair="f:1"))
    assert kinds(found) == [("flipped", "a", "b")]
    assert found.pairs[0].cosine < 0.8
    assert not found.clean


def test_the_sensitivity_is_counted_and_closes_nothing():
    half = " ".join([*LONG.split()[:26], *sentence(78, 14).split()])
    found = against(claim("a", LONG), claim("b", half))
    assert found.clean
    assert found.counts["pairs >= 0.8"] == 0
    assert found.counts["pairs >= 0.5"] >= 1


def test_contradictory_labels_inside_a_split_are_listed_and_warned_of():
    train = split("train", [*claims(200), claim("a", LONG, "TRUE"), claim("b", LONG, "FALSE")])
    found = audit([train, split("test", claims(100, 500))])
    assert kinds(found) == [("contradiction", "a", "b")]
    assert found.clean
    assert "1 rows repeat a text of their own split with the other label" in found.warnings[0]


def test_imbalance_few_rows_and_label_words_are_warned_of():
    mostly_true = [row.model_copy(update={"label": "TRUE"}) for row in claims(90)]
    told = claim("told", f"{LONG} Đáp án: Đúng", "TRUE")
    warnings = audit([split("train", [*mostly_true, *claims(8, 90), told]), split("test", claims(100, 500))]).warnings
    assert "95 of 99 rows are TRUE" in warnings[0]
    assert "99 rows are few" in warnings[1]
    assert "told" in warnings[2]
    assert len(warnings) == 3


@pytest.mark.parametrize("text", ["Lao lây (Sai)", "Lao lây. TRUE", "Kết luận: sai. Lao lây", "Lao lây: Đúng."])
def test_a_claim_that_tells_its_answer(text):
    found = audit([split("train", [*claims(199), claim("a", text)]), split("test", claims(100, 500))])
    assert "seem to contain their answer" in found.warnings[0]


def test_our_own_claims_do_not_tell_theirs():
    rows = [row for path in shipped.training_files() for row in read_claims(path).claims]
    assert not audit([split("train", rows)]).warnings


# --- the shipped frozen test


def test_training_on_the_frozen_test_is_a_leak_whatever_the_test_is():
    frozen = read_claims(shipped.test_file()).claims[0]
    found = audit([split("train", [*claims(200), frozen]), split("test", claims(100, 500))])
    assert [(p.kind, p.left_split, p.right_split) for p in found.pairs] == [("exact", "train", "frozen test")]


def test_the_frozen_test_may_be_the_test():
    assert audit([split("train", claims(200)), read_split(shipped.test_file(), "test")]).clean


def test_a_dev_split_may_not_hold_it_for_thresholds_are_fitted_there():
    assert not audit([split("train", claims(200)), read_split(shipped.test_file(), "dev")]).clean


# --- the gate


def splits_and_audit(*rows):
    splits = {
        "train": split("train", [*claims(120), *rows]),
        "test": split("test", [*claims(120, 500), claim("b", LONG)]),
    }
    return splits, audit(list(splits.values()))


def test_clean_splits_pass():
    splits, found = splits_and_audit()
    assert require_clean(found, splits) == []


def test_a_leak_stops_training_with_the_pairs_listed():
    splits, found = splits_and_audit(claim("a", one_word_changed(LONG)))
    with pytest.raises(LeakError) as caught:
        require_clean(found, splits)
    assert caught.value.exit_code == GATE_CLOSED
    assert one_word_changed(LONG) in str(caught.value)
    assert "test b:" in str(caught.value)


def test_splits_that_nobody_audited_do_not_pass():
    splits, _ = splits_and_audit()
    with pytest.raises(LeakError, match="have no audit"):
        require_clean(None, splits)


def test_an_audit_of_other_rows_is_no_audit():
    _, found = splits_and_audit()
    other, _ = splits_and_audit(claim("a", LONG))
    with pytest.raises(LeakError, match=r"belongs to other files \(train changed since\)"):
        require_clean(found, other)


def test_an_override_passes_and_is_remembered():
    splits, found = splits_and_audit(claim("a", LONG))
    (remembered,) = require_clean(found, splits, override=True)
    assert "1 pairs" in remembered


def test_what_a_person_sees(capsys):
    _, found = splits_and_audit(claim("a", LONG))
    print_audit(found)
    shown = capsys.readouterr().out
    assert LONG in shown
    assert "audit: LEAK; 1 pairs" in shown


def test_splits_that_cannot_be_audited():
    with pytest.raises(DataError, match="2 splits are called 'a'"):
        audit([split("a", claims(3)), split("a", claims(3))])
    with pytest.raises(DataError, match="the a split has no rows"):
        audit([split("a", [])])


# --- as published


@pytest.mark.pinned
def test_the_published_trap_a_random_half_of_the_test_merged_into_training_is_refused(shared_data):
    rows = list(read_split(shared_data / "official" / "dev.jsonl").claims)
    random.Random(0).shuffle(rows)
    merged = split("train", [*read_claims(shipped.training_files()[0]).claims, *rows[:311]])
    splits = {"train": merged, "test": split("test", rows[311:])}
    with pytest.raises(LeakError) as caught:
        require_clean(audit(list(splits.values())), splits)
    assert caught.value.exit_code == GATE_CLOSED
    assert sum(row.text in str(caught.value) for row in rows) >= 2


@pytest.mark.slow
@pytest.mark.pinned
def test_the_published_templated_files_leak(shared_data):
    found = audit([read_split(shared_data / "seed" / f"{name}.jsonl") for name in ("val", "test")])
    assert not found.clean
    assert 0.10 < found.counts["rows val leaking"] / 6565 < 0.14
