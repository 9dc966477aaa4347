"""The whole job of `sweep`: one recipe trained with many settings, each a run like any other.

Optuna keeps the book, in a journal file that any number of workers share. What a worker that was cut off leaves
behind is known by its free lock, and is continued from its last checkpoint.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import optuna
from filelock import FileLock, Timeout
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from medverdict.app.training import TrainOptions, train
from medverdict.console import say
from medverdict.errors import GateError, RecipeError, RunError
from medverdict.evaluate.metrics import is_right
from medverdict.files import disk_error, read_records, write_json
from medverdict.predict.load import DEV_PREDICTIONS
from medverdict.recipes.recipe import load_recipe
from medverdict.records import Prediction, Record

JOURNAL = "journal.log"
RESULTS = "sweep.json"
_FOLDER, _WHY, _ASKED = "folder", "why", "asked"


class Trial(Record):
    """One set of values and what came of it."""

    values: dict[str, str]
    """Field of the recipe to the value it was given, written as after `--set`."""
    run: str
    """Folder of the run, inside the sweep's."""
    dev_accuracy: float | None
    """Share of dev rows that are right at the run's own threshold; None where training was stopped, or goes on."""
    why: str
    """Why there is no accuracy, or empty."""


@dataclass(frozen=True)
class Work:
    """What every trial has in common."""

    recipe: str
    data: Path
    out: Path
    options: TrainOptions


def sweep(work: Work, varied: Sequence[str]) -> list[Trial]:
    """Train every combination of the varied values that no other worker has taken; all results, the best first.

    `varied` holds `field=value,value,…`. The same command started again continues after a cut; started beside this
    one, it shares the work. Raises RecipeError for values that the recipe does not take, RunError where `out` holds
    another sweep.
    """
    combinations = read_combinations(varied)
    for values in combinations:  # every fault before any work
        load_recipe(work.recipe, [*work.options.settings, *_settings(values)])
    try:
        work.out.mkdir(parents=True, exist_ok=True)
        with _one_at_a_time(work.out):
            study = open_study(work, combinations)
        while (taken := take(study, work.out)) is not None:
            trial, lock = taken
            with lock:
                run_trial(study, trial, work)
        found = results(study)
        write_json(work.out / RESULTS, [trial.model_dump(mode="json") for trial in found])
    except OSError as error:
        raise disk_error(error, work.out) from error
    return found


def read_combinations(varied: Sequence[str]) -> list[dict[str, str]]:
    """Every combination of `field=value,value,…`; a value that holds commas itself cannot be varied."""
    axes: dict[str, list[str]] = {}
    for text in varied:
        field, equals, values = text.partition("=")
        parts = [value.strip() for value in values.split(",")]
        if not equals or not all(parts) or field in axes:
            raise RecipeError(f"--vary {text}: expected field=value,value,… with each field once, as in seed=0,1,2.")
        axes[field.strip()] = parts
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def open_study(work: Work, combinations: Sequence[dict[str, str]]) -> optuna.Study:
    """The study of this folder, its trials waiting in order when it is new. Raises RunError for another's."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = JournalStorage(JournalFileBackend(str(work.out / JOURNAL)))
    study = optuna.create_study(storage=storage, study_name="sweep", direction="maximize", load_if_exists=True)
    asked = [work.recipe, str(work.data), *work.options.settings, *(str(values) for values in combinations)]
    known = study.user_attrs.get(_ASKED)
    if known is None:
        study.set_user_attr(_ASKED, asked)
        for number, values in enumerate(combinations):
            name = re.sub(r"[^\w.+-]+", "_", "-".join(f"{field}-{value}" for field, value in values.items()))
            study.enqueue_trial(values, user_attrs={_FOLDER: f"{number:03d}-{name}"[:120]})
    elif known != asked:
        raise RunError(f"{work.out}: holds a sweep of other values, data or recipe. Choose another --out.")
    return study


def take(study: optuna.Study, out: Path) -> tuple[optuna.Trial, FileLock] | None:
    """The next trial that waits, or that a dead worker has left, with the lock that says it is worked on."""
    with _one_at_a_time(out):
        for left in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if _is_free(out, left):
                study.tell(left.number, state=TrialState.FAIL)
                study.enqueue_trial(left.system_attrs["fixed_params"], user_attrs={_FOLDER: left.user_attrs[_FOLDER]})
        if not study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            return None
        trial = study.ask()
        for field, values in _choices(study).items():
            trial.suggest_categorical(field, values)
        lock = FileLock(_lock_of(out, trial.user_attrs[_FOLDER]), timeout=0)
        lock.acquire()
        return trial, lock


def run_trial(study: optuna.Study, trial: optuna.Trial, work: Work) -> None:
    """Train with one set of values, from its checkpoint if it has one; a training that a check stops is a result."""
    folder = work.out / trial.user_attrs[_FOLDER]
    say(f"trial {folder.name}")
    options = replace(work.options, settings=[*work.options.settings, *_settings(trial.params)], resume=True)
    try:
        train(work.recipe, work.data, folder, options)
    except GateError as error:
        trial.set_user_attr(_WHY, str(error))
        study.tell(trial, state=TrialState.FAIL)
        say(f"stopped: {error}")
        return
    study.tell(trial, dev_accuracy(folder))


def dev_accuracy(run: Path) -> float:
    """Share of dev rows on the right side of the run's threshold."""
    rows = read_records(run / DEV_PREDICTIONS, Prediction)
    return sum(map(is_right, rows)) / len(rows)


def results(study: optuna.Study) -> list[Trial]:
    """Every folder's latest trial, the best dev accuracy first."""
    latest = {trial.user_attrs[_FOLDER]: trial for trial in study.get_trials(deepcopy=False)}
    found = [
        Trial(
            values=dict(trial.params) or dict(trial.system_attrs.get("fixed_params", {})),
            run=folder,
            dev_accuracy=trial.value if trial.state == TrialState.COMPLETE else None,
            why="" if trial.state == TrialState.COMPLETE else trial.user_attrs.get(_WHY, "another worker is at it"),
        )
        for folder, trial in latest.items()
    ]
    return sorted(found, key=lambda trial: -(trial.dev_accuracy or 0.0))


def _choices(study: optuna.Study) -> dict[str, list[str]]:
    """Of each field all values that any trial has, in order: what Optuna wants told each time."""
    seen: dict[str, dict[str, None]] = {}
    for trial in study.get_trials(deepcopy=False):
        for field, value in trial.system_attrs["fixed_params"].items():
            seen.setdefault(field, {})[value] = None
    return {field: list(values) for field, values in seen.items()}


def _settings(values: dict[str, str]) -> list[str]:
    return [f"{field}={value}" for field, value in values.items()]


def _one_at_a_time(out: Path) -> FileLock:
    return FileLock(out / "book.lock")


def _lock_of(out: Path, folder: str) -> Path:
    return out / f"{folder}.lock"


def _is_free(out: Path, trial: FrozenTrial) -> bool:
    """Whether no living process works on a trial."""
    try:
        with FileLock(_lock_of(out, trial.user_attrs[_FOLDER]), timeout=0):
            return True
    except Timeout:
        return False
