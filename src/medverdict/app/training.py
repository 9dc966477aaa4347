"""The whole job of `train`: gates first, then the base, then the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from medverdict.data.audit import require_clean
from medverdict.data.prepare import load_prepared
from medverdict.files import require_new
from medverdict.model.bases import fetch
from medverdict.model.precision import Precision, choose_placement
from medverdict.recipes.recipe import load_recipe
from medverdict.records import Run
from medverdict.train.manifest import Job
from medverdict.train.run import train_run


@dataclass(frozen=True)
class TrainOptions:
    """What a user may change about a recipe's training."""

    settings: Sequence[str] = ()
    """`key=value` pairs over the recipe's fields, base and seed among them."""
    over_budget: bool = False
    """Train a base above the cap all the same; every report repeats it."""
    despite_leak: bool = False
    """Train without a clean audit all the same; every report repeats it."""
    precision: Precision | None = None
    """Force a number format, for example fp16 as on a T4."""


def train(recipe_name: str, data: Path, out: Path, options: TrainOptions) -> Run:
    """Train one recipe on prepared data and write the run folder.

    Raises LeakError without a clean audit, GateError over budget and when the training itself fails a check,
    RecipeError, DataError or RunError for what the user can mend.
    """
    require_new(out)
    recipe = load_recipe(recipe_name, options.settings)
    splits, audit = load_prepared(data)
    overrides = require_clean(audit, splits, override=options.despite_leak)
    base = fetch(recipe.base, over_budget=options.over_budget)
    job = Job(recipe, base, splits["train"], splits["dev"], str(data), tuple(overrides), options.over_budget)
    return train_run(job, choose_placement(options.precision), out)
