"""Training and evaluating on one subdomain, from the command line to the report."""

from __future__ import annotations

import sys

import pytest

from medverdict.app.evaluation import training_rows
from medverdict.app.training import TrainOptions, resume_command
from medverdict.cli import main
from medverdict.data.prepare import Shares, load_prepared, prepare
from medverdict.data.where import select
from medverdict.evaluate.records import Report
from medverdict.files import read_record, write_jsonl
from medverdict.records import Run
from toy_runs import toy_rows


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("subdomain")
    topics = ("tim mạch", "hô hấp")
    rows = [row.model_copy(update={"topic": topics[n // 2 % 2]}) for n, row in enumerate(toy_rows(160))]
    write_jsonl(folder / "rows.jsonl", rows)
    prepare([folder / "rows.jsonl"], folder / "data", shares=Shares(dev=0.3, test=0.3), seed=0)
    return folder / "data"


@pytest.fixture
def typed(monkeypatch, capsys, cpu):
    def run(*words):
        monkeypatch.setattr(sys, "argv", ["medverdict", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return ended.value.code or 0, " ".join((out + err).split())

    return run


def train_words(data, out, base, *more):
    short = ("--set", "epochs=1", "--set", "learning_rate=1e-2")
    return ("train", "quickstart", "--data", data, "--out", out, "--base", base.path, *short, *more)


def test_one_topic_is_trained_on_and_evaluated_and_the_run_remembers_which(typed, tiny_base, data, tmp_path):
    run_folder = tmp_path / "run"
    code, said = typed(*train_words(data, run_folder, tiny_base, "--where", "topic=tim*"))
    assert code == 0, said
    run = read_record(run_folder / "run.json", Run)
    chosen = select(load_prepared(data).splits["train"], ["topic=tim*"])
    assert run.where == ("topic=tim*",)
    assert run.rows["train"] == len(chosen.claims) < len(load_prepared(data).splits["train"].claims)
    assert training_rows(run_folder) == chosen

    folders = {}
    for topic in ("tim mạch", "hô hấp"):
        words = ("evaluate", run_folder, data / "test.jsonl", "--where", f"topic={topic}")
        code, said = typed(*words)
        assert code == 0, said
        [folders[topic]] = set((run_folder / "evaluations").iterdir()) - set(folders.values())
    whole = len(load_prepared(data).splits["test"].claims)
    reports = {topic: read_record(folder / "report.json", Report) for topic, folder in folders.items()}
    assert sum(report.n for report in reports.values()) == whole
    assert all(f"topic={topic}" in report.context.data for topic, report in reports.items())
    assert all(
        f"--where=topic={topic}" in report.context.commands[0].replace("'", "") for topic, report in reports.items()
    )


def test_a_topic_that_nobody_has_is_answered_with_those_there_are(typed, tiny_base, data, tmp_path):
    code, said = typed(*train_words(data, tmp_path / "run", tiny_base, "--where", "topic=gan"))
    assert code == 2 and "tim mạch" in said and "hô hấp" in said
    assert list(tmp_path.iterdir()) == []


def test_a_cut_training_is_continued_on_the_same_rows(tmp_path):
    command = resume_command("v6", tmp_path, tmp_path / "run", TrainOptions(where=("topic=tim mạch",)))
    assert "--where 'topic=tim mạch'" in command
