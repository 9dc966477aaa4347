"""Many ask, one model answers: nothing is lost, mixed up or left waiting."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from medverdict.serve.batcher import Batcher
from medverdict.serve.limits import Limits, RefusedError


def lengths(texts):
    """A model whose answer can be checked: the length of the claim."""
    return np.array([float(len(text)) for text in texts])


class Slow:
    """A model that answers when it is let, and remembers what it was given."""

    def __init__(self):
        self.batches: list[list[str]] = []
        self.begun, self.go = threading.Semaphore(0), threading.Semaphore(0)

    def __call__(self, texts):
        self.batches.append(list(texts))
        self.begun.release()
        self.go.acquire()
        return lengths(texts)


@pytest.fixture
def pool():
    with ThreadPoolExecutor(32) as threads:
        yield threads


@pytest.fixture
def slow():
    model = Slow()
    yield model
    model.go.release(1000)


def wait_for(batcher, waiting):
    while batcher.waiting != waiting:
        threading.Event().wait(0.001)


def test_each_of_many_askers_gets_its_own_answers(pool):
    batcher = Batcher(lengths, Limits(waiting=100_000), size=7)
    asked = [["x" * (n + k) for k in range(1 + n % 11)] for n in range(300)]
    answers = list(pool.map(batcher.ask, asked))
    assert answers == [[float(len(text)) for text in texts] for texts in asked]
    assert batcher.waiting == 0
    batcher.close()


def test_what_waits_is_joined_and_a_long_request_does_not_hold_up_a_short_one(pool, slow):
    batcher = Batcher(slow, Limits(), size=4)
    first = pool.submit(batcher.ask, ["first"])
    assert slow.begun.acquire(timeout=5)
    long = pool.submit(batcher.ask, [f"long {n}" for n in range(9)])
    wait_for(batcher, 9)
    short = pool.submit(batcher.ask, ["short"])
    wait_for(batcher, 10)
    slow.go.release(2)
    assert first.result(5) == [5.0] and short.result(5) == [5.0]
    assert slow.batches[:2] == [["first"], ["long 0", "long 1", "short"]]
    slow.go.release(10)
    assert long.result(5) == [6.0] * 9
    batcher.close()


def test_beyond_the_queue_is_refused_at_once_and_what_was_taken_is_answered(pool, slow):
    batcher = Batcher(slow, Limits(waiting=3), size=1)
    taken = [pool.submit(batcher.ask, ["a"])]
    assert slow.begun.acquire(timeout=5)
    taken += [pool.submit(batcher.ask, ["bb"]) for _ in range(3)]
    wait_for(batcher, 3)
    with pytest.raises(RefusedError, match="at most 3") as refused:
        batcher.ask(["c"])
    assert refused.value.status == 429
    slow.go.release(10)
    assert [job.result(5) for job in taken] == [[1.0], [2.0], [2.0], [2.0]]
    batcher.close()


def test_what_comes_too_late_is_told_so_and_is_not_judged(pool, slow):
    batcher = Batcher(slow, Limits(seconds=1), size=1)
    first = pool.submit(batcher.ask, ["first"])
    assert slow.begun.acquire(timeout=5)
    with pytest.raises(RefusedError, match="no answer within") as late:
        batcher.ask(["late"])
    assert late.value.status == 503
    with pytest.raises(RefusedError):
        first.result(5)
    slow.go.release(10)  # not before: on a busy machine the first may have begun to wait after the second
    assert batcher.ask(["next"]) == [4.0]
    assert ["late"] not in slow.batches and batcher.waiting == 0
    batcher.close()


def test_a_model_that_fails_fails_those_it_was_asked_by_and_goes_on():
    def fussy(texts):
        if "bad" in texts:
            raise ValueError("not this one")
        return lengths(texts)

    batcher = Batcher(fussy, Limits(), size=2)
    with pytest.raises(ValueError, match="not this one"):
        batcher.ask(["bad", "b", "c", "d"])
    assert batcher.waiting == 0
    assert batcher.ask(["good"]) == [4.0]
    batcher.close()


def test_a_stopping_server_answers_what_it_took_and_takes_no_more(pool, slow):
    batcher = Batcher(slow, Limits(), size=1)
    taken = [pool.submit(batcher.ask, ["a"]) for _ in range(4)]
    assert slow.begun.acquire(timeout=5)
    wait_for(batcher, 3)
    closing = pool.submit(batcher.close)
    while batcher.alive:
        threading.Event().wait(0.001)
    with pytest.raises(RefusedError, match="stopping"):
        batcher.ask(["late"])
    slow.go.release(10)
    closing.result(5)
    assert [job.result(5) for job in taken] == [[1.0]] * 4
