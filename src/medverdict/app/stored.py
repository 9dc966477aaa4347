"""Where stored predictions are found: a file, an evaluation's folder, or a run's evaluations."""

from __future__ import annotations

from pathlib import Path

from medverdict.app.evaluation import evaluate, evaluation_of
from medverdict.errors import DataError, RunError
from medverdict.evaluate.report import BASELINES, PREDICTIONS
from medverdict.files import read_records
from medverdict.predict.load import MANIFEST, read_run
from medverdict.records import Prediction

BASELINE = "baseline:"


def evaluation_folder(where: Path, data: Path | None = None) -> Path:
    """The folder with the stored predictions of a run, or `where` itself if it is one.

    An evaluation stands inside its run, or was put beside it, as `quickstart` does. With `data`, a run that holds no
    evaluation on it yet is evaluated now. Raises RunError, naming the candidates, when there is no evaluation or more
    than one to choose from.
    """
    if (where / PREDICTIONS).is_file():
        return where
    if not (where / MANIFEST).is_file():
        raise RunError(f"{where}: neither a run nor an evaluation; expected a folder with {MANIFEST} or {PREDICTIONS}.")
    if data is not None:
        folder = evaluation_of(where, data)
        return folder if (folder / PREDICTIONS).is_file() else evaluate(where, data).folder
    found = sorted(path.parent for path in where.glob(f"evaluations/*/{PREDICTIONS}")) + beside(where)
    if len(found) == 1:
        return found[0]
    if found:
        listed = ", ".join(str(folder) for folder in found)
        raise RunError(f"{where}: has {len(found)} evaluations; name one of {listed}, or give the data file.")
    raise RunError(
        f"{where}: no evaluation in it or beside it. Run `medverdict evaluate {where} DATA` first, or name the folder "
        f"that its --out wrote, the one with {PREDICTIONS}."
    )


def beside(run: Path) -> list[Path]:
    """Folders next to a run's that hold its predictions."""
    run_id = read_run(run).id
    return sorted(path.parent for path in run.resolve().parent.glob(f"*/{PREDICTIONS}") if predicts(path, run_id))


def predicts(path: Path, run_id: str) -> bool:
    """Whether these are a run's predictions; a file that is damaged or of another kind is nobody's."""
    try:
        return any(prediction.run == run_id for prediction in read_records(path, Prediction)[:1])
    except DataError:
        return False


def stored_predictions(where: Path, data: Path | None = None) -> list[Prediction]:
    """Predictions from a .jsonl file, an evaluation's folder or a run."""
    if where.suffix == ".jsonl":
        return read_records(where, Prediction)
    return read_records(evaluation_folder(where, data) / PREDICTIONS, Prediction)


def sides(a: str, b: str, data: Path | None = None) -> tuple[list[list[Prediction]], list[list[Prediction]]]:
    """Both sides of a comparison, each one or several runs parted by commas.

    B may be `baseline:NAME`: that baseline of A's evaluation. Raises RunError naming those there are.
    """
    folders = [Path(part) for part in a.split(",")]
    of_a = [stored_predictions(folder, data) for folder in folders]
    if not b.startswith(BASELINE):
        return of_a, [stored_predictions(Path(part), data) for part in b.split(",")]
    known = stored_baselines(evaluation_folder(folders[0], data))
    name = b.removeprefix(BASELINE)
    if name not in known:
        listed = ", ".join(BASELINE + other for other in known)
        raise RunError(f"{b}: not a baseline of {folders[0]}; expected one of {listed}.")
    return of_a, [known[name]]


def stored_baselines(folder: Path) -> dict[str, list[Prediction]]:
    """Baselines of an evaluation by name."""
    found: dict[str, list[Prediction]] = {}
    for prediction in read_records(folder / BASELINES, Prediction):
        found.setdefault(prediction.run.removeprefix(BASELINE), []).append(prediction)
    return found
