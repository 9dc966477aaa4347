"""Every recipe starts from the command line as its own first line says, on a tiny base."""

from __future__ import annotations

import itertools
import json
import sys

import pytest

from medverdict.cli import main
from medverdict.evaluate.records import Report
from medverdict.files import read_record, write_jsonl
from medverdict.recipes.recipe import recipe_names, recipe_text
from medverdict.records import Run
from toy_runs import prepare_toy, toy_rows

OVER_BUDGET = "tinyllama"
LEAKS = "v2-merged"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return prepare_toy(tmp_path_factory.mktemp("launch") / "data")


@pytest.fixture
def launch(monkeypatch, capsys, cpu):
    """Type a command; its exit code and what it said."""

    def typed(*words):
        monkeypatch.setattr(sys, "argv", ["medverdict", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return ended.value.code or 0, " ".join((out + err).split())

    return typed


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_trains_a_few_steps_as_its_first_line_says(launch, tiny_base, data, tmp_path, name):
    first = recipe_text(name).splitlines()[0].split()
    assert first[:4] == ["#", "medverdict", "train", name]
    places = {"--data": data, "--out": tmp_path / "run"}
    words = [places.get(before, word) for before, word in itertools.pairwise(first)][1:]
    code, said = launch(
        *words, "--base", tiny_base.path, "--set", "chunk_rows=16" if name == "v4-chunked" else "seed=0"
    )
    assert code == 0, said
    run = read_record(tmp_path / "run" / "run.json", Run)
    assert run.recipe.name == name
    assert (run.steps > 0) == (run.recipe.method != "zero-shot")
    assert run.steps < 30


def test_the_larger_base_is_refused_before_anything_is_fetched(launch, data, tmp_path):
    code, said = launch("train", OVER_BUDGET, "--data", data, "--out", tmp_path / "run")
    assert code == 3
    assert "1,000,000,000" in said and "--over-budget" in said
    assert not (tmp_path / "run").exists()


def test_the_leaking_merge_is_refused_and_with_an_override_every_report_says_so(launch, tiny_base, tmp_path):
    rows = [row.model_copy(update={"group": "", "source": ""}) for row in toy_rows(120)]
    write_jsonl(tmp_path / "mine.jsonl", rows[:60])
    twins = [
        row.model_copy(update={"id": f"again:{n}", "text": row.text[:-1] + " ."}) for n, row in enumerate(rows[60:])
    ]
    write_jsonl(tmp_path / "sample.jsonl", [*rows[60:], *twins])
    merged = tmp_path / "merged"
    code, said = launch(
        "prepare", tmp_path / "mine.jsonl", "--merge-sample", tmp_path / "sample.jsonl", "--out", merged
    )
    assert code == 0 and "audit: LEAK" in said
    words = ("train", LEAKS, "--data", merged, "--out", tmp_path / "run", "--base", tiny_base.path)
    code, said = launch(*words)
    assert code == 3 and "LEAK" in said
    assert not (tmp_path / "run").exists()
    code, said = launch(*words, "--despite-leak")
    assert code == 0, said
    code, said = launch("evaluate", tmp_path / "run", merged / "test.jsonl", "--out", tmp_path / "report")
    assert code == 0, said
    report = read_record(tmp_path / "report" / "report.json", Report)
    assert any("leak" in override for override in report.context.run.overrides)
    assert not report.context.audit.clean
    page = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert "leak" in page.lower()
    assert json.loads((merged / "manifest.json").read_text(encoding="utf-8"))["origin"]["steps"] == [
        "half of sample.jsonl merged into training"
    ]
