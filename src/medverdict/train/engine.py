"""The seam between the loop over steps and the arithmetic of one step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from torch import Tensor

from medverdict.model.prompt import Example

EngineChoice = Literal["auto", "plain", "fast"]
"""What a person may ask for; auto is the fast engine where it applies."""


@dataclass(frozen=True)
class StepResult:
    """What a step was like."""

    loss: float
    """Mean over the step's supervised tokens before the update, in nats."""
    gradient_norm: float
    """Global, before clipping; not finite where it overflowed."""
    skipped: bool
    """True where the fp16 scaler met an overflow and left the weights alone."""


@dataclass(frozen=True)
class EngineState:
    """What an engine must remember from step to step besides the weights."""

    tensors: dict[str, Tensor]
    """On any device; they may be the engine's own, so who keeps them copies them before the next step."""
    numbers: dict[str, int | float]
    """Stored as JSON, which gives both back exactly."""


def nothing() -> None:
    """What is done meanwhile where there is nothing to do."""


class Engine(Protocol):
    """Trains the parameters of `verifier.model` in place, step by step; its class names it in a run's record.

    Where weights live: whenever `step` has returned, `verifier.trained_parameters()` hold the current weights, to be
    scored or copied. They are written from outside only in place (`parameter.copy_`) and only before
    `load_state`, which therefore must refresh whatever the engine derived from them.
    """

    def step(
        self, batch: Sequence[Example], rate: float, micro_batch: int, meanwhile: Callable[[], None] = nothing
    ) -> StepResult:
        """One optimizer step on all rows of `batch`, at most `micro_batch` of them in one forward pass.

        `meanwhile` is called once, while the device may be busy with the step. Dropout is drawn from torch's default
        generator of the device. Leaves a non-finite loss or norm to the caller to judge. Raises
        torch.OutOfMemoryError only while weights and state are as before, so that the same step can be asked for
        again with a smaller micro-batch; RunError when memory runs out later.
        """
        ...

    def expect(self, batch: Sequence[Example], micro_batch: int) -> None:
        """Told what the step after the running one will get, while the device works: lay it out now, or do nothing."""
        ...

    def restart(self) -> None:
        """Forget all that `state` would give: optimizer and scaler as before the first step, weights as they are."""
        ...

    def state(self) -> EngineState:
        """Optimizer and scaler: with weights and random states, all that the next steps hang on."""
        ...

    def load_state(self, state: EngineState) -> None:
        """Go on from a state that `state` gave once, after the weights of that moment have been put back."""
        ...
