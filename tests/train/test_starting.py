"""A training may begin from a finished run's adapter, on the splits that run knows."""

import pytest
import torch
from safetensors.torch import load_file

from medverdict.app.training import TrainOptions, train
from medverdict.data.prepare import prepare
from medverdict.errors import LeakError, RunError
from medverdict.files import read_records
from medverdict.predict.load import read_run
from medverdict.records import Claim, HistoryRow, Prediction

SETTINGS = ["epochs=1", "lora_rank=2", "batch_size=8"]


@pytest.fixture
def first(tiny_base, few_claims, tmp_path):
    prepare([few_claims], tmp_path / "data")
    settings = [f"base={tiny_base.path}", *SETTINGS]
    train("quickstart", tmp_path / "data", tmp_path / "first", TrainOptions([*settings, "learning_rate=1e-2"]))
    return settings, tmp_path


def margins(run, name):
    return [row.margin for row in read_records(run / name, Prediction)]


def test_the_second_run_goes_on_from_the_first_and_says_so(first):
    settings, folder = first
    options = TrainOptions([*settings, "learning_rate=1e-9"], init=folder / "first")
    run = train("quickstart", folder / "data", folder / "second", options)
    assert run.started_from[0] == read_run(folder / "first").id
    before, after = (load_file(folder / n / "adapter_model.safetensors") for n in ("first", "second"))
    assert all(torch.allclose(after[name], before[name], atol=1e-6) for name in before)
    assert run.id != train("quickstart", folder / "data", folder / "zero", TrainOptions(options.settings)).id


def test_verdicts_may_begin_from_what_the_claims_state_as_text(first):
    settings, folder = first
    options = TrainOptions([*settings, "learning_rate=1e-2", "objective=text", "epochs=4"])
    text = train("quickstart", folder / "data", folder / "text", options)
    history = read_records(folder / "text" / "history.jsonl", HistoryRow)
    assert history[-1].loss is not None and history[1].loss is not None and history[-1].loss < history[1].loss
    rows = read_records(folder / "data" / "train.jsonl", Claim)
    taught = sum(row.label == "TRUE" for row in rows)
    assert history[-1].rows == 4 * taught and text.rows["train"] == taught < len(rows)
    run = train("quickstart", folder / "data", folder / "second", TrainOptions(settings, init=folder / "text"))
    assert run.started_from[0] == text.id and run.recipe.objective == "verdict"


def test_the_untrained_base_beside_it_is_the_base_and_not_the_first_run(first):
    settings, folder = first
    train("quickstart", folder / "data", folder / "second", TrainOptions(settings, init=folder / "first"))
    assert margins(folder / "second", "dev-zero-shot.jsonl") == margins(folder / "first", "dev-zero-shot.jsonl")
    assert read_records(folder / "second" / "history.jsonl", HistoryRow)[0].step == 0


def test_another_shape_or_prompt_is_refused(first):
    settings, folder = first
    for change, told in (("lora_rank=4", "lora_rank"), ('label_true=" TRUE"', "prompt")):
        with pytest.raises(RunError, match=told):
            train("quickstart", folder / "data", folder / "x", TrainOptions([*settings, change], init=folder / "first"))


def test_other_splits_are_a_leak_unless_it_is_said(first, few_claims):
    settings, folder = first
    prepare([few_claims], folder / "other", seed=1)
    options = TrainOptions(settings, init=folder / "first")
    with pytest.raises(LeakError, match="other splits"):
        train("quickstart", folder / "other", folder / "x", options)
    told = TrainOptions(settings, init=folder / "first", despite_leak=True)
    assert "other splits" in " ".join(train("quickstart", folder / "other", folder / "x", told).overrides)
