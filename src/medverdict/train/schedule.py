"""Which rows and which rate a step has: functions of seed and position, so that any step can be found again."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch

from medverdict.records import Recipe


@dataclass(frozen=True)
class Stretch:
    """Consecutive rows that one optimizer is trained on, from warm-up to its last step: all rows, or one chunk."""

    first_row: int
    rows: int
    first_step: int
    steps_an_epoch: int
    steps: int
    first_epoch: int
    """Epochs of the stretches before, begun ones counted whole: the order of rows hangs on it."""


@dataclass(frozen=True)
class Plan:
    """The arithmetic of a training, known before it starts."""

    rows: int
    rows_a_step: int
    stretches: tuple[Stretch, ...]

    @property
    def steps(self) -> int:
        """Of all stretches together."""
        return self.stretches[-1].first_step + self.stretches[-1].steps

    @property
    def rows_seen(self) -> int:
        """Rows of all steps together, each epoch's rows counted again."""
        return self.rows_after(self.steps)

    def stretch_of(self, step: int) -> Stretch:
        """To which step 0, 1, … belongs."""
        return next(stretch for stretch in reversed(self.stretches) if stretch.first_step <= step)

    def rows_after(self, step: int) -> int:
        """Rows of the first `step` steps together."""
        return sum(self._rows_in(stretch, step - stretch.first_step) for stretch in self.stretches)

    def starts_afresh(self, step: int) -> bool:
        """Whether optimizer and schedule begin anew with this step, which is not the first."""
        return step > 0 and step == self.stretch_of(step).first_step

    def ends_epoch(self, step: int) -> bool:
        """Whether the last of the first `step` steps ended an epoch, or its stretch."""
        stretch = self.stretch_of(step - 1)
        done = step - stretch.first_step
        return done % stretch.steps_an_epoch == 0 or done == stretch.steps

    def _rows_in(self, stretch: Stretch, steps: int) -> int:
        whole, rest = divmod(min(max(0, steps), stretch.steps), stretch.steps_an_epoch)
        return whole * stretch.rows + min(stretch.rows, rest * self.rows_a_step)


def plan_steps(rows: int, recipe: Recipe) -> Plan:
    """Steps of a training: the last step of an epoch may be smaller, and no row is dropped."""
    rows_a_step = recipe.batch_size * recipe.accumulation
    stretches: list[Stretch] = []
    step = epoch = 0
    for first_row in range(0, rows, recipe.chunk_rows or rows):
        held = min(recipe.chunk_rows or rows, rows - first_row)
        steps_an_epoch = math.ceil(held / rows_a_step)
        steps = max(1, round(steps_an_epoch * recipe.epochs))
        stretches.append(Stretch(first_row, held, step, steps_an_epoch, steps, epoch))
        step += steps
        epoch += math.ceil(steps / steps_an_epoch)
    return Plan(rows, rows_a_step, tuple(stretches))


def learning_rate_at(step: int, plan: Plan, recipe: Recipe) -> float:
    """Rate of step 0, 1, …: linear rise over the warm-up, then the recipe's shape down to zero, in each stretch."""
    stretch = plan.stretch_of(step)
    number = step - stretch.first_step
    warmup = math.ceil(recipe.warmup_ratio * stretch.steps)
    if number < warmup:
        return recipe.learning_rate * (number + 1) / warmup
    done = (number - warmup) / max(1, stretch.steps - warmup)
    shape = {"constant": 1.0, "linear": 1.0 - done, "cosine": 0.5 * (1.0 + math.cos(math.pi * done))}
    return recipe.learning_rate * shape[recipe.schedule]


def step_rows(step: int, plan: Plan, seed: int) -> list[int]:
    """Row numbers of one step: a function of the seed and the position, so that any step can be found again."""
    stretch = plan.stretch_of(step)
    epoch, position = divmod(step - stretch.first_step, stretch.steps_an_epoch)
    order = _shuffled(stretch.rows, seed * 1_000_003 + stretch.first_epoch + epoch)
    start = position * plan.rows_a_step
    return [stretch.first_row + row for row in order[start : start + plan.rows_a_step].tolist()]


@lru_cache(maxsize=2)
def _shuffled(rows: int, seed: int) -> torch.Tensor:
    """Numbers of `rows` rows (rows,) in the order of one epoch; kept, because every step of the epoch asks for it."""
    return torch.randperm(rows, generator=torch.Generator().manual_seed(seed))
