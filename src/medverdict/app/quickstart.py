"""The main job, end to end: base, data, audit, training, evaluation, one table and the path of a report."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import torch

from medverdict.app.evaluation import Evaluated, evaluate
from medverdict.app.training import TrainOptions, train
from medverdict.claims import test_file, training_files
from medverdict.console import result_console, say
from medverdict.data.prepare import prepare, print_summary
from medverdict.errors import RunError
from medverdict.evaluate.tables import summary_sheet
from medverdict.evaluate.wording import conclusion
from medverdict.model.bases import cached, fetch

RECIPE = "quickstart"
FEW = ("09-teacher-style", "10-teacher-style-by-disease")
"""What two cores can train on in minutes."""
HUB_BASE = "qwen2.5-0.5b-instruct"
OFFLINE_BASE = "qwen2.5-coder-0.5b"


@dataclass(frozen=True)
class Choice:
    """What this machine is given to do."""

    base: str
    files: tuple[Path, ...]
    settings: tuple[str, ...]
    reason: str
    """For a person."""


def quickstart(out: Path, base: str | None = None) -> Evaluated:
    """Do the whole job under `out` (`out-2`, `out-3`, … where that exists) and print what came of it."""
    started = time.monotonic()
    out = free_folder(out)
    choice = choose(base or available_base())
    say(choice.reason)
    prepared = prepare(choice.files, out / "data", test_files=[test_file()])
    print_summary(prepared)
    train(RECIPE, out / "data", out / "run", TrainOptions([f"base={choice.base}", *choice.settings]))
    evaluated = evaluate(out / "run", out / "data" / "test.jsonl", out / "report", with_shipped=True)
    show(evaluated, time.monotonic() - started)
    return evaluated


def free_folder(out: Path) -> Path:
    """`out`, or the first of `out-2`, `out-3`, … that does not exist: an older result is never overwritten."""
    free, number = out, 1
    while free.exists():
        number += 1
        free = out.with_name(f"{out.name}-{number}")
    return free


def available_base() -> str:
    """What is cached already, so that a second run downloads nothing; else the general base where the hub gives it,
    else the coder base of the same size, which a mirror holds too.
    """
    for name in (HUB_BASE, OFFLINE_BASE):
        if cached(name):
            return name
    try:
        fetch(HUB_BASE)
    except RunError as error:
        say(f"{error}\nSo {OFFLINE_BASE} instead, of the same size and architecture.")
        fetch(OFFLINE_BASE)
        return OFFLINE_BASE
    return HUB_BASE


def choose(base: str) -> Choice:
    """A GPU gets all our claims and three epochs; a CPU the first two files of teacher-style claims and one."""
    if torch.cuda.is_available():
        reason = f"GPU found: {base}, all our claims, three epochs."
        return Choice(base, tuple(training_files()), ("epochs=3", "batch_size=16"), reason)
    files = tuple(path for path in training_files() if path.stem in FEW)
    return Choice(base, files, (), f"No GPU found: {base}, {len(files)} files of teacher-style claims, one epoch.")


def show(evaluated: Evaluated, seconds: float) -> None:
    """The table, the one sentence, the warning and where the report is."""
    report = evaluated.report
    result_console.print(summary_sheet(report).to_rich())
    result_console.print(conclusion(report), markup=False, soft_wrap=True)
    result_console.print(
        f"report: {evaluated.folder / 'report.html'} ({seconds / 60:.1f} minutes)", markup=False, soft_wrap=True
    )
    say(f"next: medverdict mistakes {evaluated.folder}")
