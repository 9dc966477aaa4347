"""`plan` as a user waits for it."""

import json
import re

import pytest

from medverdict.app import planning
from medverdict.app.planning import PlanOptions, plan
from medverdict.data.prepare import prepare


@pytest.fixture
def data(few_claims, tmp_path, capsys):
    prepare([few_claims], tmp_path / "data")
    capsys.readouterr()
    return tmp_path / "data"


def test_it_says_what_it_is_about_to_do_before_it_loads_anything(data, capsys, monkeypatch):
    def unreachable(*_, **__):
        raise RuntimeError("not reached")

    monkeypatch.setattr(planning, "fetch", unreachable)
    with pytest.raises(RuntimeError, match="not reached"):
        plan("v6", data, PlanOptions())
    said = " ".join(capsys.readouterr().err.split())
    assert "running up to 20 steps of v6 on" in said


def test_its_probe_shows_how_far_it_is_and_stdout_is_the_plan_alone(run, data, tiny_base):
    code, out, err = run("plan", "quickstart", "--data", data, "--base", tiny_base.path, "--json")
    assert code == 0, err
    told = json.loads(out)
    assert re.search(rf"probe, {min(20, told['steps'])} steps (\d+)/\1 [\d.]+ rows/s", err)
