"""Several runs as one judge: the mean of their calibrated margins, or their vote."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from medverdict.errors import RunError
from medverdict.evaluate.calibrate import fit_calibration
from medverdict.predict.score import predictions
from medverdict.records import Calibration, Claim, Comparison, Metric, Prediction, Record, Run

Rule = Literal["mean", "vote"]


class Ensemble(Record):
    """Several runs joined into one judge, and whether that helped."""

    name: str
    """Rule and number of members."""
    rule: Rule
    """Mean of the members' calibrated margins, or their vote."""
    members: tuple[str, ...]
    """Run ids."""
    parameters: int
    """Of the whole, a base shared by adapters counted once."""
    accuracy: Metric
    """On the rows given."""
    best_member: str
    """The single run that was best on dev."""
    against_best: Comparison
    """The ensemble against that run on the same rows."""


def combined_margins(members: Sequence[tuple[Calibration, np.ndarray]], rule: Rule) -> np.ndarray:
    """One margin a claim (n,) from each member's own calibration and raw margins (n,).

    `mean` averages (margin - threshold) / temperature, each member's log-odds of TRUE; `vote` is the share of
    members that say TRUE less one half.
    """
    log_odds = np.stack([(margins - fitted.threshold) / fitted.temperature for fitted, margins in members])
    mean: np.ndarray = log_odds.mean(axis=0) if rule == "mean" else (log_odds > 0).mean(axis=0) - 0.5
    return mean


def count_parameters(members: Sequence[Run]) -> int:
    """Parameters of the whole: a base that several adapters share is counted once, a full fine-tune whole."""
    bases = {run.base.sha256: run.base.parameters for run in members if run.recipe.method != "full"}
    adapters = sum(run.parameters - run.base.parameters for run in members if run.recipe.method != "full")
    return sum(bases.values()) + adapters + sum(run.parameters for run in members if run.recipe.method == "full")


def require_same_dev(members: Sequence[Run]) -> None:
    """Members are joined by what was fitted on one dev set. Raises RunError naming one that has another."""
    for run in members[1:]:
        if run.splits["dev"] != members[0].splits["dev"]:
            raise RunError(
                f"{run.id} was calibrated on another dev set than {members[0].id}; expected runs trained on one "
                "prepared folder, or on folders with the same dev.jsonl."
            )


def ensemble_predictions(
    claims: Sequence[Claim], margins: np.ndarray, dev: tuple[Sequence[Claim], np.ndarray], name: tuple[str, str]
) -> list[Prediction]:
    """Judge `claims` by combined margins (n,), calibrated on dev's combined margins; `name` is (run, dev's sha256)."""
    dev_claims, dev_margins = dev
    fitted = fit_calibration(dev_margins, [claim.label for claim in dev_claims], name[1])
    return predictions(claims, margins, fitted, name[0])
