"""RUN + CLAIMS -> PREDICTIONS, by one forward pass a batch and no generation."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from medverdict.evaluate.calibrate import judge
from medverdict.model.fast_body import fast_body, why_not
from medverdict.model.fast_layout import Layout, common_prefix, lay_out, shape_of
from medverdict.model.prompt import Encoder, Example
from medverdict.model.verifier import Verifier
from medverdict.records import Calibration, Claim, Prediction

TOKENS_A_BATCH = {"cpu": 1024, "cuda": 65536}
"""On an H200 this many were scored a seventh faster than half of them, and about as fast as twice as many."""
CLAIMS_A_SLICE = 4096
"""Tokenised at a time, so that the device need not wait for the tokens of all."""

Advance = Callable[[int], None]
"""Told after each batch how many rows were scored."""


def score_margins(verifier: Verifier, claims: Sequence[str], advance: Advance = lambda rows: None) -> np.ndarray:
    """Margins (n,) in float64, in the order of the claims; those of `plain_margins` to rounding.

    Rows are sorted by length, slice by slice; the prompt's constant start is computed once a batch, no padding
    reaches a linear layer, and the last layer goes on at one position a row. The answer of a row does not depend on
    its neighbours, beyond rounding. Weights are the model's of this moment. A model that the fast body does not know
    is scored by `plain_margins`. Raises DataError for a claim that is too long, when its slice is reached.
    """
    if why_not_fast(verifier):
        return plain_margins(verifier, claims, advance)
    margins = np.zeros(len(claims))
    for batch, found in fast_batches(verifier, tokenised(verifier.encoder, claims)):
        margins[batch] = found.numpy()
        advance(len(batch))
    return margins


def why_not_fast(verifier: Verifier) -> str | None:
    """Why this verifier is scored by `plain_margins`, in words, or None where it need not be."""
    if verifier.recipe.method == "full":
        return "all its weights are trained, and the fast body holds them frozen"
    return why_not(verifier.model)


def plain_margins(verifier: Verifier, claims: Sequence[str], advance: Advance = lambda rows: None) -> np.ndarray:
    """The readable twin of `score_margins`, for any model: padded batches through the model's own forward pass."""
    verifier.model.eval()
    prompts = verifier.encoder.prompts_ids(claims)
    margins = np.zeros(len(prompts))
    for batch in length_batches([len(p) for p in prompts], TOKENS_A_BATCH[verifier.placement.device.type]):
        margins[batch] = verifier.margins([prompts[i] for i in batch]).double().numpy()
        advance(len(batch))
    return margins


def tokenised(encoder: Encoder, claims: Sequence[str]) -> Iterator[tuple[int, list[Example]]]:
    """The number of a slice's first claim and its rows, while a thread makes the tokens of the slice behind it.

    Rows end with one token whose place stands for the answer's.
    """

    def rows_from(first: int) -> list[Example]:
        return [Example((*prompt, 0), 1) for prompt in encoder.prompts_ids(claims[first : first + CLAIMS_A_SLICE])]

    with ThreadPoolExecutor(1) as thread:
        waiting: deque[tuple[int, Future[list[Example]]]] = deque()
        for first in range(0, len(claims), CLAIMS_A_SLICE):
            waiting.append((first, thread.submit(rows_from, first)))
            if len(waiting) > 1:
                earlier, rows = waiting.popleft()
                yield earlier, rows.result()
        for first, rows in waiting:
            yield first, rows.result()


@torch.no_grad()
def fast_batches(
    verifier: Verifier, slices: Iterable[tuple[int, Sequence[Example]]]
) -> Iterator[tuple[list[int], Tensor]]:
    """Row numbers of a batch and their margins (fp32, CPU); while the device works on one, the next is laid out."""
    waiting: deque[tuple[list[int], _Margins]] = deque()
    for first, rows in slices:
        prefix = common_prefix(rows)
        lengths = [len(row.ids) - 1 for row in rows]
        for batch in length_batches(lengths, TOKENS_A_BATCH[verifier.placement.device.type]):
            margins = _Margins(_fast_margins(verifier, [rows[i] for i in batch], prefix))
            waiting.append(([first + i for i in batch], margins))
            if len(waiting) > 1:
                numbers, earlier = waiting.popleft()
                yield numbers, earlier.arrived()
    for numbers, margins in waiting:
        yield numbers, margins.arrived()


def _fast_margins(verifier: Verifier, rows: Sequence[Example], prefix: int) -> Tensor:
    """Margins (rows,) in fp32, on the device, which may still be busy with them."""
    body, device = fast_body(verifier.model), verifier.placement.device
    shape = shape_of(rows, prefix, pack=True)
    numbers = torch.from_numpy(lay_out(rows, shape, pack=True))
    if device.type == "cuda":  # from pageable memory the copy would wait for the batch before
        numbers = numbers.pin_memory().to(device, non_blocking=True)
    states = body.answer_states(Layout.of(shape, numbers), shape)[: len(rows)]
    return states.float() @ verifier.label_direction()


class _Margins:
    """On their way from the device."""

    def __init__(self, margins: Tensor) -> None:
        self._margins, self._event = margins, None
        if margins.is_cuda:
            self._margins = torch.empty(margins.shape, dtype=margins.dtype, pin_memory=True)
            self._margins.copy_(margins, non_blocking=True)
            self._event = torch.cuda.Event()
            self._event.record()

    def arrived(self) -> Tensor:
        """Wait for them: (rows,) on the CPU."""
        if self._event is not None:
            self._event.synchronize()
        return self._margins


def length_batches(lengths: Sequence[int], tokens: int) -> list[list[int]]:
    """Row numbers in batches of at most `tokens` padded tokens (one row at least), the longest rows first.

    Longest first, so that a device too small for the work says so at once.
    """
    batches: list[list[int]] = []
    for row in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if batches and lengths[batches[-1][0]] * (len(batches[-1]) + 1) <= tokens:
            batches[-1].append(row)
        else:
            batches.append([row])
    return batches


def predictions(claims: Sequence[Claim], margins: np.ndarray, calibration: Calibration, run: str) -> list[Prediction]:
    """Put margins and what was fitted on dev together into one record a claim."""
    p_true, verdicts = judge(margins, calibration)
    judged = zip(claims, margins, p_true, verdicts, strict=True)
    return [Prediction.of(claim, float(margin), float(p), verdict, run) for claim, margin, p, verdict in judged]
