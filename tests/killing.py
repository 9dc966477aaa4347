"""A training in a process of its own, forked from one that has everything imported, to be killed at will."""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import signal
import time
from dataclasses import dataclass, replace
from pathlib import Path

from medverdict.files import read_records, sha256_file
from medverdict.model.precision import Precision
from medverdict.records import HistoryRow
from medverdict.train.engine import EngineChoice
from medverdict.train.manifest import Job

STAGES = 12
"""Calls a checkpoint makes that the disk must have answered before the next: fsync, rename, rmtree."""


def nursery() -> multiprocessing.context.ForkServerContext:
    """Forks in milliseconds; a fresh interpreter would spend seconds on imports."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["medverdict.train.run", "medverdict.train.fast", "transformers.models.qwen2.modeling_qwen2"]
    )
    return context


@dataclass(frozen=True)
class Trained:
    """What must be equal, byte for byte."""

    weights: str
    predictions: str
    zero_shot: str
    history: tuple[HistoryRow, ...]
    """Without wall-clock seconds."""

    @classmethod
    def of(cls, run: Path) -> Trained:
        """Read from a finished run."""
        rows = cls.read_history(run)
        hashes = [sha256_file(run / n) for n in ("adapter_model.safetensors", "dev.jsonl", "dev-zero-shot.jsonl")]
        return cls(*hashes, tuple(row.model_copy(update={"seconds": 0.0}) for row in rows))

    @staticmethod
    def read_history(run: Path) -> list[HistoryRow]:
        """With seconds."""
        return read_records(run / "history.jsonl", HistoryRow)


@dataclass(frozen=True)
class Way:
    """How a training is done."""

    engine: EngineChoice = "plain"
    device: str = "cpu"
    precision: Precision = "fp32"
    checkpoint_every: str = "2"


def train_here(job: Job, out: Path, way: Way, stage: int | None) -> None:
    """Train or go on, in this process; die at the `stage`-th answer of the disk, if one is given."""
    import torch

    from medverdict.console import progress_console
    from medverdict.model.precision import Placement
    from medverdict.train.run import train_run

    progress_console.quiet = True
    torch.set_num_threads(1)
    if stage is not None:
        die_at(stage)
    place = Placement(torch.device(way.device), way.precision)
    job = replace(job, engine=way.engine)
    train_run(job, place, out, resume=True, checkpoint_every=way.checkpoint_every)


def train_apart(job: Job, out: Path, way: Way) -> Trained:
    """Train without a cut, in a process that has trained nothing before."""
    process = nursery().Process(target=train_here, args=(job, out, way, None))
    process.start()
    process.join()
    assert process.exitcode == 0
    return Trained.of(out)


def survive(job: Job, folder: Path, way: Way, kills: int, seed: int) -> tuple[list[Path], int]:
    """Kill a training `kills` times, by turns inside a write and at any moment; the runs it took, and the deaths."""
    chance = random.Random(seed)
    runs: list[Path] = []
    deaths, longest = 0, 2.0
    while deaths < kills or any(folder.glob(f"run-{len(runs)}*")):
        out = folder / f"run-{len(runs)}"
        inside = deaths < kills and deaths % 2 == 0
        stage = chance.randrange(2, 3 * STAGES) if inside else None
        process = nursery().Process(target=train_here, args=(job, out, way, stage))
        started = time.monotonic()
        process.start()
        process.join(chance.uniform(0, longest) if deaths < kills and not inside else None)
        if process.is_alive():
            process.kill()
            process.join()
        assert process.exitcode in (0, -signal.SIGKILL)
        if process.exitcode == 0:
            longest = time.monotonic() - started
            runs.append(out)
        else:
            deaths += 1
    return runs, deaths


def die_at(stage: int) -> None:
    """SIGKILL for this process at its `stage`-th fsync, rename or removal of a folder: half before it, half after."""
    left = [stage]

    def fatal(honest):
        def call(*arguments, **options):
            left[0] -= 1
            if left[0] < 0 and stage % 2:
                os.kill(os.getpid(), signal.SIGKILL)
            answer = honest(*arguments, **options)
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return answer

        return call

    os.fsync, Path.rename, shutil.rmtree = fatal(os.fsync), fatal(Path.rename), fatal(shutil.rmtree)
