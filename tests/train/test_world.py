"""Several processes train one model: the rows of a step are shared out, and the result is that of one process."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from killing import Trained
from medverdict.data.prepare import prepare
from medverdict.files import read_records
from medverdict.predict.load import read_run
from medverdict.records import HistoryRow
from medverdict.train.work import checkpoint_steps, partial_folder
from medverdict.train.world import ALONE, World

ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}


def test_every_row_of_a_step_is_exactly_one_processs():
    rows = list(range(17))
    for size in (1, 2, 3, 20):
        shares = [World(rank, size).share(rows) for rank in range(size)]
        assert sorted(row for share in shares for row in share) == rows


def test_each_process_draws_other_dropout_in_each_step_and_the_same_when_the_step_comes_again():
    def draw(rank, step):
        World(rank, 2).reseed(0, step)
        return torch.rand(4)

    assert torch.equal(draw(0, 5), draw(0, 5))
    assert not torch.equal(draw(0, 5), draw(1, 5))
    assert not torch.equal(draw(0, 5), draw(0, 6))


def test_one_process_alone_draws_on_from_where_it_stands():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    ALONE.reseed(0, 5)
    assert torch.equal(torch.get_rng_state(), before)


class Starter:
    """Starts `medverdict train` in some processes, as a user does."""

    def __init__(self, base, data):
        self.base, self.data = base, data

    def command(self, out, processes, *options):
        launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        words = [sys.executable, *(launch if processes > 1 else []), "-m", "medverdict", "train", "quickstart"]
        words += ["--data", self.data, "--out", out, "--base", self.base, "--set", "batch_size=3", *options]
        return [str(word) for word in words]

    def run(self, out, processes, *options):
        """Exit code and what was told."""
        done = subprocess.run(
            self.command(out, processes, *options), check=False, capture_output=True, text=True, env=ONE_THREAD
        )
        return done.returncode, done.stderr

    def run_and_kill(self, out, processes, *options):
        """SIGKILL for all of them as soon as two checkpoints stand."""
        words = self.command(out, processes, *options)
        begun = subprocess.Popen(words, stderr=subprocess.DEVNULL, env=ONE_THREAD)
        while begun.poll() is None and len(checkpoint_steps(partial_folder(out))) < 2:
            with contextlib.suppress(subprocess.TimeoutExpired):
                begun.wait(0.02)
        workers = Path(f"/proc/{begun.pid}/task/{begun.pid}/children").read_text().split()
        for worker in [begun.pid, *map(int, workers)]:
            os.kill(worker, signal.SIGKILL)
        begun.wait()


@pytest.fixture
def starter(tiny_base, few_claims, tmp_path):
    prepare([few_claims], tmp_path / "data")
    return Starter(tiny_base.path, tmp_path / "data")


def history(run):
    return read_records(run / "history.jsonl", HistoryRow)


def weights(run):
    return torch.cat([t.flatten() for _, t in sorted(load_file(run / "adapter_model.safetensors").items())])


def test_two_processes_end_where_one_does(starter, tmp_path):
    """Same rows in the same steps, the same losses, the same adapter to rounding; the rows are of uneven lengths, and
    the last step of an epoch has fewer of them."""
    options = ("--set", "epochs=2", "--set", "accumulation=3", "--precision", "fp32")
    one, two = tmp_path / "one", tmp_path / "two"
    code, told = starter.run(one, 1, *options)
    assert code == 0, told
    code, told = starter.run(two, 2, *options)
    assert code == 0, told
    assert read_run(two).processes == 2
    assert [(r.step, r.rows) for r in history(one)] == [(r.step, r.rows) for r in history(two)]
    assert [r.loss for r in history(two)][1:] == pytest.approx([r.loss for r in history(one)][1:], rel=1e-4)
    assert float((weights(two) - weights(one)).norm() / weights(one).norm()) < 1e-3
    assert told.count("supervised ") == 3, "only the first process speaks"


@pytest.mark.slow
def test_two_that_were_killed_go_on_to_the_same_bytes_and_one_may_not_take_over(starter, tmp_path):
    options = ("--set", "epochs=20", "--set", "lora_dropout=0.1", "--checkpoint-every", "2", "--resume", "auto")
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert starter.run(whole, 2, *options)[0] == 0
    starter.run_and_kill(cut, 2, *options)
    assert not cut.exists()
    code, told = starter.run(cut, 1, *options)
    assert code == 2 and "processes: was 2 and is 1" in told
    code, told = starter.run(cut, 2, *options)
    assert code == 0 and "continued after step" in told
    assert Trained.of(cut) == Trained.of(whole)
