"""RUN + CLAIMS -> PREDICTIONS, by one forward pass a batch and no generation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from medverdict.evaluate.calibrate import judge
from medverdict.model.verifier import Verifier
from medverdict.records import Calibration, Claim, Prediction

TOKENS_A_BATCH = {"cpu": 1024, "cuda": 32768}


def score_margins(
    verifier: Verifier, claims: Sequence[str], advance: Callable[[int], None] = lambda rows: None
) -> np.ndarray:
    """Margins (n,) in float64, in the order of the claims.

    Rows are sorted by length so that a batch holds little padding; the answer of a row does not depend on its
    neighbours, beyond rounding. `advance` is told after each batch how many rows were scored.
    """
    verifier.model.eval()
    prompts = [verifier.encoder.prompt_ids(claim) for claim in claims]
    margins = np.zeros(len(prompts))
    for batch in length_batches([len(p) for p in prompts], TOKENS_A_BATCH[verifier.placement.device.type]):
        margins[batch] = verifier.margins([prompts[i] for i in batch]).double().numpy()
        advance(len(batch))
    return margins


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
