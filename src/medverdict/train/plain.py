"""The readable engine: the arithmetic of one step spelled out, nothing clever."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from medverdict.errors import RunError
from medverdict.model.prompt import Example
from medverdict.model.verifier import Verifier
from medverdict.records import Recipe
from medverdict.train.engine import EngineState, StepResult, nothing
from medverdict.train.world import ALONE, World


class PlainEngine:
    """AdamW on the mean loss of a step's supervised tokens, one micro-batch after the other."""

    def __init__(self, verifier: Verifier, recipe: Recipe, world: World = ALONE) -> None:
        self._verifier, self._world = verifier, world
        self._largest_norm = recipe.clip_norm or math.inf
        self._parameters = [p for _, p in verifier.trained_parameters()]
        self._optimizer = make_optimizer(verifier, recipe)
        placement = verifier.placement
        self._scaler = torch.amp.GradScaler(placement.device.type, enabled=placement.precision == "fp16")
        self._fresh = self.state()

    def step(
        self, batch: Sequence[Example], rate: float, micro_batch: int, meanwhile: Callable[[], None] = nothing
    ) -> StepResult:
        """See Engine."""
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._verifier.model.train()
        self._optimizer.zero_grad(set_to_none=True)  # here, so that a step that ran out of memory can be done again
        loss = self._join(self._accumulate(batch, micro_batch))
        try:
            norm = self._update()
        except torch.OutOfMemoryError as error:  # half done, so that the step cannot be done again
            raise RunError(
                f"out of memory in the optimizer's update on {self._verifier.placement.device_name}. Take a smaller "
                "base, a lower lora_rank, or another device."
            ) from error
        meanwhile()
        return StepResult(loss, norm, self._scaler.is_enabled() and not math.isfinite(norm))

    def _accumulate(self, batch: Sequence[Example], micro_batch: int) -> float:
        """Add this process's part of the step's gradient; its part of the loss. Another loss overrides it."""
        supervised = sum(example.answer_length for example in batch)
        return accumulate_gradients(self._verifier, self._world.share(batch), micro_batch, self._scaler, supervised)

    def expect(self, batch: Sequence[Example], micro_batch: int) -> None:
        """See Engine: nothing is laid out ahead here."""

    def _join(self, loss: float) -> float:
        """Sum gradients and loss over all processes; one that had no row of a short last step adds zeros."""
        if self._world.size == 1:
            return loss
        total = torch.tensor(loss, device=self._verifier.placement.device)
        for parameter in self._parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        self._world.sum_([total, *(parameter.grad for parameter in self._parameters if parameter.grad is not None)])
        return float(total)

    def _update(self) -> float:
        """Clip and move the weights, unless the scaler finds an overflow; the norm before clipping."""
        self._scaler.unscale_(self._optimizer)
        norm = float(torch.nn.utils.clip_grad_norm_(self._parameters, self._largest_norm))
        self._scaler.step(self._optimizer)
        self._scaler.update()
        return norm

    def restart(self) -> None:
        """See Engine."""
        self.load_state(self._fresh)

    def state(self) -> EngineState:
        """AdamW's moments and step counts by parameter number, and the scaler's two numbers."""
        moments = self._optimizer.state_dict()["state"]
        tensors = {f"{number}.{name}": t for number, of in moments.items() for name, t in of.items()}
        return EngineState(tensors, dict(self._scaler.state_dict()))

    def load_state(self, state: EngineState) -> None:
        """See Engine."""
        moments: dict[int, dict[str, Tensor]] = {}
        for key, tensor in state.tensors.items():
            number, _, name = key.partition(".")
            moments.setdefault(int(number), {})[name] = tensor
        self._optimizer.load_state_dict(self._optimizer.state_dict() | {"state": moments})
        self._scaler.load_state_dict(state.numbers)


def accumulate_gradients(
    verifier: Verifier,
    batch: Sequence[Example],
    micro_batch: int,
    scaler: torch.amp.GradScaler,
    supervised: int,
) -> float:
    """Add the gradient of the step's mean loss, one micro-batch after the other; return that loss.

    The mean is over all `supervised` tokens of the step, so that 16 x 1 and 4 x 4 rows give the same gradient
    also when answers differ in length (transformers issue 34191 was this mistake).
    """
    total = 0.0
    for start in range(0, len(batch), micro_batch):
        loss = summed_loss(verifier, batch[start : start + micro_batch]) / supervised
        torch.autograd.backward(scaler.scale(loss))
        total += float(loss.detach())
    return total


def summed_loss(verifier: Verifier, examples: Sequence[Example]) -> Tensor:
    """Cross-entropy of the supervised tokens, summed: a scalar in fp32."""
    logits, targets = answer_logits(verifier, examples)
    return torch.nn.functional.cross_entropy(logits, targets, reduction="sum")


def answer_logits(verifier: Verifier, examples: Sequence[Example]) -> tuple[Tensor, Tensor]:
    """Logits (tokens, vocabulary) before the supervised tokens, where alone the head is applied; and those tokens."""
    states = verifier.hidden([example.ids[:-1] for example in examples])
    rows, positions, targets = torch.tensor(list(supervised_positions(examples)), device=states.device).unbind(1)
    return verifier.head(states[rows, positions]), targets


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
