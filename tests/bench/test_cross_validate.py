"""Cross-validation: folds by whole groups, models that saw none of their fold, and tables of the same rows alone."""

import json
import sys
from collections import Counter

import cross_validate
import pytest
from cross_validate import Rows, main, make_candidate, make_rows, margins_of_seed, parse

from medverdict.errors import DataError, MedverdictError
from medverdict.files import write_jsonl
from toy_runs import toy_rows


@pytest.fixture
def rows(tmp_path):
    """Forty rows, each two of a pair."""
    path = tmp_path / "rows.jsonl"
    claims = toy_rows(40)
    write_jsonl(path, [c.model_copy(update={"group": "", "pair": f"p{n // 2}"}) for n, c in enumerate(claims)])
    return path


@pytest.fixture
def other(tmp_path):
    """Twenty rows; two of them are a pair, and each says what one of the rows above says: a bridge between groups."""
    path = tmp_path / "other.jsonl"
    claims = [c.model_copy(update={"id": f"other:{c.id}", "group": ""}) for c in toy_rows(60)[40:]]
    bridge = [
        claim.model_copy(update={"text": toy_rows(40)[row].text + ".", "pair": "bridge"})
        for claim, row in zip(claims[:2], (0, 11), strict=True)
    ]
    write_jsonl(path, [*bridge, *claims[2:]])
    return path


@pytest.fixture
def words(tiny_base, cpu, rows):
    """A candidate on the tiny base: everything but --out."""
    settings = ["epochs=2", "batch_size=8", "lora_rank=4", "learning_rate=1e-2", f"base={tiny_base.path}"]
    told = [word for setting in settings for word in ("--set", setting)]
    return ["run", "v6", *told, "--rows", str(rows), "--folds", "2", "--precision", "fp32", "--seeds", "0", "1"]


def call(*words):
    options = parse([str(word) for word in words])
    options.call(options)


def stored(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_folds_hold_whole_groups_and_do_not_hang_on_the_other_rows(words, other, tmp_path):
    alone = make_rows(parse([*words, "--out", "x"]))
    beside = make_rows(parse([*words, "--out", "x", "--other", str(other)]))
    assert {n: [c.id for c in fold] for n, fold in alone.folds.items()} == {
        n: [c.id for c in fold] for n, fold in beside.folds.items()
    }
    homes = Counter(group for fold in alone.folds.values() for group in {claim.group for claim in fold})
    assert set(homes.values()) == {1}
    assert sum(map(len, alone.folds.values())) == 40


def test_another_row_that_is_near_one_of_the_rows_is_not_trained_on(words, other):
    beside = make_rows(parse([*words, "--out", "x", "--other", str(other)]))
    assert {claim.id for claim in beside.other} == {f"other:toy:{number}" for number in range(42, 60)}


def test_a_model_learns_from_the_other_folds_and_judges_its_own(words, tmp_path, capsys):
    call(*words, "--out", tmp_path / "whole.json", "--average", "8")
    found = stored(tmp_path / "whole.json")
    assert list(found["margins"]) == ["0", "1", "mean"] and {len(m) for m in found["margins"].values()} == {40}
    truth = [row["label"] == "TRUE" for row in found["rows"]]
    for name, margins in found["margins"].items():
        assert sum((margin > 0) == true for margin, true in zip(margins, truth, strict=True)) >= 34, name
    capsys.readouterr()
    call("compare", tmp_path / "whole.json")
    first, mean = capsys.readouterr().out.splitlines()
    assert first.startswith("whole, 2 seeds: AUC ") and mean.startswith("whole, mean of 2 seeds as one model: AUC ")


def test_a_fold_hangs_on_no_fold_judged_before_it(words, cpu, tmp_path):
    options = parse([*words, "--out", "x"])
    candidate, rows = make_candidate(options), make_rows(options)
    first, second = rows.folds.values()
    margins = margins_of_seed(candidate, 1, rows, cpu, tmp_path).tolist()
    turned = Rows(dict(reversed(rows.folds.items())), rows.other)
    again = margins_of_seed(candidate, 1, turned, cpu, tmp_path).tolist()
    assert again == margins[len(first) :] + margins[: len(first)] and len(margins) == len(first) + len(second)


def test_no_fold_is_trained_on_before_it_is_judged(words, tmp_path, monkeypatch):
    taught = []
    monkeypatch.setattr(cross_validate, "train", lambda verifier, claims, loss: taught.append({c.id for c in claims}))
    call(*words, "--out", tmp_path / "untrained.json")
    rows = stored(tmp_path / "untrained.json")["rows"]
    others = [{row["id"] for row in rows if row["fold"] != name} for name in ("fold 0", "fold 1")]
    assert taught == others * 2, "two folds for each of two seeds"


def test_a_first_stage_takes_the_other_rows_and_changes_the_answer(words, other, tmp_path):
    call(*words, "--out", tmp_path / "v6.json")
    call(*words, "--out", tmp_path / "text.json", "--first", "v6-text", "--other", other)
    plain, text = stored(tmp_path / "v6.json"), stored(tmp_path / "text.json")
    assert text["rows"] == plain["rows"] and text["other_rows"] == 18
    assert text["margins"] != plain["margins"]


def test_training_begins_from_a_run(words, tiny_run, tmp_path):
    call(*words, "--out", tmp_path / "zero.json")
    call(*words, "--out", tmp_path / "begun.json", "--init", tiny_run)
    assert stored(tmp_path / "begun.json")["margins"] != stored(tmp_path / "zero.json")["margins"]


def test_a_loss_by_name_trains_in_the_plain_engine(words, tmp_path):
    call(*words, "--out", tmp_path / "loss.json", "--loss", "twin=1")
    assert list(stored(tmp_path / "loss.json")["margins"]) == ["0", "1"]


def test_only_files_of_the_same_rows_and_folds_are_compared(tmp_path):
    one = {"rows": [{"id": "a", "label": "TRUE", "group": "a", "fold": "fold 0"}], "margins": {"0": [1.0]}}
    other = {"rows": [one["rows"][0] | {"fold": "fold 1"}], "margins": {"0": [1.0]}}
    for name, found in (("one", one), ("other", other)):
        (tmp_path / f"{name}.json").write_text(json.dumps(found), encoding="utf-8")
    with pytest.raises(DataError, match="other rows or folds"):
        call("compare", tmp_path / "one.json", tmp_path / "other.json")


def test_the_difference_of_two_candidates_comes_with_an_interval_over_groups(tmp_path, capsys):
    rows = [
        {"id": str(n), "label": "FALSE" if n % 2 else "TRUE", "group": str(n // 2), "fold": f"fold {n // 40}"}
        for n in range(80)
    ]
    good = [1.0 if row["label"] == "TRUE" else -1.0 for row in rows]
    bad = [margin * (-1 if n % 4 < 2 else 1) for n, margin in enumerate(good)]
    for name, margins in (("bad", bad), ("good", good)):
        (tmp_path / f"{name}.json").write_text(json.dumps({"rows": rows, "margins": {"0": margins}}), encoding="utf-8")
    call("compare", tmp_path / "bad.json", tmp_path / "good.json")
    first, second = capsys.readouterr().out.splitlines()
    assert first == "bad, 1 seed: AUC 0.5000, 50.0% right"
    assert second.startswith("good, 1 seed: AUC 1.0000, 100.0% right, +0.5000 (+0.")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--rows", "no-such-file"], "no-such-file: expected a file of claims"),
        (["--other", "99-*"], r"99-\*: expected a file of claims"),
        (["--folds", "1"], "--folds 1: expected 2 or more"),
        (["--average", "9"], "--average 9: expected 1 to 8"),
        (["--set", "method=full", "--set", "lora_rank=0", "--average", "8"], "--average 8: expected 1 to 0"),
        (["--first", "v6-text"], "expected --other with it"),
        (["--set", "keep_best=true"], "Set both to 0 and false"),
        (["--init", "no-such-run"], "no-such-run"),
        (["--init", "x", "--rows", "09-*"], "it may have seen our claims"),
    ],
)
def test_what_cannot_be_tried_is_refused_before_any_work(words, more, said, tmp_path):
    with pytest.raises(MedverdictError, match=said):
        call(*words, "--out", tmp_path / "x.json", *more)
    assert not (tmp_path / "x.json").exists()


@pytest.mark.parametrize("loss", ["twin", "twin=x", "twin=-1", "focal=2"])
def test_a_loss_that_cannot_be_read_is_refused_with_its_form(words, loss, capsys):
    with pytest.raises(SystemExit):
        parse([*words, "--out", "x", "--loss", loss])
    assert f"{loss}: expected smoothing, r-drop, twin with a weight, as in twin=0.5." in capsys.readouterr().err


def test_a_mistake_ends_with_its_sentence_and_no_traceback(words, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["cross_validate.py", *words, "--out", "x", "--folds", "1"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("--folds 1: expected 2 or more")
