"""Operations of the fast body whose gradients are written by hand."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from medverdict.model.fast_layout import Shape


class Gather(torch.autograd.Function):
    """x[index] whose gradient is a gather too, through the inverse index: deterministic, and without atomics.

    With a shape, the first P tokens stand in every row, and their gradients are summed over the rows.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, index: Tensor, inverse: Tensor, shape: Shape | None) -> Tensor:
        """(N, C) -> (M, C)."""
        ctx.save_for_backward(inverse)
        ctx.shape = shape
        return x.index_select(0, index)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """(M, C) -> (N, C)."""
        (inverse,) = ctx.saved_tensors
        back = grad.index_select(0, inverse)
        shape: Shape | None = ctx.shape
        if shape is not None and shape.prefix and shape.rows > 1:
            back[: shape.prefix] = grad.view(shape.rows, shape.width, -1)[:, : shape.prefix].sum(0)
        return back, None, None, None


class SwiGlu(torch.autograd.Function):
    """silu(gate) * up of (N, 2 width), gate first; the gradient is written into one tensor, not joined from two."""

    @staticmethod
    def forward(ctx: Any, gate_up: Tensor) -> Tensor:
        """(N, 2 width) -> (N, width)."""
        ctx.save_for_backward(gate_up)
        gate, up = gate_up.chunk(2, dim=-1)
        return functional.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        """(N, width) -> (N, 2 width)."""
        (gate_up,) = ctx.saved_tensors
        gate, up = gate_up.chunk(2, dim=-1)
        out = torch.empty_like(gate_up)
        to_gate, to_up = out.chunk(2, dim=-1)
        torch.mul(functional.silu(gate), grad, out=to_up)
        torch.ops.aten.silu_backward.grad_input(grad * up, gate, grad_input=to_gate)
        return out


class Rotate(torch.autograd.Function):
    """x cos + turn(x) sin with halves of each head changing places; its gradient turns back by the negative sine."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor, half: int) -> Tensor:
        """(T, C), (T, C), (T, C) -> (T, C)."""
        ctx.save_for_backward(cos, sin)
        ctx.half = half
        return torch.addcmul(x * cos, _turn(x, half), sin)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """(T, C) -> (T, C)."""
        cos, sin = ctx.saved_tensors
        return torch.addcmul(grad * cos, _turn(grad, ctx.half), sin, value=-1), None, None, None


def _turn(x: Tensor, half: int) -> Tensor:
    """Swap the halves of every head."""
    return x.view(x.shape[0], -1, 2, half).flip(2).view_as(x)
