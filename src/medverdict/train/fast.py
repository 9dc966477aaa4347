"""The fast engine: the plain engine's arithmetic with nothing computed twice and a whole step in one CUDA graph."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from medverdict.model.fast_body import BodySwitches, fast_body, why_not
from medverdict.model.fast_layout import Layout, Shape, common_prefix, lay_out, shape_of
from medverdict.model.prompt import Example
from medverdict.model.verifier import Verifier
from medverdict.records import Recipe
from medverdict.train.engine import EngineState, StepResult, nothing
from medverdict.train.world import ALONE, World

# The fp16 scaler's constants are those of torch.amp.GradScaler.
_START_SCALE, _GROWTH, _BACKOFF, _GROWTH_INTERVAL = 65536.0, 2.0, 0.5, 2000


@dataclass(frozen=True)
class Switches:
    """What may be switched off to measure what it is worth; all on is the engine as it is used."""

    pack: bool = True
    """Rows behind one another, no padding in linear layers; else padded to the longest row of the pass."""
    whole_step: bool = True
    """All rows of a step in one pass; else micro-batches as the loop asks for."""
    prefix: bool = True
    """The constant start of the prompt computed once a pass. Exact without dropout; with dropout, all rows of a
    step share the prefix's dropout mask."""
    last_layer: bool = True
    """After the last attention, only supervised positions go on."""
    fused: bool = True
    """q, k, v in one product, gate and up in one, and one pair of products for the adapters of each."""
    flash: bool = True
    """FlashAttention where the device has it; else the kernel that a T4 has too."""
    flat: bool = True
    """One fp32 vector of trained weights with torch's fused AdamW; else one tensor a matrix."""
    graph: bool = True
    """The whole step as a CUDA graph for each shape that comes twice; needs `flat`, and a CUDA device."""


ALL_ON = Switches()


def why_not_fast(verifier: Verifier, recipe: Recipe) -> str | None:
    """Why the fast engine cannot do this training, in words, or None where it can."""
    if recipe.method != "lora":
        return f"it trains adapters only, and the recipe's method is {recipe.method}"
    if recipe.supervised_padding:
        return "the recipe trains on padding, whose arithmetic is the plain engine's"
    return why_not(verifier.model)


class Pending:
    """A step that the device may still be busy with."""

    def __init__(self, report: Tensor, scaled: bool) -> None:
        self._report, self._scaled, self._arrived = report, scaled, None
        if report.is_cuda:
            self._report = torch.empty(report.shape, dtype=report.dtype, pin_memory=True)
            self._report.copy_(report, non_blocking=True)
            self._arrived = torch.cuda.Event()
            self._arrived.record()
        else:
            self._report = report.clone()

    def result(self) -> StepResult:
        """Wait for the step and say what it was like."""
        if self._arrived is not None:
            self._arrived.synchronize()
        loss, norm = self._report.tolist()
        return StepResult(loss, norm, self._scaled and not math.isfinite(norm))


@dataclass
class _Captured:
    """What belongs to one kind of step."""

    numbers: Tensor
    """Static input: the layout's vector."""
    scalars: Tensor
    """Static input: learning rate, 1 / supervised tokens."""
    graph: torch.cuda.CUDAGraph | None = None


class FastEngine:
    """See Engine. Works where `why_not_fast` finds nothing against it; equal to PlainEngine to rounding.

    `examples` are rows of the training from which the constant prefix is read; all of them, for the longest safe one.
    """

    def __init__(
        self,
        verifier: Verifier,
        recipe: Recipe,
        examples: Sequence[Example],
        switches: Switches = ALL_ON,
        world: World = ALONE,
    ) -> None:
        self._recipe, self._switches, self._world = recipe, switches, world
        self._device = verifier.placement.device
        self._scaled = verifier.placement.precision == "fp16"
        self._prefix = common_prefix(examples) if switches.prefix else 0
        self._body = fast_body(verifier.model)
        self._body_switches = BodySwitches(switches.last_layer, switches.fused, switches.flash)
        self._flat = self._body.flat.requires_grad_()
        self._parts = [p for _, p in verifier.trained_parameters()]
        self._rate = torch.zeros((), device=self._device)
        alone = world.size == 1  # graphs that hold a sum over processes have not been tried
        self._graphs = switches.graph and switches.flat and self._device.type == "cuda" and alone
        self._optimizer = self._make_optimizer()
        self._scale = torch.full((), _START_SCALE if self._scaled else 1.0, device=self._device)
        self._growth = torch.zeros((), dtype=torch.int32, device=self._device)
        self._report = torch.zeros(2, device=self._device)
        self._kinds: dict[Shape, _Captured] = {}
        self._expected: tuple[Sequence[Example], int, list[tuple[Shape, Tensor]]] | None = None
        self._pool: Any = None

    @property
    def uses_graphs(self) -> bool:
        """Whether steps become CUDA graphs here."""
        return self._graphs

    @property
    def graph_count(self) -> int:
        """Graphs captured so far."""
        return sum(kind.graph is not None for kind in self._kinds.values())

    def _make_optimizer(self) -> torch.optim.AdamW:
        recipe = self._recipe
        return torch.optim.AdamW(
            [self._flat] if self._switches.flat else self._parts,
            lr=self._rate if self._switches.flat else recipe.learning_rate,
            betas=(recipe.adam_beta1, recipe.adam_beta2),
            eps=recipe.adam_epsilon,
            weight_decay=recipe.weight_decay,  # adapters are matrices, all of them
            fused=self._switches.flat,
            capturable=self._graphs,
        )

    def step(
        self, batch: Sequence[Example], rate: float, micro_batch: int, meanwhile: Callable[[], None] = nothing
    ) -> StepResult:
        """See Engine; `micro_batch` matters only after memory ran out."""
        launched = self.launch(batch, rate, micro_batch)
        meanwhile()
        return launched.result()

    def expect(self, batch: Sequence[Example], micro_batch: int) -> None:
        """See Engine."""
        self._expected = (batch, micro_batch, self._passes(batch, micro_batch))

    def launch(self, batch: Sequence[Example], rate: float, micro_batch: int) -> Pending:
        """Start a step without waiting for its end; the next one may be launched behind it."""
        supervised = sum(example.answer_length for example in batch)
        scalars = torch.tensor([rate, 1.0 / supervised])
        ahead, self._expected = self._expected, None
        known = ahead is not None and ahead[0] is batch and ahead[1] == micro_batch
        passes = ahead[2] if ahead is not None and known else self._passes(batch, micro_batch)
        if len(passes) == 1:
            self._run_kind(*passes[0], scalars)
        else:
            self._run(passes, scalars.to(self._device))
        return Pending(self._report, self._scaled)

    def _passes(self, batch: Sequence[Example], micro_batch: int) -> list[tuple[Shape, Tensor]]:
        """This process's rows of a step, laid out pass by pass."""
        whole = self._switches.whole_step and micro_batch >= self._recipe.batch_size
        own = self._world.share(batch)
        rows = max(1, len(own) if whole else micro_batch)
        return [self._pass(own[start : start + rows]) for start in range(0, len(own), rows)]

    def shape_of(self, rows: Sequence[Example]) -> Shape:
        """Sizes of a pass over these rows: each new one costs a start, and a graph when it comes again."""
        return shape_of(rows, self._prefix, self._switches.pack)

    def _pass(self, rows: Sequence[Example]) -> tuple[Shape, Tensor]:
        shape = self.shape_of(rows)
        return shape, torch.from_numpy(lay_out(rows, shape, self._switches.pack))

    def _run_kind(self, shape: Shape, numbers: Tensor, scalars: Tensor) -> None:
        """One pass is the whole step: eagerly the first time its shape occurs, and from then on as a graph."""
        kind = self._kinds.get(shape)
        if not self._graphs:
            self._run([(shape, numbers)], scalars.to(self._device))
            return
        seen_before = kind is not None
        if kind is None:
            kind = _Captured(numbers.to(self._device), scalars.to(self._device))
            self._kinds[shape] = kind
        else:
            kind.numbers.copy_(numbers.pin_memory(), non_blocking=True)
            kind.scalars.copy_(scalars.pin_memory(), non_blocking=True)
        if not seen_before:
            self._run([(shape, kind.numbers)], kind.scalars)
            return
        if kind.graph is None:
            kind.graph = self._capture(shape, kind)
        kind.graph.replay()

    def _capture(self, shape: Shape, kind: _Captured) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()
        torch.cuda.synchronize()
        with torch.cuda.graph(graph, pool=self._pool):
            self._run([(shape, kind.numbers)], kind.scalars)
        self._pool = graph.pool()
        return graph

    def _run(self, passes: Sequence[tuple[Shape, Tensor]], scalars: Tensor) -> None:
        """Forward, backward, clip, AdamW, scaler: device work only, and no look at its outcome."""
        rate, share = scalars.unbind()
        loss, gradient = torch.zeros_like(share), None
        for shape, numbers in passes:
            layout = Layout.of(shape, numbers.to(self._device))
            part = self._body.summed_loss(layout, shape, self._body_switches) * share
            (more,) = torch.autograd.grad(part * self._scale, self._flat)
            gradient = more if gradient is None else gradient.add_(more)
            loss = loss + part.detach()
        if gradient is None:  # a process without a row in a short last step
            gradient = torch.zeros_like(self._flat)
        self._world.sum_([loss, gradient])
        with torch.no_grad():
            norm = self._unscale_and_clip(gradient)
            self._report.copy_(torch.stack([loss, norm]))
            self._update(gradient, rate, norm)

    def _unscale_and_clip(self, gradient: Tensor) -> Tensor:
        """In place; the norm before clipping."""
        if self._scaled:
            gradient.mul_(self._scale.reciprocal())
        norm: Tensor = torch.linalg.vector_norm(gradient)
        if self._recipe.clip_norm:
            gradient.mul_((self._recipe.clip_norm / (norm + 1e-6)).clamp_(max=1.0))
        return norm

    def _update(self, gradient: Tensor, rate: Tensor, norm: Tensor) -> None:
        """AdamW, left out where the norm is not finite; then the fp16 scaler."""
        overflow = (~torch.isfinite(norm)).float()
        if self._switches.flat:
            self._rate.copy_(rate)
            self._flat.grad = gradient
            self._optimizer.found_inf = overflow  # type: ignore[attr-defined]  # how GradScaler tells a fused AdamW
            self._optimizer.step()
            self._flat.grad = None
        elif not bool(overflow):
            self._optimizer.param_groups[0]["lr"] = float(rate)
            for parameter, own in zip(self._parts, self.pieces(gradient), strict=True):
                parameter.grad = own
            self._optimizer.step()
        if self._scaled:
            torch._amp_update_scale_(self._scale, self._growth, overflow, _GROWTH, _BACKOFF, _GROWTH_INTERVAL)

    def pieces(self, vector: Tensor) -> list[Tensor]:
        """The parts of a vector laid out like the flat one, in the order of the verifier's parameters."""
        start = self._flat.data_ptr()
        return [
            vector[place : place + p.numel()].view_as(p)
            for p in self._parts
            for place in [(p.data_ptr() - start) // p.element_size()]
        ]

    def restart(self) -> None:
        """See Engine."""
        self.load_state(EngineState({}, {"scale": _START_SCALE if self._scaled else 1.0, "growth": 0}))

    def state(self) -> EngineState:
        """AdamW's moments and step count, and the fp16 scaler."""
        tensors = {
            f"{number}.{name}": t
            for number, of in self._optimizer.state_dict()["state"].items()
            for name, t in of.items()
        }
        return EngineState(tensors, {"scale": float(self._scale), "growth": int(self._growth)})

    def load_state(self, state: EngineState) -> None:
        """See Engine."""
        moments: dict[int, dict[str, Tensor]] = {}
        for key, tensor in state.tensors.items():
            number, _, name = key.partition(".")
            moments.setdefault(int(number), {})[name] = tensor
        self._optimizer.load_state_dict(self._optimizer.state_dict() | {"state": moments})
        self._kinds.clear()  # graphs hold the addresses of the old moments
        self._pool = None  # it ended with the last of them, and nothing can be captured into it again
        self._optimizer.param_groups[0]["lr"] = self._rate
        self._scale.fill_(state.numbers["scale"])
        self._growth.fill_(int(state.numbers["growth"]))
