"""A training is killed again and again, and ends with the bytes of one that never was."""

import random
import subprocess
import sys

import pytest

from killing import Trained, Way, survive, train_apart

HARD = {"lora_dropout": 0.1, "accumulation": 2, "batch_size": 2, "keep_best": True, "eval_every": 3, "epochs": 4.0}


@pytest.mark.parametrize("engine", ["plain", "fast"])
@pytest.mark.parametrize("kills", [5, pytest.param(20, marks=pytest.mark.slow)])
def test_a_killed_training_ends_with_the_bytes_of_one_that_was_not(job, tmp_path, engine, kills):
    training, way = job(**HARD), Way(engine)
    expected = train_apart(training, tmp_path / "untouched", way)
    seed = random.randrange(10**6)
    runs, deaths = survive(training, tmp_path, way, kills, seed)
    print(f"\n{engine}, seed {seed}: {deaths} kills, {len(runs)} runs")
    assert deaths == kills and runs
    assert [Trained.of(run) for run in runs] == [expected] * len(runs)
    assert list(tmp_path.glob("*.partial")) == []


@pytest.mark.slow
def test_two_fresh_processes_write_the_same_adapter(tiny_base, few_claims, tmp_path):
    """As a user starts them: two interpreters, two commands."""

    def medverdict(*words):
        subprocess.run([sys.executable, "-m", "medverdict", *map(str, words)], check=True, capture_output=True)

    medverdict("prepare", few_claims, "--out", tmp_path / "data")
    for name in ("a", "b"):
        options = ("--data", tmp_path / "data", "--out", tmp_path / name, "--base", tiny_base.path)
        medverdict("train", "quickstart", *options, "--set", "lora_dropout=0.1", "--set", "accumulation=2")
    assert Trained.of(tmp_path / "a") == Trained.of(tmp_path / "b")
