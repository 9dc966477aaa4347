"""How the rows of a step lie in memory for the fast engine: each token once, shapes from a short list."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor

from medverdict.model.prompt import Example

TOKEN_STEP = 64
"""Token counts are rounded up to a multiple of this, so that few shapes, and so few CUDA graphs, occur."""
WIDTH_STEP = 16
"""The same for the slots of a row in attention; multiples of 8 keep its kernels aligned."""
ANSWER_STEP = 8
"""The same for supervised positions."""


@dataclass(frozen=True)
class Shape:
    """All sizes of a layout: steps of equal shape run the same kernels."""

    tokens: int
    """T, fill included; the last one is always fill."""
    rows: int
    """B."""
    width: int
    """W, slots of a row in attention: prefix, own tokens and at least one empty slot."""
    answers: int
    """S, supervised positions; the last one is always fill."""
    prefix: int
    """P, first tokens that all rows share and that are computed once."""

    @property
    def slots(self) -> int:
        """Places in attention's padded form, row after row."""
        return self.rows * self.width


@dataclass(frozen=True)
class Layout:
    """Index vectors (int64) and weights (fp32) of one forward pass.

    Linear layers see T tokens; attention sees (B, W) slots. A token of the prefix stands in the slots of every
    row. Fill tokens are read by empty slots alone and empty slots by nothing, so their gradients are exactly zero;
    wherever an inverse index needs a zero it names one of them.
    """

    ids: Tensor
    """(T,) token ids."""
    positions: Tensor
    """(T,) positions for the rotary embedding."""
    slot_of: Tensor
    """(T,) a slot that holds this token; an empty one for fill."""
    token_in: Tensor
    """(B W,) the token in each slot; fill in empty ones."""
    owner: Tensor
    """(B W,) the token whose `slot_of` is this slot; fill where there is none."""
    answer: Tensor
    """(S,) the tokens at which an answer is predicted; fill at the end."""
    answer_at: Tensor
    """(T,) the place of each token in `answer`; S - 1 where it is not in it."""
    answer_slot: Tensor
    """(S,) `slot_of` of those tokens."""
    answer_in: Tensor
    """(B W,) the place of each slot in `answer_slot`; S - 1 where it is not in it."""
    targets: Tensor
    """(S,) token ids to be predicted."""
    weights: Tensor
    """(S,) 1 for real answers, 0 for fill."""

    @staticmethod
    def of(shape: Shape, numbers: Tensor) -> Layout:
        """Views into one vector on the device, so that a step needs one copy to it."""
        t, s, n = shape.tokens, shape.answers, shape.slots
        *places, weights = numbers.split([t, t, t, n, n, s, t, s, n, s, s])
        fields: Any = (*places, weights.to(torch.float32))
        return Layout(*fields)


def common_prefix(examples: Sequence[Example]) -> int:
    """How many first tokens all rows share; answers and the token before them never count."""
    shortest = min(len(example.ids) - 1 - example.answer_length for example in examples)
    every = [example.ids for example in examples]
    ends = zip(min(every), max(every), strict=False)  # all others lie between the two, and so begin as both begin
    common = next((place for place, (low, high) in enumerate(ends) if low != high), shortest)
    return max(0, min(shortest, common))


def shape_of(examples: Sequence[Example], prefix: int, pack: bool) -> Shape:
    """Sizes of the layout that holds these rows; without `pack` every row is as wide as the longest."""
    lengths = [len(example.ids) - 1 for example in examples]
    width = _round_up(max(lengths) + 1, WIDTH_STEP)
    own = sum(lengths) - prefix * len(examples) + 1 if pack else (width - prefix) * len(examples)
    answers = _round_up(sum(example.answer_length for example in examples) + 1, ANSWER_STEP)
    tokens = prefix + own
    return Shape(_round_up(tokens, TOKEN_STEP) if pack else tokens, len(examples), width, answers, prefix)


def lay_out(examples: Sequence[Example], shape: Shape, pack: bool) -> np.ndarray:
    """The vector that `Layout.of` cuts into its fields, int64.

    Rows are laid out all at once, not one by one: a batch to be scored has over a thousand, and the device would wait.
    """
    fill, prefix, width = shape.tokens - 1, shape.prefix, shape.width
    own = np.array([len(example.ids) - 1 - prefix for example in examples])
    starts = prefix + (own.cumsum() - own if pack else np.arange(shape.rows) * (width - prefix))
    place = prefix + _counted(own)  # of each token in its row, as the prefix has places 0 to P - 1
    token = np.repeat(starts, own) + place - prefix
    slot = np.repeat(np.arange(shape.rows) * width, own) + place

    ids = np.zeros(shape.tokens, np.int64)
    positions = np.zeros(shape.tokens, np.int64)
    slot_of = np.full(shape.tokens, width - 1, np.int64)
    token_in = np.full((shape.rows, width), fill, np.int64)
    ids[:prefix] = examples[0].ids[:prefix]
    positions[:prefix] = slot_of[:prefix] = np.arange(prefix)
    ids[token] = _joined(example.ids[prefix:-1] for example in examples)
    positions[token], slot_of[token], token_in.ravel()[slot] = place, slot, token
    owner = token_in.copy()  # the prefix stands in every row, and `slot_of` names the first
    token_in[:, :prefix] = owner[0, :prefix] = np.arange(prefix)

    counts = np.array([example.answer_length for example in examples])
    done = counts.sum()
    answer, targets = np.full(shape.answers, fill, np.int64), np.zeros(shape.answers, np.int64)
    answer[:done] = np.repeat(starts + own - counts, counts) + _counted(counts)
    targets[:done] = _joined(example.ids[-example.answer_length :] for example in examples)
    weights = np.zeros(shape.answers, np.int64)
    weights[:done] = 1
    answer_slot = slot_of[answer]
    answer_at = np.full(shape.tokens, shape.answers - 1, np.int64)
    answer_in = np.full(shape.slots, shape.answers - 1, np.int64)
    answer_at[answer[:done]] = answer_in[answer_slot[:done]] = np.arange(done)
    parts = (ids, positions, slot_of, token_in.ravel(), owner.ravel(), answer, answer_at, answer_slot, answer_in)
    return np.concatenate([*parts, targets, weights])


def _counted(lengths: np.ndarray) -> np.ndarray:
    """0, 1, ... for each length anew: of (2, 3) it is (0, 1, 0, 1, 2)."""
    counted: np.ndarray = np.arange(lengths.sum()) - np.repeat(lengths.cumsum() - lengths, lengths)
    return counted


def _joined(rows: Iterable[Sequence[int]]) -> np.ndarray:
    """Token ids of some rows, one after the other."""
    return np.fromiter(chain.from_iterable(rows), np.int64)


def _round_up(number: int, step: int) -> int:
    return -(-number // step) * step
