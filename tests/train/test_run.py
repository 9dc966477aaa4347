import json
from dataclasses import replace

import numpy as np
import pytest

from killing import Trained
from medverdict.errors import GateError, RunError
from medverdict.files import read_records, sha256_file
from medverdict.model.precision import Placement
from medverdict.model.prompt import Encoder
from medverdict.model.verifier import Verifier
from medverdict.predict.load import load_run, read_run
from medverdict.predict.score import score_margins
from medverdict.records import HistoryRow, Prediction
from medverdict.train.run import check_supervision, train_run
from medverdict.train.schedule import plan_steps
from medverdict.train.watch import is_evaluated


def test_a_run_folder_proves_itself(job, cpu, tmp_path):
    run = train_run(job(), cpu, tmp_path / "run")
    folder = tmp_path / "run"
    assert {name: sha256_file(folder / name) for name in run.files} == run.files
    assert set(run.files) >= {"adapter_model.safetensors", "adapter_config.json", "history.jsonl", "dev.jsonl"}
    assert run.steps == 14 and run.rows == {"train": 28, "dev": 12}
    assert len(run.golden) == 12
    assert run.trained_parameters < run.parameters


def test_a_loaded_run_answers_as_the_trained_one_did(job, cpu, tmp_path):
    train_run(job(epochs=6.0), cpu, tmp_path / "run")
    loaded = load_run(tmp_path / "run", cpu)
    stored = read_records(tmp_path / "run" / "dev.jsonl", Prediction)
    again = score_margins(loaded.verifier, [p.text for p in stored])
    assert np.array_equal(again, [p.margin for p in stored])


@pytest.mark.parametrize("method", ["lora", "full"])
def test_two_trainings_write_the_same_bytes(job, cpu, tmp_path, method):
    rank = 4 if method == "lora" else 0
    for name in ("a", "b"):
        train_run(job(method=method, lora_rank=rank), cpu, tmp_path / name)
    weights = "adapter_model.safetensors" if method == "lora" else "model.safetensors"
    assert sha256_file(tmp_path / "a" / weights) == sha256_file(tmp_path / "b" / weights)
    assert sha256_file(tmp_path / "a" / "dev.jsonl") == sha256_file(tmp_path / "b" / "dev.jsonl")


def test_the_peak_of_memory_is_counted_from_before_the_base_and_decides_nothing(job, cpu, tmp_path, monkeypatch):
    """A counter as a GPU has one; a CPU has none."""
    plain, calls, load = train_run(job(), cpu, tmp_path / "cpu"), [], Verifier.load
    monkeypatch.setattr(Placement, "reset_peak", lambda self: calls.append("reset"))
    monkeypatch.setattr(Verifier, "load", lambda *given: calls.append("base") or load(*given))
    monkeypatch.setattr(Placement, "peak_bytes", lambda self: calls.append("peak") or 5 * 2**30)
    counted = train_run(job(), cpu, tmp_path / "gpu")
    assert calls == ["reset", "base", "peak"]
    assert plain.peak_bytes is None and read_run(tmp_path / "gpu").peak_bytes == 5 * 2**30
    assert counted.id == plain.id and Trained.of(tmp_path / "gpu") == Trained.of(tmp_path / "cpu")


def test_a_run_written_before_peaks_were_counted_still_loads(job, cpu, tmp_path):
    run = train_run(job(), cpu, tmp_path / "run")
    path = tmp_path / "run" / "run.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    del manifest["peak_bytes"]
    path.write_text(json.dumps(manifest), encoding="utf-8")
    assert load_run(tmp_path / "run", cpu).run == run


def test_zero_shot_trains_nothing_and_is_calibrated_all_the_same(job, cpu, tmp_path):
    run = train_run(job(method="zero-shot", lora_rank=0, epochs=0.0), cpu, tmp_path / "run")
    assert run.steps == 0 and run.trained_parameters == 0
    assert run.calibration == run.zero_shot
    load_run(tmp_path / "run", cpu)


def test_history_starts_untrained_and_is_measured_at_each_epochs_end(job, cpu, tmp_path):
    train_run(job(), cpu, tmp_path / "run")
    history = read_records(tmp_path / "run" / "history.jsonl", HistoryRow)
    assert [row.step for row in history] == list(range(15))
    assert [row.step for row in history if row.dev_accuracy is not None] == [0, 7, 14]


def test_small_data_is_measured_although_eval_every_is_large(toy_recipe):
    two_epochs, one_epoch = (plan_steps(28, toy_recipe.model_copy(update={"epochs": n})) for n in (2.0, 1.0))
    assert [s for s in range(1, 15) if is_evaluated(s, two_epochs, 2000)] == [7, 14]
    assert [s for s in range(1, 8) if is_evaluated(s, one_epoch, 3)] == [3, 6, 7]


def test_the_best_weights_are_kept_and_not_the_last(job, cpu, tmp_path):
    """The rate is so high that training soon breaks what it had learnt."""
    run = train_run(job(epochs=8.0, keep_best=True, learning_rate=0.3, schedule="constant"), cpu, tmp_path / "run")
    history = read_records(tmp_path / "run" / "history.jsonl", HistoryRow)
    measured = [row for row in history if row.step and row.dev_accuracy is not None]
    best = max(measured, key=lambda row: (row.dev_accuracy, -row.dev_loss))
    assert run.best_step == best.step
    load_run(tmp_path / "run", cpu)


def test_wrong_supervision_stops_before_the_first_step(
    tiny_base, toy_recipe, toy_claims, cpu, job, tmp_path, monkeypatch
):
    honest = Encoder.example
    monkeypatch.setattr(Encoder, "example", lambda self, text, label: honest(self, text, "TRUE"))
    with pytest.raises(GateError, match="wrong supervision"):
        train_run(job(), cpu, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_failed_training_leaves_no_folder(job, cpu, tmp_path):
    with pytest.raises(GateError):
        train_run(job(learning_rate=1e30, clip_norm=0.0), cpu, tmp_path / "run")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["dev.jsonl", "train.jsonl"]


def test_a_folder_that_is_no_run_is_refused(tmp_path, cpu):
    with pytest.raises(RunError, match="not a finished run"):
        load_run(tmp_path, cpu)


def test_a_changed_file_is_noticed(job, cpu, tmp_path):
    train_run(job(), cpu, tmp_path / "run")
    path = tmp_path / "run" / "adapter_model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(RunError, match="expected sha256"):
        load_run(tmp_path / "run", cpu)


def test_a_run_that_answers_differently_is_stopped_by_its_golden_rows(job, cpu, tmp_path):
    train_run(job(), cpu, tmp_path / "run")
    path = tmp_path / "run" / "run.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest["golden"][3]["margin"] += 0.5
    path.write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(GateError, match="does not answer as it was measured"):
        load_run(tmp_path / "run", cpu)


def test_the_budget_counts_base_and_adapter_together_and_an_override_is_kept(job, cpu, tmp_path, monkeypatch):
    base = train_run(job(), cpu, tmp_path / "a").base.parameters
    monkeypatch.setattr("medverdict.model.budget.LIMIT", base + 1)
    with pytest.raises(GateError, match="of adapters"):
        train_run(job(), cpu, tmp_path / "b")
    assert not (tmp_path / "b").exists()
    allowed = train_run(replace(job(), over_budget=True), cpu, tmp_path / "c")
    assert len(allowed.overrides) == 1 and "budget overridden" in allowed.overrides[0]


def test_supervision_is_checked_row_by_row(tiny_base, toy_recipe, toy_claims, cpu):
    encoder = Verifier.load(tiny_base, toy_recipe, cpu).encoder
    wrong = encoder.example(toy_claims[0].text, "TRUE")
    check_supervision(encoder, toy_claims[1], wrong)
    with pytest.raises(GateError, match="expected ' Sai'"):
        check_supervision(encoder, toy_claims[0], wrong)
