"""Cross-validation: folds by whole groups, models that saw none of their fold, and tables of the same rows alone."""

import json
from collections import Counter

import cross_validate
import pytest
from cross_validate import make_rows, parse

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
    call(*words, "--out", tmp_path / "second.json", "--only", "1")
    second = stored(tmp_path / "second.json")
    assert second["rows"] == [row for row in found["rows"] if row["fold"] == "fold 1"]
    assert second["margins"]["1"] == found["margins"]["1"][-len(second["rows"]) :]
    capsys.readouterr()
    call("compare", tmp_path / "whole.json")
    first, mean = capsys.readouterr().out.splitlines()
    assert first.startswith("whole, 2 seeds: AUC ") and mean.startswith("whole, mean of 2 seeds as one model: AUC ")


def test_no_fold_is_trained_on_before_it_is_judged(words, tmp_path, monkeypatch):
    taught = []
    monkeypatch.setattr(cross_validate, "train", lambda verifier, claims, loss: taught.append({c.id for c in claims}))
    call(*words, "--out", tmp_path / "untrained.json")
    rows = stored(tmp_path / "untrained.json")["rows"]
    others = [{row["id"] for row in rows if row["fold"] != name} for name in ("fold 0", "fold 1")]
    assert taught == others * 2, "two folds for each of two seeds"


def test_a_first_stage_takes_the_other_rows_and_changes_the_answer(words, other, tmp_path, tiny_base):
    call(*words, "--out", tmp_path / "v6.json")
    first = ["--first", "v6-text", "--first-set", f"base={tiny_base.path}", "--first-set", "lora_rank=4"]
    call(*words, "--out", tmp_path / "text.json", *first, "--other", other)
    plain, text = stored(tmp_path / "v6.json"), stored(tmp_path / "text.json")
    assert text["rows"] == plain["rows"] and text["other_rows"] == 18
    assert text["margins"] != plain["margins"]


def test_a_loss_by_name_trains_in_the_plain_engine(words, tmp_path):
    call(*words, "--out", tmp_path / "loss.json", "--loss", "twin=1")
    assert list(stored(tmp_path / "loss.json")["margins"]) == ["0", "1"]


def test_only_files_of_the_same_rows_and_folds_are_compared(tmp_path):
    one = {"rows": [{"id": "a", "label": "TRUE", "group": "a", "fold": "fold 0"}], "margins": {"0": [1.0]}}
    other = {"rows": [one["rows"][0] | {"fold": "fold 1"}], "margins": {"0": [1.0]}}
    for name, found in (("one", one), ("other", other)):
        (tmp_path / f"{name}.json").write_text(json.dumps(found), encoding="utf-8")
    with pytest.raises(SystemExit, match="other rows or folds"):
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


@pytest.mark.parametrize("words", [["--rows", "no-such-file"], ["--other", "99-*"]])
def test_a_name_that_fits_no_file_is_refused(words):
    with pytest.raises(SystemExit, match="expected a file of claims"):
        make_rows(parse(["run", "v6", "--out", "x", *words]))
