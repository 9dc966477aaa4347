"""A decoder's forward pass written for training adapters: fused projections, shared prefix, work only where needed."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from medverdict.model.fast_layout import Layout, Shape
from medverdict.model.fast_ops import Gather, Rotate, SwiGlu
from medverdict.model.lora import LoraLinear

FUSED = {
    "qkv": ("q_proj", "k_proj", "v_proj"),
    "o": ("o_proj",),
    "gate_up": ("gate_proj", "up_proj"),
    "down": ("down_proj",),
}
"""Linear layers that read the same input, and are one matrix product here."""
ARCHITECTURES = ("qwen2", "llama")
_PARENTS = {"qkv": "self_attn", "o": "self_attn", "gate_up": "mlp", "down": "mlp"}
_ROTARIES = ("default", "linear", "llama3")  # those whose angles do not depend on the row


def why_not(model: nn.Module) -> str | None:
    """Why this body cannot stand in for `model`, in words, or None where it can."""
    config = cast(Any, model).config
    kind = config.model_type
    if kind not in ARCHITECTURES:
        return f"its architecture is {kind}; the fast engine knows {' and '.join(ARCHITECTURES)}"
    if "sliding_attention" in (getattr(config, "layer_types", None) or ()):
        return "it has layers with sliding attention"
    if config.hidden_act != "silu" or getattr(config, "attention_dropout", 0.0):
        return "its activation is not silu, or it drops attention weights"
    rotary = cast(Any, model.get_submodule("model.rotary_emb")).rope_type
    if rotary not in _ROTARIES:
        return f"its rotary embedding is {rotary}"
    mlp = model.get_submodule("model.layers.0.mlp")
    if any(isinstance(m, nn.Linear) and m.bias is not None for m in mlp.modules()):
        return "its MLP has biases"
    return None


@dataclass(frozen=True)
class BodySwitches:
    """What may be switched off to measure what it is worth."""

    last_layer: bool = True
    """After the last attention, only supervised positions go on."""
    fused: bool = True
    """One product for q, k, v and one for gate, up, with one pair of products for their adapters."""
    flash: bool = True
    """FlashAttention where the device has it; else the kernel that a T4 has too."""


ALL_ON = BodySwitches()


class Adapter:
    """The LoRA matrices of one fused group in all layers, as places in one flat vector.

    The vector holds A as (layers, n, r, in) and then, part after part, B as (layers, out, r), so that each matrix
    of each layer is contiguous and the layers' own parameters can be views of it.
    """

    def __init__(self, start: int, linears: Sequence[Sequence[LoraLinear]], rows: Sequence[slice], out: int) -> None:
        first = linears[0]
        self.scale, self.rank = first[0].scale, first[0].lora_A.shape[0]
        self.dropout = first[0].dropout.p if isinstance(first[0].dropout, nn.Dropout) else 0.0
        self.rows, self.out = tuple(rows), out
        self._linears = linears
        self.a_shape = (len(linears), len(first), self.rank, first[0].lora_A.shape[1])
        self.b_shapes = tuple((len(linears), linear.lora_B.shape[0], self.rank) for linear in first)
        self.sizes = [torch.Size(shape).numel() for shape in (self.a_shape, *self.b_shapes)]
        self.start, self.end = start, start + sum(self.sizes)

    @property
    def enabled(self) -> bool:
        """Whether the layers answer with their adapters (`without_lora` switches them off for a while)."""
        return self._linears[0][0].enabled

    def adopt(self, flat: Tensor) -> None:
        """Copy the layers' matrices into the flat vector and make them views of it."""
        a, *bs = self.views(flat)
        for layer, parts in enumerate(self._linears):
            for part, linear in enumerate(parts):
                for own, view in ((linear.lora_A, a[layer, part]), (linear.lora_B, bs[part][layer])):
                    view.copy_(own.data)
                    own.data = view

    def views(self, flat: Tensor) -> tuple[Tensor, ...]:
        """A (layers, n, r, in) and each part's B (layers, out, r)."""
        parts = flat[self.start : self.end].split(self.sizes)
        return tuple(p.view(shape) for p, shape in zip(parts, (self.a_shape, *self.b_shapes), strict=True))

    def matrices(self, flat: Tensor, fused: bool) -> list[tuple[Tensor, ...]]:
        """Of each layer: A (n, r, in) and B, fused as one block-diagonal (out of the group, n r), else by part."""
        a, *bs = self.views(flat)
        if not fused:
            return list(zip(a.unbind(), *(b.unbind() for b in bs), strict=True))
        if len(bs) == 1 and bs[0].shape[1] == self.out:
            return list(zip(a.unbind(), bs[0].unbind(), strict=True))
        wide = flat.new_zeros(a.shape[0], self.out, len(bs) * self.rank)
        for number, (rows, b) in enumerate(zip(self.rows, bs, strict=True)):
            wide[:, rows, number * self.rank : (number + 1) * self.rank] = b
        return list(zip(a.unbind(), wide.unbind(), strict=True))

    def scaled(self, flat: Tensor, dtype: torch.dtype) -> list[tuple[Tensor, ...]]:
        """`matrices`, fused, with B times the scale, out of fp32 and rounded to `dtype` once."""
        return [(a.to(dtype), (b * self.scale).to(dtype)) for a, b in self.matrices(flat, fused=True)]


class Group:
    """The frozen weights of one fused group in one layer, and which rows of them are adapted."""

    def __init__(self, parent: nn.Module, names: Sequence[str]) -> None:
        modules = [parent.get_submodule(name) for name in names]
        linears = [cast(nn.Linear, m.base if isinstance(m, LoraLinear) else m) for m in modules]
        sizes = [linear.out_features for linear in linears]
        ends = [sum(sizes[: n + 1]) for n in range(len(sizes))]
        self.parts = [slice(end - size, end) for end, size in zip(ends, sizes, strict=True)]
        self.weight = torch.cat([linear.weight.data for linear in linears])
        self.bias = None if linears[0].bias is None else torch.cat([linear.bias.data for linear in linears])
        for linear, rows in zip(linears, self.parts, strict=True):  # views, so that nothing is stored twice
            linear.weight.data = self.weight[rows]
            if self.bias is not None:
                linear.bias.data = self.bias[rows]
        self.adapted = [m for m in modules if isinstance(m, LoraLinear)]
        self.adapted_rows = [r for m, r in zip(modules, self.parts, strict=True) if isinstance(m, LoraLinear)]

    @property
    def out(self) -> int:
        """Output features of the whole group."""
        return self.weight.shape[0]

    def part_of(self, number: int, x: Tensor) -> Tensor:
        """(N, in) -> (N, out of one part), without its adapter."""
        rows = self.parts[number]
        return functional.linear(x, self.weight[rows], None if self.bias is None else self.bias[rows])


class FastBody:
    """Stands in for a model, with all its weights shared; `fast_body` keeps one for each model.

    `flat` (fp32) holds every adapter matrix; the model's own adapter parameters are views of it. `joins_adapters` says
    how scoring multiplies gate and up: as `_gate_joined` does on a GPU, as training does elsewhere.
    """

    def __init__(self, model: nn.Module) -> None:
        self.config = cast(Any, model).config
        body = cast(Any, model.get_submodule("model"))
        self._embedding: Tensor = body.embed_tokens.weight.data
        self._head: Tensor = cast(Any, model.get_submodule("lm_head")).weight.data
        self._layers = list(body.layers)
        self._groups = [
            {name: Group(layer.get_submodule(_PARENTS[name]), parts) for name, parts in FUSED.items()}
            for layer in self._layers
        ]
        self._norms = [(_norm(layer.input_layernorm), _norm(layer.post_attention_layernorm)) for layer in self._layers]
        self._norm = _norm(body.norm)
        self._heads = self.config.num_attention_heads
        self._kv_heads = self.config.num_key_value_heads
        self._head_width = getattr(self.config, "head_dim", None) or self.config.hidden_size // self._heads
        self._rotary = body.rotary_emb
        self._tables: tuple[Tensor, Tensor] | None = None
        self._adapters, self.flat = self._adopt_adapters()
        device = self._embedding.device
        self._cuda = device.type == "cuda"
        half = self._embedding.dtype != torch.float32
        self.joins_adapters = self._cuda
        self._has_flash = half and self._cuda and torch.cuda.get_device_capability(device) >= (8, 0)

    def _adopt_adapters(self) -> tuple[dict[str, Adapter], Tensor]:
        adapters: dict[str, Adapter] = {}
        size = 0
        for name in FUSED:
            first = self._groups[0][name]
            if first.adapted:
                linears = [groups[name].adapted for groups in self._groups]
                adapters[name] = Adapter(size, linears, first.adapted_rows, first.out)
                size = adapters[name].end
        flat = torch.zeros(size, dtype=torch.float32, device=self._embedding.device)
        for adapter in adapters.values():
            adapter.adopt(flat)
        return adapters, flat

    def summed_loss(self, layout: Layout, shape: Shape, switches: BodySwitches = ALL_ON) -> Tensor:
        """Cross-entropy of the supervised tokens, summed: a scalar in fp32, with dropout."""
        states = self.answer_states(layout, shape, switches, train=True)
        logits = functional.linear(states, self._head).float()
        losses = functional.cross_entropy(logits, layout.targets, reduction="none")
        return (losses * layout.weights).sum()

    def answer_states(
        self, layout: Layout, shape: Shape, switches: BodySwitches = ALL_ON, train: bool = False
    ) -> Tensor:
        """Last hidden states (S, width) at the supervised positions."""
        low = self.flat.to(self._embedding.dtype)
        joined = self.joins_adapters and switches.fused and not train
        adapters = {
            name: a.scaled(self.flat, low.dtype) if joined and name == "gate_up" else a.matrices(low, switches.fused)
            for name, a in self._adapters.items()
            if a.enabled
        }
        angles = self._angles(layout)
        x = functional.embedding(layout.ids, self._embedding)
        for number, (groups, norms) in enumerate(zip(self._groups, self._norms, strict=True)):
            own = {name: matrices[number] for name, matrices in adapters.items()}
            project = partial(self._project if switches.fused else self._project_apart, groups, own, train)
            turned = cast(Tensor, Rotate.apply(project("qkv", norms[0](x)), *angles, self._head_width // 2))
            mixed = self._attend(turned, layout, shape, switches.flash)
            if switches.last_layer and number == len(self._groups) - 1:
                mixed = cast(Tensor, Gather.apply(mixed, layout.answer_slot, layout.answer_in, None))
                x = cast(Tensor, Gather.apply(x, layout.answer, layout.answer_at, None))
            else:
                mixed = cast(Tensor, Gather.apply(mixed, layout.slot_of, layout.owner, None))
            x = x + project("o", mixed)
            if joined:
                gated = _gate_joined(groups["gate_up"], own.get("gate_up"), norms[1](x))
            else:
                gated = cast(Tensor, SwiGlu.apply(project("gate_up", norms[1](x))))
            x = x + project("down", gated)
        if not switches.last_layer:
            x = cast(Tensor, Gather.apply(x, layout.answer, layout.answer_at, None))
        return self._norm(x)

    def _project(
        self, groups: dict[str, Group], own: dict[str, tuple[Tensor, ...]], train: bool, name: str, x: Tensor
    ) -> Tensor:
        """(N, in) -> (N, out) of one group, adapters added: out += scale B A dropout(x), each part its own dropout."""
        group = groups[name]
        y = functional.linear(x, group.weight, group.bias)
        if name not in own:
            return y
        (a, b), adapter = own[name], self._adapters[name]
        parts, rank, _ = a.shape
        if not (adapter.dropout and train):
            low = functional.linear(x, a.reshape(parts * rank, -1))
        elif parts == 1:
            low = functional.linear(functional.dropout(x, adapter.dropout), a[0])
        else:
            dropped = functional.dropout(x.expand(parts, *x.shape), adapter.dropout)
            low = torch.bmm(dropped, a.transpose(1, 2)).transpose(0, 1).reshape(-1, parts * rank)
        return y.addmm_(low, b.t(), alpha=adapter.scale)

    def _project_apart(
        self, groups: dict[str, Group], own: dict[str, tuple[Tensor, ...]], train: bool, name: str, x: Tensor
    ) -> Tensor:
        """The same, each linear layer for itself."""
        group, adapter = groups[name], self._adapters.get(name)
        out = []
        for number, rows in enumerate(group.parts):
            y = group.part_of(number, x)
            if adapter is not None and name in own and rows in adapter.rows:
                a, *bs = own[name]
                place = adapter.rows.index(rows)
                low = functional.linear(functional.dropout(x, adapter.dropout, train), a[place])
                y = y + functional.linear(low, bs[place]) * adapter.scale
            out.append(y)
        return out[0] if len(out) == 1 else torch.cat(out, dim=-1)

    def _attend(self, qkv: Tensor, layout: Layout, shape: Shape, flash: bool) -> Tensor:
        """(T, q + k + v) -> (B W, heads x head width): causal attention in padded form; no mask, pads stand right."""
        flash = flash and self._has_flash
        slots = cast(Tensor, Gather.apply(qkv, layout.token_in, layout.slot_of, shape))
        split = slots.view(shape.rows, shape.width, -1, self._head_width).transpose(1, 2)
        q, k, v = split.split([self._heads, self._kv_heads, self._kv_heads], dim=1)
        if not flash:  # the others want a key and a value for each query head
            k, v = (t.repeat_interleave(self._heads // self._kv_heads, dim=1) for t in (k, v))
        with self._attention_kernel(flash):
            mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=flash)
        return mixed.transpose(1, 2).reshape(shape.slots, -1)

    def _attention_kernel(self, flash: bool) -> contextlib.AbstractContextManager[None]:
        """Which kernel a GPU takes; on a CPU torch chooses."""
        if not self._cuda:
            return contextlib.nullcontext()
        first = SDPBackend.FLASH_ATTENTION if flash else SDPBackend.EFFICIENT_ATTENTION
        kernels: contextlib.AbstractContextManager[None] = sdpa_kernel([first, SDPBackend.MATH])
        return kernels

    def _angles(self, layout: Layout) -> tuple[Tensor, Tensor]:
        """Cosine and signed sine (T, q + k + v) of every token, 1 and 0 where v stands."""
        if self._tables is None:
            self._tables = self._rotary_tables()
        return self._tables[0][layout.positions], self._tables[1][layout.positions]

    def _rotary_tables(self) -> tuple[Tensor, Tensor]:
        """(positions, q + k + v) as the model's own rotary embedding gives them, rounded as it rounds them."""
        longest = min(self.config.max_position_embeddings, 4096)
        places = torch.arange(longest, device=self._embedding.device)[None]
        cos, sin = (t[0] for t in self._rotary(self._embedding[:1], places))
        half = self._head_width // 2
        signed = torch.cat([-sin[:, :half], sin[:, half:]], dim=1)
        turned, still = self._heads + self._kv_heads, self._kv_heads * self._head_width
        ones, zeros = cos.new_ones(longest, still), cos.new_zeros(longest, still)
        return torch.cat([cos.repeat(1, turned), ones], 1), torch.cat([signed.repeat(1, turned), zeros], 1)


_BODIES: WeakKeyDictionary[nn.Module, FastBody] = WeakKeyDictionary()


def fast_body(model: nn.Module) -> FastBody:
    """The one body of this model, where `why_not` finds nothing against it: a second one would take its weights."""
    if model not in _BODIES:
        _BODIES[model] = FastBody(model)
    return _BODIES[model]


def _gate_joined(group: Group, own: tuple[Tensor, ...] | None, x: Tensor) -> Tensor:
    """silu(gate) * up, (N, in) -> (N, width), for scoring, without a gradient; `own` is A and scaled B.

    For many tokens a GPU spends its time on reading and writing the widest states, so the adapters become columns of a
    copy of the weights, and gate and up lie apart, each in one piece. For few the copy costs little, and one way for
    all sizes keeps an answer the same, to rounding, in any batch.
    """
    weight = group.weight
    if own is not None:
        a, b = own
        x = torch.cat([x, functional.linear(x, a.flatten(0, 1))], dim=1)
        weight = torch.cat([weight, b], dim=1)
    gate, up = (functional.linear(x, weight[rows]) for rows in group.parts)
    return functional.silu(gate, inplace=True).mul_(up)


class _RmsNorm:
    """Root-mean-square norm with a frozen weight."""

    def __init__(self, weight: Tensor, epsilon: float) -> None:
        self._weight, self._epsilon = weight, epsilon

    def __call__(self, x: Tensor) -> Tensor:
        return functional.rms_norm(x, self._weight.shape, self._weight, self._epsilon)


def _norm(module: nn.Module) -> _RmsNorm:
    norm = cast(Any, module)
    return _RmsNorm(norm.weight.data, norm.variance_epsilon)
