"""The whole job of `evaluate`: score a set with a run, its untrained base and the baselines, and report."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from medverdict.app.baselines import baselines_of_run, margins_of, shipped_model
from medverdict.console import say
from medverdict.data.audit import audit
from medverdict.data.prepare import load_prepared
from medverdict.data.read import read_split
from medverdict.data.where import select
from medverdict.errors import MedverdictError, RunError
from medverdict.evaluate.calibrate import fit_calibration
from medverdict.evaluate.peeks import marked_as_test, record_peek
from medverdict.evaluate.records import Context, Peek, Report
from medverdict.evaluate.report import ReportInput, write_report
from medverdict.files import read_records, sha256_bytes, sha256_file
from medverdict.model.precision import choose_placement
from medverdict.predict.load import DEV_PREDICTIONS, HISTORY, MANIFEST, LoadedRun, load_run, read_run
from medverdict.predict.score import predictions
from medverdict.records import Audit, Claim, HistoryRow, Prediction, Split


@dataclass(frozen=True)
class Evaluated:
    """A report and where it is."""

    report: Report
    folder: Path


def evaluate(
    folder: Path,
    data: Path,
    out: Path | None = None,
    target_accuracy: float | None = None,
    where: Sequence[str] = (),
    with_shipped: bool = False,
) -> Evaluated:
    """Score `data` with the run in `folder` and write predictions and report.

    The report goes to `out`, by default under `evaluations` inside the run. With `target_accuracy` the abstention
    point is the confidence that reached it on dev, instead of the one stored with the run. `where` holds conditions
    `field=value` on the rows to score; `with_shipped` shows the shipped model beside. Raises RunError or GateError
    when the run cannot be used, DataError when the data cannot.
    """
    read_run(folder)
    test = select(read_split(data, "test"), where)
    told = " ".join([data.name, *where])
    dev = read_records(folder / DEV_PREDICTIONS, Prediction)
    train = training_rows(folder)
    loaded = with_target(load_run(folder, choose_placement()), dev, target_accuracy)
    say(f"scoring {len(test.claims)} rows of {told} with {loaded.run.id}")
    given = ReportInput(
        predictions=tuple(score(loaded, test.claims)),
        baselines=baselines_of_run(loaded, test.claims, train) | (shipped_model(test.claims) if with_shipped else {}),
        dev=tuple(dev),
        context=Context(
            data=told,
            data_sha256=test.sha256,
            run=loaded.run,
            audit=audit_between(train, test),
            history=tuple(read_records(folder / HISTORY, HistoryRow)),
            peeks=count_peek(data, test, loaded),
            commands=(
                shlex.join(["medverdict", "evaluate", str(folder), str(data), *(f"--where={w}" for w in where)]),
            ),
        ),
    )
    out = out or evaluation_of(folder, data, where)
    return Evaluated(write_report(given, out), out)


def evaluation_of(folder: Path, data: Path, where: Sequence[str] = ()) -> Path:
    """Where a run's evaluation on a file is kept: another content, or part, is another evaluation."""
    part = sha256_bytes(" ".join(where).encode())[:8] if where else ""
    return folder / "evaluations" / "-".join(filter(None, (data.stem, sha256_file(data)[:8], part)))


def with_target(loaded: LoadedRun, dev: Sequence[Prediction], target_accuracy: float | None) -> LoadedRun:
    """The run with its abstention point fitted on dev again, for another accuracy."""
    if target_accuracy is None:
        return loaded
    fitted = fit_calibration([p.margin for p in dev], [p.label for p in dev], loaded.run.splits["dev"], target_accuracy)
    return replace(loaded, run=loaded.run.model_copy(update={"calibration": fitted}))


def score(loaded: LoadedRun, claims: Sequence[Claim]) -> list[Prediction]:
    """The run's own predictions."""
    margins = margins_of(loaded.verifier, claims, "the run")
    return predictions(claims, margins, loaded.run.calibration, loaded.run.id)


def training_rows(folder: Path) -> Split | None:
    """The rows that a run was trained on, where its data folder still holds them byte for byte; else None, said."""
    run = read_run(folder)
    try:
        train = select(load_prepared(Path(run.data)).splits["train"], run.where)
    except MedverdictError as error:
        say(f"without the TF-IDF baseline and the leak audit: {error}")
        return None
    if train.sha256 != run.splits["train"]:
        say(f"without the TF-IDF baseline and the leak audit: {run.data} no longer holds the rows of {run.id}")
        return None
    return train


def audit_between(train: Split | None, test: Split) -> Audit | None:
    """Leaks between training rows and these; None where the training rows are not at hand."""
    return None if train is None else audit([train, test])


def count_peek(data: Path, test: Split, loaded: LoadedRun) -> tuple[Peek, ...]:
    """Count this look where the file is marked as test: all looks so far, this one included."""
    if not marked_as_test(data):
        return ()
    peeks, log = record_peek(data, test.sha256, loaded.run.id, Path.cwd())
    say(f"look number {len(peeks)} at {data.name}, counted in {log}")
    return tuple(peeks)


def find_run(version: str, runs: Path) -> Path:
    """The one finished run of a recipe under a folder.

    Raises RunError with the candidates when there is none or more than one: a run is named, never guessed.
    """
    folders = sorted(path.parent for path in runs.rglob(MANIFEST))
    recipes = {folder: read_run(folder).recipe.name for folder in folders}
    found = [folder for folder, recipe in recipes.items() if recipe == version]
    if len(found) == 1:
        return found[0]
    if found:
        listed = "\n".join(f"  - {folder}" for folder in found)
        raise RunError(f"{len(found)} runs of {version} under {runs}; name one of them instead of --version:\n{listed}")
    known = ", ".join(sorted(set(recipes.values()))) or "no finished run at all"
    raise RunError(f"no run of {version} under {runs}; found {known}. Train it, or name the run's folder.")
