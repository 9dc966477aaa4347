"""Claims of many requests -> batches for one model: one thread asks it, everyone else waits."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from medverdict.serve.limits import Limits, RefusedError

Score = Callable[[Sequence[str]], np.ndarray]
"""Claims to margins (n,)."""


@dataclass(eq=False)
class _Job:
    """One request's claims, and what is known of them."""

    texts: Sequence[str]
    deadline: float
    taken: int = 0
    """How many of them have been put into a batch."""
    margins: list[float] = field(default_factory=list)
    error: Exception | None = None
    done: threading.Event = field(default_factory=threading.Event)

    @property
    def left(self) -> int:
        """Claims that still wait."""
        return len(self.texts) - self.taken

    def take(self, most: int) -> Sequence[str]:
        """The next claims."""
        part = self.texts[self.taken : self.taken + most]
        self.taken += len(part)
        return part


class Batcher:
    """Joins what waits into batches of at most `size` claims.

    Nobody waits for a batch to fill: while the model works the next batch gathers. Requests take turns, so that a
    long one does not keep a short one waiting for all of its claims.
    """

    def __init__(self, score: Score, limits: Limits, size: int) -> None:
        self._score = score
        self._limits = limits
        self._size = size
        self._jobs: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._waiting = 0
        self._closed = False
        self._worker = threading.Thread(target=self._work, name="model", daemon=True)
        self._worker.start()

    def ask(self, texts: Sequence[str]) -> list[float]:
        """Margins of claims, in their order; returns when they are known.

        Raises RefusedError: 429 where too many claims wait, 503 where it takes too long or the server stops. What the
        model raises is raised here.
        """
        job = _Job(texts, time.monotonic() + self._limits.seconds)
        with self._changed:
            self._require_room(len(texts))
            self._waiting += len(texts)
            self._jobs.append(job)
            self._changed.notify()
        if not job.done.wait(self._limits.seconds):
            raise RefusedError(503, f"no answer within {self._limits.seconds:g} seconds; send fewer claims at once.")
        if job.error:
            raise job.error
        return job.margins

    @property
    def waiting(self) -> int:
        """Claims in no batch yet."""
        return self._waiting

    @property
    def alive(self) -> bool:
        """Whether claims are still judged."""
        return self._worker.is_alive() and not self._closed

    def close(self) -> None:
        """Take nothing more, judge what waits, and stop."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._worker.join()

    def _require_room(self, claims: int) -> None:
        if self._closed:
            raise RefusedError(503, "the server is stopping.")
        if self._waiting + claims > self._limits.waiting:
            raise RefusedError(
                429, f"{self._waiting} claims wait already, at most {self._limits.waiting} may; try again soon."
            )

    def _work(self) -> None:
        while batch := self._next_batch():
            texts = [text for job, part in batch for text in part]
            try:
                margins = [float(margin) for margin in self._score(texts)]
            except Exception as error:  # whatever it is, it belongs to these requests, and the server goes on
                self._fail([job for job, _ in batch], error)
                continue
            for job, part in batch:
                job.margins += margins[: len(part)]
                margins = margins[len(part) :]
                if len(job.margins) == len(job.texts):
                    job.done.set()

    def _next_batch(self) -> list[tuple[_Job, Sequence[str]]]:
        """Claims to judge next, with the job of each; waits for some, and is empty when the server stops."""
        with self._changed:
            while True:
                self._drop_late()
                if self._jobs or self._closed:
                    return self._take()
                self._changed.wait()

    def _take(self) -> list[tuple[_Job, Sequence[str]]]:
        """At most `size` claims, an equal share of each waiting job; what is left of a job goes to the end."""
        batch: list[tuple[_Job, Sequence[str]]] = []
        free = self._size
        for turns_left in range(len(self._jobs), 0, -1):
            if not free:
                break
            job = self._jobs.popleft()
            part = job.take(max(1, free // turns_left))
            batch.append((job, part))
            free -= len(part)
        self._waiting -= sum(len(part) for _, part in batch)
        self._jobs.extend(job for job, _ in batch if job.left)
        return batch

    def _drop_late(self) -> None:
        now = time.monotonic()
        self._drop([job for job in self._jobs if job.deadline < now])

    def _fail(self, jobs: Sequence[_Job], error: Exception) -> None:
        with self._changed:
            self._drop(jobs)
        for job in jobs:
            job.error = error
            job.done.set()

    def _drop(self, jobs: Sequence[_Job]) -> None:
        """Forget what waits of these; nobody asks for it any more."""
        for job in jobs:
            if job in self._jobs:
                self._jobs.remove(job)
                self._waiting -= job.left
