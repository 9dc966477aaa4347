"""What a training will cost on this device, said before it is spent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import torch

from medverdict.console import say
from medverdict.data.prepare import load_prepared
from medverdict.data.where import select
from medverdict.errors import RecipeError
from medverdict.model.bases import fetch
from medverdict.model.precision import Placement, Precision, choose_placement
from medverdict.model.verifier import Verifier, end_token
from medverdict.recipes.recipe import load_recipe
from medverdict.records import Record
from medverdict.train.choose import choose_engine
from medverdict.train.engine import EngineChoice
from medverdict.train.padding import fill_up
from medverdict.train.probe import PROBED_STEPS, Forecast, probe_training
from medverdict.train.run import make_deterministic

_GIB = 2**30


class TrainingPlan(Record):
    """A recipe on prepared data, on this device: what `train` would do and need. Times are predictions."""

    recipe: str
    base: str
    device: str
    precision: str
    engine: str
    """Class that does the arithmetic of a step."""
    rows: int
    """For training, each counted once."""
    rows_seen: int
    """In all epochs together."""
    steps: int
    milliseconds_a_step: float
    """Once a step of its size has been run before."""
    start_seconds: float
    """Spent beyond that on sizes of steps that are new, CUDA graphs included."""
    graphs: int
    """CUDA graphs that will be captured."""
    dev_rows: int
    evaluations: int
    """Of dev: untrained, while training, at the end."""
    seconds_an_evaluation: float
    load_seconds: float
    """Reading base and rows, as it took just now."""
    seconds: float
    """The whole training, from loading to its last evaluation; checkpoints come on top."""
    memory_gib: float | None
    """That torch held at most on the device; None on a CPU."""
    device_gib: float | None
    """That the device has."""
    micro_batch: int
    """Rows in one pass, less than the recipe's batch_size where memory ran out."""
    probed_on: str = "20 steps spread over the whole training, on its own rows"


@dataclass(frozen=True)
class PlanOptions:
    """What of a training is changed; see TrainOptions."""

    settings: Sequence[str] = ()
    over_budget: bool = False
    precision: Precision | None = None
    engine: EngineChoice = "auto"
    where: Sequence[str] = ()


def plan(recipe_name: str, data: Path, options: PlanOptions) -> TrainingPlan:
    """Foretell a training from twenty of its own steps; nothing is written, and gates on the data are not asked.

    Raises RecipeError for a recipe that trains nothing, else what `train` raises for the user to mend.
    """
    recipe = load_recipe(recipe_name, options.settings)
    if recipe.method == "zero-shot":
        raise RecipeError(f"recipe {recipe.name}: trains nothing; expected method lora or full. Choose another recipe.")
    splits, _ = load_prepared(data)
    train_rows, dev_rows = (select(splits[name], options.where) for name in ("train", "dev"))
    placement = choose_placement(options.precision)
    say(f"running up to {PROBED_STEPS} steps of {recipe.name} on {placement.device_name}")
    started = monotonic()
    make_deterministic()
    base = fetch(recipe.base, over_budget=options.over_budget)
    verifier = Verifier.load(base, recipe, placement)
    examples = verifier.encoder.examples(train_rows.claims)
    examples = fill_up(examples, recipe.supervised_padding, end_token(verifier.model))
    engine = choose_engine(verifier, examples, options.engine)
    loading = monotonic() - started
    forecast = probe_training(verifier, engine, examples, dev_rows.claims)
    names = (recipe.name, base.info.name, type(engine).__name__)
    return _told(names, placement, forecast, len(dev_rows.claims), loading)


def _told(
    names: tuple[str, str, str], placement: Placement, forecast: Forecast, dev_rows: int, loading: float
) -> TrainingPlan:
    steps = forecast.plan.steps
    cuda = placement.device.type == "cuda"
    device = torch.cuda.get_device_properties(placement.device).total_memory / _GIB if cuda else None
    return TrainingPlan(
        recipe=names[0],
        base=names[1],
        engine=names[2],
        device=placement.device_name,
        precision=placement.precision,
        rows=forecast.plan.rows,
        rows_seen=forecast.plan.rows_seen,
        steps=steps,
        milliseconds_a_step=forecast.times.steady * 1e3,
        start_seconds=forecast.step_seconds - steps * forecast.times.steady,
        graphs=forecast.shapes.repeated,
        dev_rows=dev_rows,
        evaluations=forecast.evaluations + 1,
        seconds_an_evaluation=forecast.evaluation_seconds,
        load_seconds=loading,
        seconds=loading + forecast.seconds,
        memory_gib=None if forecast.peak_bytes is None else forecast.peak_bytes / _GIB,
        device_gib=device,
        micro_batch=forecast.micro_batch,
    )


def sentences(told: TrainingPlan) -> list[tuple[str, str]]:
    """What is said of a plan, with what it is about."""
    memory = "not measured on a CPU"
    if told.memory_gib is not None and told.device_gib is not None:
        memory = f"{told.memory_gib:.1f} of {told.device_gib:.0f} GiB"
    evaluations = f"{told.evaluations} times {told.dev_rows:,} rows, {told.seconds_an_evaluation:.1f} s each"
    return [
        ("recipe", f"{told.recipe} on {told.base}"),
        ("device", f"{told.device}, {told.precision}, {told.engine}"),
        ("rows", f"{told.rows:,}; {told.rows_seen:,} seen"),
        ("steps", f"{told.steps:,} at {told.milliseconds_a_step:.1f} ms, rows in a pass {told.micro_batch}"),
        ("starts", f"{told.start_seconds:.1f} s for sizes of steps that are new, {told.graphs} CUDA graphs"),
        ("dev", evaluations),
        ("memory", memory),
        ("time", f"{spoken(told.seconds)}, of which {told.load_seconds:.0f} s to load; a prediction"),
    ]


def spoken(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"
