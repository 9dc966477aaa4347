"""Where a run's evaluation is found, and how often a test file was looked at."""

import shutil
from pathlib import Path

import pytest

from medverdict.app.evaluation import evaluate
from medverdict.app.stored import evaluation_folder
from medverdict.errors import RunError


@pytest.fixture
def job(tiny_run, few_claims, tmp_path):
    """As `quickstart` leaves it: run and report side by side, and a test set."""
    shutil.copytree(tiny_run, tmp_path / "job" / "run")
    few_claims.rename(tmp_path / "test.jsonl")
    evaluate(tmp_path / "job" / "run", tmp_path / "test.jsonl", tmp_path / "job" / "report")
    return tmp_path / "job"


def test_a_report_beside_its_run_is_found(job, monkeypatch):
    assert evaluation_folder(job / "run") == job / "report"
    monkeypatch.chdir(job / "run")
    assert evaluation_folder(Path()) == job / "report"


def test_mistakes_finds_it_from_the_run(run, job):
    code, out, err = run("mistakes", job / "run")
    assert code == 0, err
    assert out == run("mistakes", job / "report")[1]


def test_what_stands_beside_a_run_and_is_not_its_own_is_left_alone(job):
    for name, rows in (("other", '{"run": "other"}\n'), ("broken", "{"), ("empty", "")):
        (job / name).mkdir()
        (job / name / "predictions.jsonl").write_text(rows, encoding="utf-8")
    own = (job / "report" / "predictions.jsonl").read_text(encoding="utf-8")
    (job / "of-another").mkdir()
    told = own.replace('"run":"', '"run":"another-').replace('"run": "', '"run": "another-')
    assert told != own
    (job / "of-another" / "predictions.jsonl").write_text(told, encoding="utf-8")
    assert evaluation_folder(job / "run") == job / "report"


def test_two_evaluations_are_both_named_and_none_is_guessed(job):
    shutil.copytree(job / "report", job / "report-2")
    with pytest.raises(RunError, match="has 2 evaluations") as told:
        evaluation_folder(job / "run")
    assert str(job / "report") in str(told.value) and str(job / "report-2") in str(told.value)


def test_without_any_it_says_which_folder_to_name(job):
    shutil.rmtree(job / "report")
    with pytest.raises(RunError, match=r"no evaluation in it or beside it.*--out.*predictions\.jsonl"):
        evaluation_folder(job / "run")


def test_another_out_is_another_look_at_the_same_file(job, capsys):
    again = evaluate(job / "run", job.parent / "test.jsonl", job.parent / "elsewhere").report
    assert len(again.context.peeks) == 2
    assert "look number 2 at test.jsonl" in " ".join(capsys.readouterr().err.split())
