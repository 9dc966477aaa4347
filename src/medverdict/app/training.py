"""The whole job of `train`: gates first, then the base, then the run."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from medverdict.console import progress_console
from medverdict.data.audit import require_clean
from medverdict.data.prepare import load_prepared
from medverdict.data.where import select
from medverdict.model.bases import fetch
from medverdict.model.precision import Precision, choose_placement
from medverdict.recipes.recipe import load_recipe
from medverdict.records import Run
from medverdict.train.engine import EngineChoice
from medverdict.train.manifest import Job
from medverdict.train.run import EVERY, train_run
from medverdict.train.starting import read_start, require_same_base, require_same_splits
from medverdict.train.work import checkpoint_steps, partial_folder, require_startable


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
    resume: bool = False
    """Go on where a cut left a training with the same `out`."""
    checkpoint_every: str = EVERY
    """Steps ("200") or minutes ("5m") between checkpoints."""
    engine: EngineChoice = "auto"
    """Which arithmetic of a step; auto is the fast one where it applies."""
    where: Sequence[str] = ()
    """Conditions `field=value` on training and dev rows, for one subdomain."""
    init: Path | None = None
    """Folder of a run whose adapter training begins from."""


def train(recipe_name: str, data: Path, out: Path, options: TrainOptions) -> Run:
    """Train one recipe on prepared data and write the run folder.

    Raises LeakError without a clean audit, GateError over budget and when the training itself fails a check,
    RecipeError, DataError or RunError for what the user can mend.
    """
    if not (options.resume and out.exists()):
        require_startable(out, options.resume)
    recipe = load_recipe(recipe_name, options.settings)
    splits, audit = load_prepared(data)
    overrides = require_clean(audit, splits, override=options.despite_leak)
    start, started = read_start(options.init, recipe) if options.init else (None, None)
    if started:
        overrides = [*overrides, *require_same_splits(started, splits, options.despite_leak)]
    train_rows, dev_rows = (select(splits[name], options.where) for name in ("train", "dev"))
    base = fetch(recipe.base, over_budget=options.over_budget)
    if started:
        require_same_base(started, base.info)
    job = Job(
        recipe, base, train_rows, dev_rows, str(data), tuple(overrides), options.over_budget, options.engine, start
    )
    try:
        return train_run(job, choose_placement(options.precision), out, options.resume, options.checkpoint_every)
    except (KeyboardInterrupt, SystemExit):  # Ctrl-C, or a polite kill
        if checkpoint_steps(partial_folder(out)):
            command = resume_command(recipe_name, data, out, options)
            progress_console.print(f"continue with: {command}", markup=False, soft_wrap=True)
        raise


def resume_command(recipe_name: str, data: Path, out: Path, options: TrainOptions) -> str:
    """What to type to go on with a training that was cut off."""
    words = ["medverdict", "train", recipe_name, "--data", str(data), "--out", str(out)]
    words += [word for setting in options.settings for word in ("--set", setting)]
    words += [word for condition in options.where for word in ("--where", condition)]
    words += ["--init", str(options.init)] if options.init else []
    words += ["--precision", options.precision] if options.precision else []
    words += ["--checkpoint-every", options.checkpoint_every] if options.checkpoint_every != EVERY else []
    words += ["--engine", options.engine] if options.engine != "auto" else []
    words += ["--over-budget"] if options.over_budget else []
    words += ["--despite-leak"] if options.despite_leak else []
    return shlex.join([*words, "--resume", "auto"])
