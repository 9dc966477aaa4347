"""Five functions for a notebook: `import medverdict`, then load_run, verify, evaluate, compare, train."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from medverdict.app import evaluation, stored, training
from medverdict.evaluate import compare as comparing
from medverdict.model.precision import Precision, choose_placement
from medverdict.predict import load
from medverdict.predict.answer import Answer, answer
from medverdict.predict.load import LoadedRun
from medverdict.predict.shipped import shipped_run
from medverdict.records import Comparison, Run

PathLike = str | os.PathLike[str]


def load_run(folder: PathLike | None = None) -> LoadedRun:
    """A trained run, checked file by file and against its golden rows; without a folder the one in this package.

    Load once, ask often. Raises RunError when it cannot be used, GateError when it does not answer as measured.
    """
    return load.load_run(Path(folder) if folder is not None else shipped_run(), choose_placement())


def verify(claims: str | Sequence[str], run: LoadedRun | PathLike | None = None, abstain: bool = False) -> list[Answer]:
    """Judge one claim or several: a list of answers with `claim`, `verdict` and `p_true`, in their order.

    `run` is a loaded run or a folder. Raises DataError, naming the claim, for one that cannot be judged.
    """
    loaded = run if isinstance(run, LoadedRun) else load_run(run)
    return answer(loaded, [claims] if isinstance(claims, str) else claims, abstain)


def evaluate(
    run: PathLike, data: PathLike, out: PathLike | None = None, target_accuracy: float | None = None
) -> evaluation.Evaluated:
    """Score labelled claims with a run, its untrained base and the baselines: `.report`, and `.folder` with its pages.

    Raises RunError or GateError when the run cannot be used, DataError when the claims cannot.
    """
    return evaluation.evaluate(Path(run), Path(data), Path(out) if out is not None else None, target_accuracy)


def compare(
    a: PathLike | Sequence[PathLike], b: PathLike | Sequence[PathLike], data: PathLike | None = None
) -> Comparison:
    """Paired difference of A and B on the same claims; each is a run, or several that differ in their seed.

    B may be `baseline:NAME` of A's evaluation. Runs that were not scored on `data` yet are scored now. Raises
    RunError or DataError where there is nothing to compare.
    """
    of_a, of_b = stored.sides(_joined(a), _joined(b), Path(data) if data is not None else None)
    return comparing.compare(of_a, of_b)


def train(
    recipe: str,
    data: PathLike,
    out: PathLike,
    *,
    precision: Precision | None = None,
    resume: bool = False,
    **changes: object,
) -> Run:
    """Train a recipe on a prepared folder and write the run folder `out`; returns the run's manifest.

    `changes` replace fields of the recipe: `train("quickstart", "data/mine", "runs/a", base="qwen2.5-0.5b", seed=1)`.
    Raises RecipeError for a field that does not exist, LeakError without a clean audit, GateError over the budget.
    """
    settings = [f"{name}={json.dumps(value, ensure_ascii=False, default=str)}" for name, value in changes.items()]
    options = training.TrainOptions(settings, precision=precision, resume=resume)
    return training.train(recipe, Path(data), Path(out), options)


def _joined(side: PathLike | Sequence[PathLike]) -> str:
    parts = [side] if isinstance(side, str | os.PathLike) else side
    return ",".join(str(part) for part in parts)
