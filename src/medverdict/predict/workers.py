"""CLAIMS -> MARGINS on several devices: one process each, with a copy of the run; answers come in the order asked."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import cycle
from multiprocessing.connection import Connection
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
"""Lists asked of a worker at a time: while it scores one, the next waits in this process, ready to be sent."""


@contextmanager
def score_apart(folder: Path, placements: Sequence[Placement], advance: Callable[[int], None]) -> Iterator[Score]:
    """Scores the run in `folder` in a process for each placement; lists go to them in turn.

    A process loads the run as `load_run` does and ends with this context, or with its parent. What it raises is
    raised here; RunError where one dies.
    """
    threads = max(1, torch.get_num_threads() // len(placements))
    workers: list[_Worker] = []

    def score(asked: Iterable[list[str]]) -> Iterator[np.ndarray]:
        given: deque[Future[np.ndarray]] = deque()
        for texts, worker in zip(asked, cycle(workers), strict=False):
            if len(given) == _AHEAD * len(workers):
                yield _arrived(given.popleft(), advance)
            given.append(worker.ask(texts))
        while given:
            yield _arrived(given.popleft(), advance)

    try:
        with _without_ctrl_c():
            for placement in placements:
                workers.append(_Worker(folder, placement, threads))
        yield score
    finally:
        for worker in workers:
            worker.end()


def _arrived(answer: Future[np.ndarray], advance: Callable[[int], None]) -> np.ndarray:
    margins = answer.result()
    advance(len(margins))
    return margins


@contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """Processes started within never hear Ctrl-C, not even while they import: it reaches all, and one speaks of it."""
    if threading.current_thread() is not threading.main_thread():  # only that one may say so
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class _Worker:
    """A process, and a thread here that talks to it.

    A list is sent when the list before was answered, so that never both ends wait for the other to read. No lock is
    shared with the process: it may be killed at any moment.
    """

    def __init__(self, folder: Path, placement: Placement, threads: int) -> None:
        context = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
        self._device = placement.device
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, folder, placement, threads), daemon=True)
        self._process.start()
        theirs.close()  # held here too, it would stay open when the process dies
        self._thread = ThreadPoolExecutor(1)

    def ask(self, texts: list[str]) -> Future[np.ndarray]:
        """Its margins (texts,), when they come."""
        return self._thread.submit(self._answer, texts)

    def _answer(self, texts: list[str]) -> np.ndarray:
        try:
            self._pipe.send(texts)
            answer = self._pipe.recv()
        except (EOFError, OSError):
            raise RunError(
                f"the process that scored on {self._device} died: killed, out of memory, or for what it said itself, "
                "which then stands above. What was scored is kept; the same command goes on from there, on fewer "
                "devices with --devices."
            ) from None
        if isinstance(answer, Exception):
            raise answer
        margins: np.ndarray = answer
        return margins

    def end(self) -> None:
        """At once, whatever it is doing: nobody waits for its answers any more."""
        self._process.kill()
        self._process.join()
        self._thread.shutdown(cancel_futures=True)  # it waits for nothing: the other end of the pipe is gone
        self._pipe.close()


def _work(pipe: Connection, folder: Path, placement: Placement, threads: int) -> None:
    """What a worker process does: answers each list with its margins, or with what was raised, and then leaves."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    hush()
    torch.set_num_threads(threads)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    loaded: LoadedRun | None = None
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the parent is gone
        while True:
            texts = pipe.recv()
            try:
                if loaded is None:  # by this process's choice, which makes the device the current one
                    loaded = load_run(folder, choose_placement(placement.precision, placement.device))
                margins = score_margins(loaded.verifier, texts)
            except Exception as error:
                error.add_note(traceback.format_exc())  # a traceback does not travel
                pipe.send(error)
                return
            pipe.send(margins)


def _end_with_parent() -> None:
    """A parent that was killed cannot say so, and its workers would hold their GPUs for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
