"""A training that was cut goes on exactly where it was, or says why it cannot."""

import errno
import json
import os
import random
import resource
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from filelock import FileLock

from killing import Trained
from medverdict.app.training import TrainOptions, resume_command
from medverdict.errors import GateError, RunError
from medverdict.files import sha256_file
from medverdict.model.precision import Placement
from medverdict.train import loop, work
from medverdict.train.run import train_run
from medverdict.train.work import Cadence, checkpoint_steps

HARD = {"lora_dropout": 0.1, "accumulation": 2, "batch_size": 2, "keep_best": True, "eval_every": 3}


@pytest.fixture
def cut(cpu, monkeypatch):
    """Train with a checkpoint every two steps and press Ctrl-C when `steps` are done."""

    def train(job, out, steps, place=cpu, **options):
        honest = loop.step_within_memory

        def until(verifier, engine, batch, rate, position, meanwhile):
            if position.step == steps:
                raise KeyboardInterrupt
            return honest(verifier, engine, batch, rate, position, meanwhile)

        with monkeypatch.context() as patched:
            patched.setattr(loop, "step_within_memory", until)
            with pytest.raises(KeyboardInterrupt):
                train_run(job, place, out, checkpoint_every="2", **options)
        return out.with_name(f"{out.name}.partial")

    return train


@pytest.fixture
def said(monkeypatch):
    """What was told to the user."""
    lines = []
    for room in ("work", "session", "loop", "run"):
        monkeypatch.setattr(f"medverdict.train.{room}.say", lines.append)
    return lines


@pytest.mark.parametrize("steps", [3, 13])
def test_a_cut_at_any_step_changes_no_byte(job, cpu, cut, tmp_path, steps):
    train_run(job(**HARD), cpu, tmp_path / "whole")
    cut(job(**HARD), tmp_path / "run", steps)
    run = train_run(job(**HARD), cpu, tmp_path / "run", resume=True)
    assert Trained.of(tmp_path / "run") == Trained.of(tmp_path / "whole")
    assert run.resumes == (f"continued after step {steps - steps % 2}",)
    assert not (tmp_path / "run.partial").exists()


@pytest.mark.parametrize(("method", "precision"), [("full", "fp32"), ("lora", "bf16"), ("lora", "fp16")])
def test_so_it_is_for_every_method_and_number_format(job, cut, tmp_path, method, precision):
    """fp16 on a CPU is slow but real: the scaler's state is part of what goes on."""
    place = Placement(torch.device("cpu"), precision)
    training = job(**HARD | {"method": method, "lora_rank": 4 if method == "lora" else 0})
    train_run(training, place, tmp_path / "whole")
    cut(training, tmp_path / "run", 9, place)
    train_run(training, place, tmp_path / "run", resume=True)
    weights = "adapter_model.safetensors" if method == "lora" else "model.safetensors"
    for name in (weights, "dev.jsonl"):
        assert sha256_file(tmp_path / "run" / name) == sha256_file(tmp_path / "whole" / name)


def test_the_best_weights_of_before_the_cut_are_not_forgotten(job, cpu, cut, tmp_path):
    """Dev says the opposite of what is taught, so the more is learnt the worse it is judged."""
    training = job(epochs=6.0, keep_best=True)
    opposite = {"TRUE": "FALSE", "FALSE": "TRUE"}
    turned = tuple(claim.model_copy(update={"label": opposite[claim.label]}) for claim in training.dev.claims)
    training = replace(training, dev=training.dev.model_copy(update={"claims": turned}))
    best = train_run(training, cpu, tmp_path / "whole").best_step
    assert best < 30
    cut(training, tmp_path / "run", 31)
    assert train_run(training, cpu, tmp_path / "run", resume=True).best_step == best
    assert Trained.of(tmp_path / "run") == Trained.of(tmp_path / "whole")


def test_nothing_but_torch_draws_random_numbers(job, cpu, tmp_path):
    """So that torch's states are all the random states there are."""
    before = random.getstate(), np.random.get_state()[1].tolist()
    train_run(job(**HARD), cpu, tmp_path / "run")
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before


def test_a_cut_training_is_neither_forgotten_nor_continued_unasked(job, cpu, cut, tmp_path):
    partial = cut(job(), tmp_path / "run", 5)
    with pytest.raises(RunError, match=r"checkpoint of step 4\. Add --resume auto"):
        train_run(job(), cpu, tmp_path / "run")
    assert checkpoint_steps(partial) == [2, 4]


def test_a_cut_before_the_first_checkpoint_leaves_nothing(job, cut, tmp_path):
    assert not cut(job(), tmp_path / "run", 1).exists()


def test_resuming_what_was_never_begun_begins_it_and_what_is_finished_is_left_alone(job, cpu, tmp_path, said):
    first = train_run(job(), cpu, tmp_path / "run", resume=True)
    (tmp_path / "run.partial").mkdir()  # as a process leaves it that was killed after its last rename
    assert train_run(job(), cpu, tmp_path / "run", resume=True) == first
    assert "finished already" in said[-1] and not (tmp_path / "run.partial").exists()
    with pytest.raises(RunError, match="of another recipe, base or data"):
        train_run(job(seed=5), cpu, tmp_path / "run", resume=True)


def test_what_is_not_as_it_was_begun_is_refused_with_every_difference(job, cpu, cut, tmp_path, monkeypatch):
    partial = cut(job(), tmp_path / "run", 5)
    now = job(epochs=3.0, seed=1)
    info = now.base.info.model_copy(update={"sha256": "b" * 64})
    now = replace(
        now,
        base=replace(now.base, info=info),
        train=now.train.model_copy(update={"sha256": "c" * 64}),
        dev=now.dev.model_copy(update={"sha256": "d" * 64}),
    )
    monkeypatch.setattr("medverdict.train.identity.source_sha256", lambda: "e" * 64)
    with pytest.raises(RunError, match="cannot be continued") as refused:
        train_run(now, Placement(torch.device("cpu"), "bf16"), tmp_path / "run", resume=True)
    for words in (
        "epochs was 2.0 and is 3.0",
        "seed was 0 and is 1",
        "base: sha256 was",
        "training rows: sha256 was",
        "dev rows: sha256 was",
        "medverdict's own code: sha256 was",
        "precision: was fp32 and is bf16",
    ):
        assert words in str(refused.value)
    assert checkpoint_steps(partial) == [2, 4]


def test_another_device_or_library_is_said_and_recorded(job, cpu, cut, tmp_path, said, monkeypatch):
    cut(job(), tmp_path / "run", 5)
    monkeypatch.setattr(Placement, "device_name", "Another GPU")
    run = train_run(job(), cpu, tmp_path / "run", resume=True)
    assert "-> Another GPU" in run.resumes[0]
    assert any("may differ" in line for line in said)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-7])


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


PARTS = (*(f"{n}.safetensors" for n in ("weights", "kept", "engine", "small")), *("state.json", "history.jsonl"))


@pytest.mark.parametrize("part", [*PARTS, "manifest.json"])
@pytest.mark.parametrize("damage", [truncate, flip, os.unlink])
def test_a_damaged_newest_checkpoint_is_passed_over_and_it_is_said(cut_once, part, damage, said):
    now, fresh = cut_once
    damage(fresh / "step-00000004" / part)
    found = work.WorkFolder(fresh).newest(now)
    assert found.position.step == 2
    assert len(said) == 1 and "step 4 is damaged" in said[0] and part in said[0]
    assert checkpoint_steps(fresh) == [2]


@pytest.fixture(scope="module")
def cut_once_for_all(tmp_path_factory):
    """Filled by the first test that needs it: two checkpoints, and the identity they were written under."""
    return {"folder": tmp_path_factory.mktemp("cut-once") / "partial"}


@pytest.fixture
def cut_once(cut_once_for_all, job, cut, tmp_path, monkeypatch):
    kept = cut_once_for_all
    if "identity" not in kept:
        honest = work.WorkFolder.newest
        with monkeypatch.context() as patched:
            patched.setattr(work.WorkFolder, "newest", lambda self, now: kept.update(identity=now) or honest(self, now))
            shutil.copytree(cut(job(keep_best=True, eval_every=1), tmp_path / "run", 5), kept["folder"])
    fresh = tmp_path / "fresh"
    shutil.copytree(kept["folder"], fresh)
    return kept["identity"], fresh


def test_a_training_goes_on_from_the_checkpoint_before(job, cpu, cut, tmp_path, said):
    train_run(job(**HARD), cpu, tmp_path / "whole")
    flip(cut(job(**HARD), tmp_path / "run", 9) / "step-00000008" / "engine.safetensors")
    run = train_run(job(**HARD), cpu, tmp_path / "run", resume=True)
    assert run.resumes == ("continued after step 6",)
    assert Trained.of(tmp_path / "run") == Trained.of(tmp_path / "whole")


def test_where_every_checkpoint_is_damaged_nothing_is_begun_anew_in_silence(cut_once):
    now, fresh = cut_once
    for step in (2, 4):
        truncate(fresh / f"step-{step:08d}" / "weights.safetensors")
    with pytest.raises(RunError, match="every checkpoint is damaged"):
        work.WorkFolder(fresh).newest(now)
    assert checkpoint_steps(fresh) == [2, 4]


@pytest.mark.parametrize("manifest", ["", "[]", "null", "[" * 100_000, '{"manifest": 1}', "\x00"])
def test_a_manifest_of_nonsense_is_damage_too(cut_once, said, manifest):
    now, fresh = cut_once
    (fresh / "step-00000004" / "manifest.json").write_text(manifest)
    assert work.WorkFolder(fresh).newest(now).position.step == 2


def test_a_checkpoint_of_another_layout_is_not_called_damaged(cut_once):
    """Its seal is right, so an older or newer medverdict wrote it."""
    from medverdict.train.checkpoint import _seal

    now, fresh = cut_once
    path = fresh / "step-00000004" / "manifest.json"
    manifest = json.loads(path.read_text())["manifest"] | {"of tomorrow": 1}
    path.write_text(json.dumps({"manifest": manifest, "sha256": _seal(manifest)}))
    with pytest.raises(RunError, match="another version of medverdict"):
        work.WorkFolder(fresh).newest(now)


def test_a_disk_that_is_full_stops_the_training_and_harms_no_older_checkpoint(job, cpu, tmp_path, monkeypatch):
    """The first write succeeds; in the second the disk is full when the third file is synced."""
    synced, honest = [], os.fsync

    def full(handle):
        synced.append(handle)
        if len(synced) > 12:
            raise OSError(errno.ENOSPC, "No space left on device")
        honest(handle)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(RunError, match="no space left"):
            train_run(job(**HARD), cpu, tmp_path / "run", checkpoint_every="2")
    assert sorted(p.name for p in (tmp_path / "run.partial").iterdir()) == ["lock", "step-00000002"]
    train_run(job(**HARD), cpu, tmp_path / "whole")
    train_run(job(**HARD), cpu, tmp_path / "run", resume=True)
    assert Trained.of(tmp_path / "run") == Trained.of(tmp_path / "whole")


def test_a_write_that_the_kernel_cuts_short_is_the_users_error(job, cpu, tmp_path):
    """A real refusal in the middle of the weights: no file may grow beyond 10,000 bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(RunError, match=r"step-00000002: could not be written: File too large"):
            train_run(job(), cpu, tmp_path / "run", checkpoint_every="2")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not (tmp_path / "run.partial").exists()


def test_a_folder_that_cannot_be_written_is_named_before_any_step(job, cpu, tmp_path, monkeypatch):
    monkeypatch.setattr("medverdict.train.run.run_training", lambda *_: pytest.fail("trained for nothing"))
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="could not be written"):
        train_run(job(), cpu, tmp_path / "file" / "run")

    def refuse(*_arguments, **_options):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    with pytest.raises(RunError, match="cannot be written"):
        train_run(job(), cpu, tmp_path / "run")


def test_a_run_folder_in_use_is_refused(job, cpu, cut, tmp_path):
    partial = cut(job(), tmp_path / "run", 5)
    with FileLock(partial / "lock"), pytest.raises(RunError, match="in use by another process"):
        train_run(job(), cpu, tmp_path / "run", resume=True)
    assert checkpoint_steps(partial) == [2, 4]
    train_run(job(), cpu, tmp_path / "run", resume=True)


def test_a_training_that_breaks_keeps_its_checkpoints(job, cpu, tmp_path):
    broken = job(learning_rate=1e30, clip_norm=0.0, warmup_ratio=1.0, epochs=4.0)
    with pytest.raises(GateError):
        train_run(broken, cpu, tmp_path / "run", checkpoint_every="1")
    assert len(checkpoint_steps(tmp_path / "run.partial")) <= 2


def test_only_the_last_two_checkpoints_are_kept(job, cut, tmp_path):
    assert checkpoint_steps(cut(job(), tmp_path / "run", 13)) == [10, 12]


@pytest.mark.parametrize("every", ["", "0", "0m", "5h", "-3", "1.5", "nan", "٣", "1e3", "9" * 400, "5 m"])
def test_an_interval_that_means_nothing_is_refused(every):
    with pytest.raises(RunError, match="expected minutes such as 5m, or steps"):
        Cadence(every)


def test_checkpoints_come_by_steps_or_by_the_clock_and_cost_little(monkeypatch):
    assert [step for step in range(1, 10) if Cadence("3").due(step)] == [3, 6, 9]
    now = [0.0]
    monkeypatch.setattr(work, "monotonic", lambda: now[0])
    cadence = Cadence("0.5m")
    now[0] = 29.0
    assert not cadence.due(1)
    now[0] = 30.0
    assert cadence.due(2)
    with cadence.measured():
        now[0] = 40.0  # ten seconds for one checkpoint: the next after 500, which is 2 %
    now[0] = 539.0
    assert not cadence.due(3)
    now[0] = 540.0
    assert cadence.due(4)


def test_a_clock_set_back_neither_stops_checkpoints_nor_makes_time_negative(job, cpu, tmp_path, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(work, "monotonic", lambda: now[0])
    cadence = Cadence("1m")
    now[0] = 10.0
    assert not cadence.due(1)
    now[0] = 70.0
    assert cadence.due(2)

    moments = iter([100.0, 101.0, 50.0, 103.0])
    monkeypatch.setattr(loop, "monotonic", lambda: next(moments, 104.0))
    train_run(job(), cpu, tmp_path / "run")
    seconds = [row.seconds for row in Trained.read_history(tmp_path / "run")]
    assert seconds[1:4] == [1.0, 1.0, 3.0] and seconds == sorted(seconds)


def test_the_command_that_continues_can_be_pasted(tmp_path):
    options = TrainOptions(["seed=3", 'base="a b"'], despite_leak=True, precision="fp16", checkpoint_every="9")
    command = resume_command("quickstart", tmp_path / "data", tmp_path / "r", options)
    assert command.endswith("--resume auto")
    assert "--set 'base=\"a b\"'" in command and "--despite-leak" in command and "--precision fp16" in command
