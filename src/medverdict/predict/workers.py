"""CLAIMS -> MARGINS on several devices: one process each, with a copy of the run; answers come in the order asked."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import cycle
from multiprocessing.synchronize import Event
from pathlib import Path

import numpy as np
import torch

from medverdict.console import hush
from medverdict.errors import RunError
from medverdict.model.precision import Placement, choose_placement
from medverdict.predict.load import LoadedRun, load_run
from medverdict.predict.score import score_margins
from medverdict.predict.stream import Score

_AHEAD = 2
"""Lists given to a worker at a time: while it scores one, the next is on its way."""


@dataclass(frozen=True)
class _Task:
    """What a worker process is told when it starts."""

    folder: Path
    placement: Placement
    threads: int
    """Of the CPU, for the arithmetic of this process."""
    stop: Event
    """Set when nobody waits for its answers any more."""


_task: _Task
"""Of this process, where it is a worker."""


@contextmanager
def score_apart(folder: Path, placements: Sequence[Placement], advance: Callable[[int], None]) -> Iterator[Score]:
    """Scores the run in `folder` in a process for each placement; lists go to them in turn.

    A process loads the run as `load_run` does and ends with this context, or with its parent. What it raises is
    raised here; RunError where one dies.
    """
    context = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
    stop = context.Event()
    threads = max(1, torch.get_num_threads() // len(placements))
    workers = [
        (placement, ProcessPoolExecutor(1, context, _begin, (_Task(folder, placement, threads, stop),)))
        for placement in placements
    ]

    def score(asked: Iterable[list[str]]) -> Iterator[np.ndarray]:
        given: deque[tuple[Placement, Future[np.ndarray]]] = deque()
        for texts, (placement, pool) in zip(asked, cycle(workers), strict=False):
            if len(given) == _AHEAD * len(workers):
                yield _arrived(*given.popleft(), advance)
            with _death_told(placement):
                given.append((placement, pool.submit(_score, texts)))
        while given:
            yield _arrived(*given.popleft(), advance)

    try:
        yield score
    finally:
        stop.set()
        for _, pool in workers:
            pool.shutdown(cancel_futures=True)


def _arrived(placement: Placement, answer: Future[np.ndarray], advance: Callable[[int], None]) -> np.ndarray:
    with _death_told(placement):
        margins = answer.result()
    advance(len(margins))
    return margins


@contextmanager
def _death_told(placement: Placement) -> Iterator[None]:
    try:
        yield
    except BrokenProcessPool:
        raise RunError(
            f"the process that scored on {placement.device} died; killed, or out of memory? What was scored is kept; "
            "the same command goes on from there, on fewer devices with --devices."
        ) from None


def _begin(task: _Task) -> None:
    """The first thing that a worker process does."""
    global _task
    _task = task
    hush()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C reaches every process; one of them speaks of it
    torch.set_num_threads(task.threads)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A parent that was killed cannot say so, and its workers would hold their GPUs for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _score(texts: list[str]) -> np.ndarray:
    return score_margins(_loaded().verifier, texts, _go_on)


@cache
def _loaded() -> LoadedRun:
    # by this process's choice, which makes the device the current one
    return load_run(_task.folder, choose_placement(_task.placement.precision, _task.placement.device))


def _go_on(rows: int) -> None:
    """Told after each batch; leaves a list that nobody waits for."""
    if _task.stop.is_set():
        raise CancelledError
