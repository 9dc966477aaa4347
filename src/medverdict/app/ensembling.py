"""The whole job of `ensemble`: score each member, join them, and say whether that helped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from medverdict.app.stored import stored_predictions
from medverdict.errors import RunError
from medverdict.evaluate.compare import by_id, compare, in_order
from medverdict.evaluate.interval import share
from medverdict.evaluate.metrics import group_index, is_right
from medverdict.evaluate.report import PREDICTIONS
from medverdict.files import new_folder, read_records, write_json, write_jsonl
from medverdict.model.budget import check_budget
from medverdict.predict.ensemble import (
    Ensemble,
    Rule,
    combined_margins,
    count_parameters,
    ensemble_predictions,
    require_same_dev,
)
from medverdict.predict.load import DEV_PREDICTIONS, read_run
from medverdict.records import Prediction, Run

MANIFEST = "ensemble.json"


def ensemble(folders: Sequence[Path], data: Path, out: Path, rule: Rule, over_budget: bool = False) -> Ensemble:
    """Join runs on the rows of `data`; the folder `out` holds predictions that `compare` and `mistakes` read.

    Members not evaluated on `data` yet are evaluated now. The single run it is compared with is the one that was
    best on dev. Raises RunError for fewer than two runs or different dev sets, GateError over the budget.
    """
    if len(folders) < 2:
        raise RunError(f"an ensemble of {len(folders)} run; expected two or more.")
    runs = [read_run(folder) for folder in folders]
    require_same_dev(runs)
    parameters = count_parameters(runs)
    check_budget(parameters, override=over_budget, name="The ensemble")
    scored = [stored_predictions(folder, data) for folder in folders]
    dev = [read_records(folder / DEV_PREDICTIONS, Prediction) for folder in folders]
    name = f"ensemble-{rule}-of-{len(runs)}"
    joined = ensemble_predictions(
        [p.claim() for p in scored[0]],
        _combined(runs, scored, rule),
        ([p.claim() for p in dev[0]], _combined(runs, dev, rule)),
        (name, runs[0].splits["dev"]),
    )
    best = max(range(len(runs)), key=lambda i: sum(is_right(p) for p in dev[i]))
    record = Ensemble(
        name=name,
        rule=rule,
        members=tuple(run.id for run in runs),
        parameters=parameters,
        accuracy=share(np.array([is_right(p) for p in joined]), group_index(joined)),
        best_member=runs[best].id,
        against_best=compare([joined], [scored[best]], (name, runs[best].id)),
    )
    with new_folder(out) as folder:
        write_jsonl(folder / PREDICTIONS, joined)
        write_json(folder / MANIFEST, record.model_dump(mode="json"))
    return record


def _combined(runs: Sequence[Run], scored: Sequence[Sequence[Prediction]], rule: Rule) -> np.ndarray:
    """Combined margins (n,) in the order of the first member's rows. Raises DataError where rows are not the same."""
    order = by_id(scored[0])
    raw = [np.array([p.margin for p in in_order(rows, order)]) for rows in scored]
    return combined_margins([(run.calibration, margins) for run, margins in zip(runs, raw, strict=True)], rule)
