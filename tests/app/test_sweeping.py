"""A sweep trains every combination once, whoever works on it and however often it is cut off."""

import os

import pytest

from killing import nursery
from medverdict.app import sweeping
from medverdict.app.sweeping import Work, read_combinations, sweep
from medverdict.app.training import TrainOptions
from medverdict.data.prepare import prepare
from medverdict.errors import RecipeError, RunError
from medverdict.predict.load import read_run


@pytest.fixture
def work(tiny_base, few_claims, tmp_path):
    prepare([few_claims], tmp_path / "data")
    settings = [f"base={tiny_base.path}", "epochs=1", "batch_size=8", "lora_rank=2"]
    return Work("quickstart", tmp_path / "data", tmp_path / "sweep", TrainOptions(settings))


@pytest.fixture
def trainings(monkeypatch):
    """Folders in the order in which they were trained."""
    seen = []
    honest = sweeping.train

    def counted(recipe, data, out, options):
        seen.append(out.name)
        return honest(recipe, data, out, options)

    monkeypatch.setattr(sweeping, "train", counted)
    return seen


def test_every_combination_becomes_a_run_of_its_own(work, trainings):
    found = sweep(work, ["learning_rate=1e-2,1e-3", "seed=0,1"])
    assert sorted(trainings) == sorted(trial.run for trial in found) and len(found) == 4
    for trial in found:
        recipe = read_run(work.out / trial.run).recipe
        assert (str(recipe.learning_rate), str(recipe.seed)) == (
            str(float(trial.values["learning_rate"])),
            trial.values["seed"],
        )
    accuracies = [trial.dev_accuracy for trial in found]
    assert accuracies == sorted(accuracies, reverse=True)
    sweep(work, ["learning_rate=1e-2,1e-3", "seed=0,1"])
    assert len(trainings) == 4, "nothing is trained twice"


def test_a_training_that_a_check_stops_is_a_result_and_the_others_go_on(work):
    found = sweep(work, ["learning_rate=1e30,1e-3"])
    stopped = next(trial for trial in found if trial.values["learning_rate"] == "1e30")
    assert stopped.dev_accuracy is None and "learning_rate" in stopped.why
    assert found[0].dev_accuracy is not None


def test_values_the_recipe_does_not_take_are_refused_before_any_work(work):
    for vary, told in ((["rank=1,2"], "rank"), (["seed"], "field=value"), (["seed=0,1", "seed=2"], "once")):
        with pytest.raises(RecipeError, match=told):
            sweep(work, vary)
    assert not work.out.exists()


def test_another_sweep_is_not_mixed_into_this_one(work):
    sweep(work, ["seed=0"])
    with pytest.raises(RunError, match="holds a sweep of other"):
        sweep(work, ["seed=0,1"])


def test_combinations_come_in_the_order_they_were_written():
    assert [list(c.values()) for c in read_combinations(["a=1,2", "b=x"])] == [["1", "x"], ["2", "x"]]


def die_in_the_second_training(work, vary):
    honest, left = sweeping.train, [1]

    def fatal(*arguments):
        left[0] -= 1
        if left[0] < 0:
            os._exit(9)
        return honest(*arguments)

    sweeping.train = fatal
    sweep(work, vary)


def test_what_a_dead_worker_left_is_taken_up(work, trainings):
    worker = nursery().Process(target=die_in_the_second_training, args=(work, ["seed=0,1,2"]))
    worker.start()
    worker.join()
    assert worker.exitcode == 9
    found = sweep(work, ["seed=0,1,2"])
    assert len(trainings) == 2, "one was finished before"
    assert all(trial.dev_accuracy is not None for trial in found) and len(found) == 3


def test_two_workers_share_the_combinations(work):
    vary = ["seed=0,1,2,3"]
    workers = [nursery().Process(target=sweep, args=(work, vary)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    found = sweep(work, vary)
    assert len({trial.run for trial in found}) == 4 and all(trial.dev_accuracy is not None for trial in found)
    assert len(list(work.out.glob("*/run.json"))) == 4
