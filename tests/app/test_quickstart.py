import json

import pytest

from medverdict import claims
from medverdict.app import baselines
from medverdict.app.evaluation import evaluate
from medverdict.app.quickstart import choose, free_folder, quickstart
from medverdict.errors import NOT_ADVICE
from medverdict.evaluate.baselines import SHIPPED
from medverdict.predict.shipped import shipped_run


def test_the_main_job_runs_from_claims_to_report(tiny_base, cpu, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEDVERDICT_CACHE", str(tmp_path / "cache"))  # so the shipped model has no base here
    evaluated = quickstart(tmp_path / "qs", base=str(tiny_base.path))
    out = " ".join(capsys.readouterr().out.split())
    assert evaluated.report.n == len(claims.test_file().read_text(encoding="utf-8").splitlines()) == 800
    for title in ("Always TRUE", "Keyword rule", "TF-IDF + logistic regression", "Same base, untrained"):
        assert title in out
    assert " ".join(evaluated.report.headline.split()) in out and NOT_ADVICE in out and "report.html" in out
    run = json.loads((tmp_path / "qs" / "run" / "run.json").read_text(encoding="utf-8"))
    assert run["rows"]["train"] >= 800
    assert json.loads((tmp_path / "qs" / "data" / "audit.json").read_text(encoding="utf-8"))["clean"]
    zero_shot = run["zero_shot"]
    assert zero_shot["fitted_on"] == run["calibration"]["fitted_on"] == run["splits"]["dev"]


def test_an_older_result_is_never_overwritten(tmp_path):
    (tmp_path / "qs").mkdir()
    (tmp_path / "qs-2").mkdir()
    assert free_folder(tmp_path / "qs") == tmp_path / "qs-3"


@pytest.mark.parametrize(("gpu", "files"), [(True, len(claims.STYLES)), (False, 2)])
def test_the_machine_decides_how_much_is_trained_and_it_is_said(monkeypatch, gpu, files):
    monkeypatch.setattr("torch.cuda.is_available", lambda: gpu)
    choice = choose("qwen2.5-coder-0.5b")
    assert len(choice.files) == files
    assert "qwen2.5-coder-0.5b" in choice.reason and choice.reason.startswith("GPU found") == gpu


def test_the_shipped_model_stands_beside_and_never_as_the_baseline_to_beat(tiny_run, few_claims, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(baselines, "shipped_run", lambda: tiny_run)
    monkeypatch.setattr(baselines, "cached", lambda name: name)
    report = evaluate(tiny_run, few_claims, tmp_path / "report", with_shipped=True).report
    assert report.systems[-1].name == SHIPPED and report.systems[-1].title == "Shipped model (v6)"
    assert report.systems[-1].accuracy == report.systems[0].accuracy, "it is the same run here"
    assert report.systems[1].name != SHIPPED


def test_a_copy_without_a_shipped_model_goes_without(monkeypatch, tmp_path):
    monkeypatch.setattr(baselines, "shipped_run", lambda: shipped_run(tmp_path))
    assert baselines.shipped_model([]) == {}
