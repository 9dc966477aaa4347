"""The whole job of `predict`: a file of claims of any size, judged into a file of the same kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch

from medverdict.console import progress, say
from medverdict.errors import DataError, RunError
from medverdict.evaluate.calibrate import judge
from medverdict.files import atomic_write, sha256_bytes, sha256_file
from medverdict.model.precision import Placement, choose_devices, choose_placement
from medverdict.predict.journal import Journal
from medverdict.predict.load import LoadedRun, load_run
from medverdict.predict.shipped import shipped_run
from medverdict.predict.stream import (
    PLACES,
    Format,
    Score,
    open_table,
    require_columns,
    score_here,
    score_rows,
    survey,
    write_rows,
)
from medverdict.predict.workers import score_apart
from medverdict.records import Verdict

# Rows from which several GPUs are used without being asked for: a second one costs another loading and saves half of
# the scoring at best. Measured, two H200 came out even with one at 200,000 (docs/scale.md).
ROWS_WORTH_WORKERS = 300_000


@dataclass(frozen=True)
class PredictOptions:
    """How a file is judged."""

    run: Path | None = None
    """Folder of a run; None is the shipped one."""
    out: Path | None = None
    """File to write; None is a name beside the input."""
    format: Format = "columns"
    """`columns` adds verdict and p_true; `submission` fills the answer column."""
    abstain: bool = False
    """Give ABSTAIN where the model is not sure enough."""
    devices: str | None = None
    """Devices that share the rows, as `choose_devices` reads them; None is all GPUs for a large file, else one."""


@dataclass(frozen=True)
class Predicted:
    """What came of it."""

    out: Path
    rows: int
    verdicts: Mapping[Verdict, int]


def predict(file: Path, options: PredictOptions | None = None) -> Predicted:
    """Judge every row of a CSV, XLSX or JSON lines file; all columns stay, in their order.

    A cut leaves a journal beside the output, and the same call goes on from it; the output appears when it is
    whole. Raises DataError for a file or a row that cannot be judged, before any is scored, RunError when the
    output exists or the run cannot be used, GateError when the run does not answer as measured.

    Several devices are worked for by processes that import the calling script anew: it needs
    `if __name__ == "__main__":` around what it does.
    """
    options = options or PredictOptions()
    table, place = open_table(file), PLACES[options.format]
    out = output_of(file, options)
    require_columns(table, place)
    folder, devices = options.run or shipped_run(), choose_devices(options.devices)
    loaded = load_run(folder, choose_placement(device=devices[0]))
    judge([], loaded.run.calibration, options.abstain)  # refuses abstention before any work is spent
    digest = sha256_file(file)
    rows = survey(loaded, table, place)
    journal = Journal(out.with_name(f".{out.name}.progress"), identity(digest, loaded))
    done = journal.open()
    if done:
        say(f"{done} of {rows} rows were scored before; going on from there")
    if options.devices is None and rows - done < ROWS_WORTH_WORKERS:
        devices = devices[:1]
    try:
        with progress(file.name, rows, done) as bar, scorer(folder, loaded, devices, bar.advance) as score:
            score_rows(loaded, table, journal, done, score)
    except (KeyboardInterrupt, SystemExit):  # Ctrl-C, or a polite kill
        say(f"what is scored is kept in {journal.path}; the same command goes on from there")
        raise
    require_unchanged(file, digest)
    with atomic_write(out) as target:
        verdicts = write_rows(table, journal.margins(), loaded.run.calibration, options.abstain, place, target)
    journal.remove()
    return Predicted(out, rows, dict(verdicts))


def scorer(
    folder: Path, loaded: LoadedRun, devices: list[torch.device], advance: Callable[[int], None]
) -> AbstractContextManager[Score]:
    """Here on one device, on several in a process each."""
    if len(devices) == 1:
        return nullcontext(score_here(loaded, advance))
    precision = loaded.verifier.placement.precision  # one for all, so that a row's answer hangs on no device
    return score_apart(folder, [Placement(device, precision) for device in devices], advance)


def output_of(file: Path, options: PredictOptions) -> Path:
    """Where the output goes. Raises RunError when it exists, DataError when options don't fit each other."""
    if options.abstain and options.format == "submission":
        raise DataError("a submission answers every row; leave out --abstain, or --format submission.")
    word = "submission" if options.format == "submission" else "judged"
    out = options.out or file.with_name(f"{file.stem}-{word}{file.suffix}")
    if out.suffix.lower() != file.suffix.lower():
        raise DataError(f"{out}: the output is of the same kind as the input; name it *{file.suffix}.")
    if out.exists():
        raise RunError(f"{out}: exists already. Choose another --out, or delete it.")
    return out


def identity(digest: str, loaded: LoadedRun) -> dict[str, str]:
    """What margins hang on: the rows, the run and its weights, and the arithmetic."""
    weights = sha256_bytes(repr(sorted(loaded.run.files.items())).encode())
    precision = loaded.verifier.placement.precision
    return {"file": digest, "run": loaded.run.id, "weights": weights, "precision": precision}


def require_unchanged(file: Path, digest: str) -> None:
    """Margins belong to the rows that were read. Raises DataError when the file was changed meanwhile."""
    if sha256_file(file) != digest:
        raise DataError(f"{file}: was changed while it was judged. Run again on the file as it is now.")
