"""The readable training loop: every step spelled out, nothing clever."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from time import monotonic

import torch
from torch import Tensor

from medverdict.errors import GateError
from medverdict.model.lora import adapter_is_zero
from medverdict.model.prompt import Example
from medverdict.model.verifier import Verifier
from medverdict.records import HistoryRow, Recipe


@dataclass(frozen=True)
class Plan:
    """The arithmetic of a training, known before it starts."""

    rows: int
    steps_an_epoch: int
    steps: int
    rows_a_step: int

    @property
    def rows_seen(self) -> int:
        """Rows of all steps together, each epoch's rows counted again."""
        whole, rest = divmod(self.steps, self.steps_an_epoch)
        return whole * self.rows + min(self.rows, rest * self.rows_a_step)


def plan_steps(rows: int, recipe: Recipe) -> Plan:
    """Steps of a training: the last step of an epoch may be smaller, and no row is dropped."""
    rows_a_step = recipe.batch_size * recipe.accumulation
    steps_an_epoch = math.ceil(rows / rows_a_step)
    return Plan(rows, steps_an_epoch, max(1, round(steps_an_epoch * recipe.epochs)), rows_a_step)


def learning_rate_at(step: int, plan: Plan, recipe: Recipe) -> float:
    """Rate of step 0, 1, …: linear rise over the warm-up, then the recipe's shape down to zero."""
    warmup = math.ceil(recipe.warmup_ratio * plan.steps)
    if step < warmup:
        return recipe.learning_rate * (step + 1) / warmup
    done = (step - warmup) / max(1, plan.steps - warmup)
    shape = {"constant": 1.0, "linear": 1.0 - done, "cosine": 0.5 * (1.0 + math.cos(math.pi * done))}
    return recipe.learning_rate * shape[recipe.schedule]


def step_rows(step: int, plan: Plan, seed: int) -> list[int]:
    """Row numbers of one step: a function of the seed and the position, so that any step can be found again."""
    epoch, position = divmod(step, plan.steps_an_epoch)
    order = torch.randperm(plan.rows, generator=torch.Generator().manual_seed(seed * 1_000_003 + epoch)).tolist()
    start = position * plan.rows_a_step
    return order[start : start + plan.rows_a_step]


def train_plain(
    verifier: Verifier,
    examples: Sequence[Example],
    recipe: Recipe,
    after_step: Callable[[HistoryRow], None],
) -> None:
    """Train in place by the recipe; `after_step` sees every step and may evaluate.

    Raises GateError on a non-finite loss or gradient, and when the adapter is still zero at the end.
    """
    plan = plan_steps(len(examples), recipe)
    parameters = [p for _, p in verifier.trained_parameters()]
    optimizer = make_optimizer(verifier, recipe)
    scaler = torch.amp.GradScaler(verifier.placement.device.type, enabled=verifier.placement.precision == "fp16")
    torch.manual_seed(recipe.seed)  # dropout
    started, seen = monotonic(), 0
    for number in range(plan.steps):
        rate = learning_rate_at(number, plan, recipe)
        for group in optimizer.param_groups:
            group["lr"] = rate
        batch = [examples[row] for row in step_rows(number, plan, recipe.seed)]
        verifier.model.train()
        loss = accumulate_gradients(verifier, batch, recipe, scaler)
        scaler.unscale_(optimizer)
        norm = float(torch.nn.utils.clip_grad_norm_(parameters, recipe.clip_norm or math.inf))
        skipped = scaler.is_enabled() and not math.isfinite(norm)
        _require_finite(loss, norm, skipped, number)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=True)
        seen += len(batch)
        after_step(
            HistoryRow(
                step=number + 1,
                epoch=(number + 1) / plan.steps_an_epoch,
                rows=seen,
                loss=loss,
                learning_rate=rate,
                gradient_norm=norm if math.isfinite(norm) else None,
                skipped=skipped,
                seconds=monotonic() - started,
            )
        )
    if recipe.method == "lora" and adapter_is_zero(verifier.model):
        raise GateError(
            f"the adapter is still zero after {plan.steps} steps: nothing was trained. Train longer, or raise "
            "learning_rate; in fp16 the first steps are skipped while the scaler finds its scale."
        )


def accumulate_gradients(
    verifier: Verifier, batch: Sequence[Example], recipe: Recipe, scaler: torch.amp.GradScaler
) -> float:
    """Add the gradient of the step's mean loss, one micro-batch after the other; return that loss.

    The mean is over all supervised tokens of the step, so that 16 x 1 and 4 x 4 rows give the same gradient
    also when answers differ in length (transformers issue 34191 was this mistake).
    """
    supervised = sum(example.answer_length for example in batch)
    total = 0.0
    for start in range(0, len(batch), recipe.batch_size):
        loss = summed_loss(verifier, batch[start : start + recipe.batch_size]) / supervised
        torch.autograd.backward(scaler.scale(loss))
        total += float(loss.detach())
    return total


def summed_loss(verifier: Verifier, examples: Sequence[Example]) -> Tensor:
    """Cross-entropy of the supervised tokens, summed: a scalar in fp32.

    The head is applied at the positions before supervised tokens only.
    """
    states = verifier.hidden([example.ids[:-1] for example in examples])
    rows, positions, targets = torch.tensor(list(supervised_positions(examples)), device=states.device).unbind(1)
    logits = verifier.head(states[rows, positions])
    return torch.nn.functional.cross_entropy(logits, targets, reduction="sum")


def supervised_positions(examples: Sequence[Example]) -> Iterator[tuple[int, int, int]]:
    """(row, position, target): the state at `position` must predict the token `target` that follows it."""
    for row, example in enumerate(examples):
        for position in range(len(example.ids) - 1 - example.answer_length, len(example.ids) - 1):
            yield row, position, example.ids[position + 1]


def make_optimizer(verifier: Verifier, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW; weight decay on matrices only, as is usual for norms and biases."""
    named = verifier.trained_parameters()
    groups = [
        {"params": [p for _, p in named if p.ndim >= 2], "weight_decay": recipe.weight_decay},
        {"params": [p for _, p in named if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=recipe.learning_rate,
        betas=(recipe.adam_beta1, recipe.adam_beta2),
        eps=recipe.adam_epsilon,
    )


def _require_finite(loss: float, norm: float, skipped: bool, number: int) -> None:
    if not math.isfinite(loss):
        raise GateError(
            f"the loss is {loss} at step {number + 1}. Lower learning_rate, or look at the rows of this step."
        )
    if not math.isfinite(norm) and not skipped:
        raise GateError(f"the gradient is {norm} at step {number + 1}, with a loss of {loss:.4g}. Lower learning_rate.")
