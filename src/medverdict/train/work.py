"""OUT.partial: the folder in which a run is made, by one process at a time, and which outlives a cut."""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

from filelock import FileLock, Timeout

from medverdict.console import say
from medverdict.errors import RunError
from medverdict.files import disk_error, require_new
from medverdict.train.checkpoint import Checkpoint, DamagedError, read_checkpoint, write_checkpoint
from medverdict.train.identity import Identity

KEPT_CHECKPOINTS = 2
LARGEST_SHARE = 0.02
"""Of the time of training that writing checkpoints by the clock may take."""
_STEP_FOLDER = re.compile(r"step-(\d{8})")


def partial_folder(out: Path) -> Path:
    """Where a run is made before it stands at `out`: beside it, so that a rename is enough."""
    return out.with_name(f"{out.name}.partial")


def require_startable(out: Path, resume: bool) -> None:
    """Refuse, before any work is spent, to write over a run or to forget checkpoints. Raises RunError."""
    require_new(out)
    cut_off = checkpoint_steps(partial_folder(out))
    if cut_off and not resume:
        raise RunError(
            f"{partial_folder(out)}: holds a training that was cut off, with a checkpoint of step {cut_off[-1]}. "
            "Add --resume auto to continue it, or delete that folder."
        )


def checkpoint_steps(folder: Path) -> list[int]:
    """Steps of the checkpoints in a working folder, in order."""
    found = [_STEP_FOLDER.fullmatch(path.name) for path in folder.glob("step-*")]
    return sorted(int(match[1]) for match in found if match)


class Cadence:
    """When the next checkpoint is due: by steps, or by the clock and then at a small share of the time."""

    def __init__(self, every: str) -> None:
        """`every` is steps ("200") or minutes ("5m"). Raises RunError for anything else."""
        match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(m?)", every)
        amount = float(match[1]) if match else 0.0
        if not match or amount <= 0 or not (match[2] or amount.is_integer()):
            raise RunError(f"--checkpoint-every {every}: expected minutes such as 5m, or steps such as 200.")
        self._steps = 0 if match[2] else int(amount)
        self._seconds = amount * 60 if match[2] else math.inf
        self._cost = 0.0
        self._last = monotonic()

    def due(self, step: int) -> bool:
        """Whether to write one after this step."""
        if self._steps:
            return step % self._steps == 0
        now = monotonic()
        self._last = min(self._last, now)  # a clock set back must not put off checkpoints
        return now - self._last >= max(self._seconds, self._cost / LARGEST_SHARE)

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Around the writing of one: what it costs decides how soon the next may come."""
        before = monotonic()
        yield
        self._last = monotonic()
        self._cost = self._last - before


class WorkFolder:
    """The checkpoints of one training, and the place where its run is put together."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def steps(self) -> list[int]:
        """Of the checkpoints here, in order."""
        return checkpoint_steps(self.path)

    def write(self, checkpoint: Checkpoint) -> None:
        """Add a checkpoint, and only then forget all but the last two. Raises RunError when the disk refuses."""
        write_checkpoint(self._of(checkpoint.position.step), checkpoint)
        for step in self.steps()[:-KEPT_CHECKPOINTS]:
            shutil.rmtree(self._of(step), ignore_errors=True)

    def newest(self, now: Identity) -> Checkpoint | None:
        """The newest checkpoint that is whole, or None where there is none at all; says what it passes over.

        Raises RunError when it belongs to another training than `now`, or when every checkpoint is damaged.
        """
        damaged: list[int] = []
        for step in reversed(self.steps()):
            try:
                checkpoint = read_checkpoint(self._of(step), now)
            except DamagedError as error:
                say(f"the checkpoint of step {step} is damaged: {error}")
                damaged.append(step)
                continue
            for later in damaged:
                shutil.rmtree(self._of(later), ignore_errors=True)
            return checkpoint
        if damaged:
            raise RunError(f"{self.path}: every checkpoint is damaged. Delete the folder and train again.")
        return None

    def read(self, step: int, now: Identity) -> Checkpoint:
        """The checkpoint of one step, which another process has found whole."""
        return read_checkpoint(self._of(step), now)

    @contextmanager
    def result(self, out: Path) -> Iterator[Path]:
        """A new folder for the run; on success it stands at `out`, and this working folder is gone."""
        folder = self.path / "run"
        shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed here
        folder.mkdir()
        yield folder
        if out.is_dir():
            out.rmdir()
        folder.rename(out)
        shutil.rmtree(self.path, ignore_errors=True)

    def _of(self, step: int) -> Path:
        return self.path / f"step-{step:08d}"


@contextmanager
def open_work(out: Path, resume: bool) -> Iterator[WorkFolder]:
    """The working folder of `out`, for this process alone.

    When training fails or is interrupted, checkpoints stay and it is said so; without one, nothing is left.
    Raises RunError when another process has it, `out` holds something, or the disk refuses.
    """
    work = WorkFolder(partial_folder(out))
    try:
        work.path.mkdir(parents=True, exist_ok=True)
        with FileLock(work.path / "lock", timeout=0):
            try:
                require_startable(out, resume)
                yield work
            finally:
                _leave(work)
    except Timeout:
        raise RunError(f"{work.path}: in use by another process. Wait for it, or choose another --out.") from None
    except OSError as error:
        raise disk_error(error, out) from error


@contextmanager
def followed_work(out: Path) -> Iterator[WorkFolder]:
    """The working folder that the first of several processes holds, for the others to read."""
    yield WorkFolder(partial_folder(out))


def _leave(work: WorkFolder) -> None:
    steps = work.steps()
    if steps:
        say(f"{work.path} keeps the checkpoint of step {steps[-1]}, for --resume auto.")
    else:
        shutil.rmtree(work.path, ignore_errors=True)
