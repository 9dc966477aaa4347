"""From step to step, for any engine: what is common to all ways of doing the arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic

import torch

from medverdict.console import say
from medverdict.errors import GateError, RunError
from medverdict.model.lora import adapter_is_zero
from medverdict.model.prompt import Example
from medverdict.model.verifier import Verifier
from medverdict.records import HistoryRow, Recipe
from medverdict.train.engine import Engine, StepResult, nothing
from medverdict.train.random_state import random_state, set_random_state
from medverdict.train.schedule import Plan, learning_rate_at, plan_steps, step_rows
from medverdict.train.world import ALONE, World


@dataclass
class Position:
    """Where a training stands; the loop moves it."""

    micro_batch: int
    """Rows in one forward pass: the recipe's, or less after memory ran out."""
    step: int = 0
    """Steps done."""
    seconds: float = 0.0
    """Spent on them, over all processes that worked on this training."""


def train_steps(
    verifier: Verifier,
    engine: Engine,
    examples: Sequence[Example],
    position: Position,
    after_step: Callable[[HistoryRow], None],
    world: World = ALONE,
) -> None:
    """Train in place by the verifier's recipe, from `position` to the last step; `after_step` sees every step.

    Raises GateError on a non-finite loss or gradient, and when the adapter is still zero at the end; RunError
    when a single row does not fit into memory.
    """
    recipe = verifier.recipe
    plan = plan_steps(len(examples), recipe)
    started = monotonic() - position.seconds
    batches = Batches(examples, plan, recipe.seed)

    def meanwhile() -> None:
        if position.step + 1 < plan.steps:
            engine.expect(batches[position.step + 1], position.micro_batch)

    while position.step < plan.steps:
        number = position.step
        rate = learning_rate_at(number, plan, recipe)
        if plan.starts_afresh(number):
            engine.restart()
        world.reseed(recipe.seed, number)
        result = step_within_memory(verifier, engine, batches[number], rate, position, meanwhile)
        require_finite(result, number)
        position.step += 1
        position.seconds = max(position.seconds, monotonic() - started)
        after_step(history_row(result, rate, plan, position))
    if recipe.method == "lora" and adapter_is_zero(verifier.model):
        raise GateError(
            f"the adapter is still zero after {plan.steps} steps: nothing was trained. Train longer, or raise "
            "learning_rate; in fp16 the first steps are skipped while the scaler finds its scale."
        )


class Batches:
    """The rows of each step; the last one asked for is remembered, so that a step gets what was laid out ahead."""

    def __init__(self, examples: Sequence[Example], plan: Plan, seed: int) -> None:
        self._examples, self._plan, self._seed = examples, plan, seed
        self._last: tuple[int, list[Example]] = (-1, [])

    def __getitem__(self, step: int) -> list[Example]:
        if self._last[0] != step:
            self._last = (step, [self._examples[row] for row in step_rows(step, self._plan, self._seed)])
        return self._last[1]


def start_training(recipe: Recipe) -> Position:
    """The position before the first step, with the generators seeded for dropout."""
    torch.manual_seed(recipe.seed)
    return Position(recipe.batch_size)


def step_within_memory(
    verifier: Verifier,
    engine: Engine,
    batch: Sequence[Example],
    rate: float,
    position: Position,
    meanwhile: Callable[[], None] = nothing,
) -> StepResult:
    """One step; where memory runs out, again with half the rows in a pass and twice the passes, and so from then on.

    The gradient is that of the same rows, so the result is the same to rounding.
    """
    device = verifier.placement.device
    chance = random_state(device)
    while True:
        try:
            return engine.step(batch, rate, position.micro_batch, meanwhile)
        except torch.OutOfMemoryError:
            if position.micro_batch == 1:
                raise RunError(
                    f"out of memory on {verifier.placement.device_name} with one row at a time. Take a smaller base, "
                    "a lower max_length, or another device."
                ) from None
            position.micro_batch = (position.micro_batch + 1) // 2
            say(f"step {position.step + 1}: out of memory; from now on {position.micro_batch} rows a pass")
        torch.cuda.empty_cache()
        set_random_state(chance, device)


def require_finite(result: StepResult, number: int) -> None:
    """Raises GateError where loss or gradient is no number, unless the fp16 scaler skipped the step for it."""
    if not math.isfinite(result.loss):
        raise GateError(
            f"the loss is {result.loss} at step {number + 1}. Lower learning_rate, or look at the rows of this step."
        )
    if not math.isfinite(result.gradient_norm) and not result.skipped:
        raise GateError(
            f"the gradient is {result.gradient_norm} at step {number + 1}, with a loss of {result.loss:.4g}. "
            "Lower learning_rate."
        )


def history_row(result: StepResult, rate: float, plan: Plan, position: Position) -> HistoryRow:
    """What is remembered of the step that `position` stands behind."""
    return HistoryRow(
        step=position.step,
        epoch=plan.rows_after(position.step) / plan.rows,
        rows=plan.rows_after(position.step),
        loss=result.loss,
        learning_rate=rate,
        gradient_norm=result.gradient_norm if math.isfinite(result.gradient_norm) else None,
        skipped=result.skipped,
        seconds=position.seconds,
    )
