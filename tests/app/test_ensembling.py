"""Several runs become one judge, or one run."""

import numpy as np
import pytest

from medverdict.app.ensembling import ensemble
from medverdict.errors import GateError, RunError
from medverdict.files import read_records
from medverdict.predict.ensemble import combined_margins, count_parameters
from medverdict.predict.load import read_run
from medverdict.records import Calibration, Prediction
from toy_runs import prepare_toy, train_toy


@pytest.fixture(scope="module")
def family(tiny_base, tmp_path_factory):
    home = tmp_path_factory.mktemp("family")
    data = prepare_toy(home / "data")
    return data, [train_toy(tiny_base, home / f"s{seed}", seed, data) for seed in (0, 1)]


def test_the_mean_is_of_calibrated_margins_and_the_vote_of_verdicts():
    sharp = Calibration(temperature=0.5, threshold=1.0, abstain_below=None, n=50, fitted_on="dev")
    flat = Calibration(temperature=2.0, threshold=0.0, abstain_below=None, n=50, fitted_on="dev")
    members = [(sharp, np.array([2.0, 0.0])), (flat, np.array([-1.0, -1.0]))]
    assert combined_margins(members, "mean").tolist() == [0.75, -1.25]
    assert combined_margins(members, "vote").tolist() == [0.0, -0.5]


def test_an_ensemble_says_how_it_compares_with_its_best_member(family, tmp_path):
    data, runs = family
    found = ensemble(runs, data / "test.jsonl", tmp_path / "both", "mean")
    stored = read_records(tmp_path / "both" / "predictions.jsonl", Prediction)
    assert len(stored) == found.accuracy.n == found.against_best.n
    assert found.best_member in found.members


def test_adapters_over_one_base_count_the_base_once(family):
    runs = [read_run(folder) for folder in family[1]]
    adapter = runs[0].parameters - runs[0].base.parameters
    assert count_parameters(runs) == runs[0].base.parameters + 2 * adapter


def test_an_ensemble_over_the_budget_is_refused(family, tmp_path, monkeypatch):
    monkeypatch.setattr("medverdict.model.budget.LIMIT", 100)
    data, runs = family
    with pytest.raises(GateError, match="The ensemble has"):
        ensemble(runs, data / "test.jsonl", tmp_path / "both", "mean")
    assert not (tmp_path / "both").exists()


def test_one_run_is_no_ensemble(family, tmp_path):
    with pytest.raises(RunError, match="expected two or more"):
        ensemble(family[1][:1], family[0] / "test.jsonl", tmp_path / "one", "mean")
