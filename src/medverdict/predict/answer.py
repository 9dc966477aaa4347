"""RUN + TEXTS -> ANSWERS: what a person or a program gets for a claim whose answer nobody knows yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy.typing as npt
from pydantic import ConfigDict

from medverdict.errors import DataError
from medverdict.evaluate.calibrate import judge
from medverdict.predict.load import LoadedRun
from medverdict.predict.score import score_margins
from medverdict.records import Calibration, Record, Verdict
from medverdict.text import normalise

_DECIMALS = 6
"""Of a probability that is handed out: beyond them stands only the rounding of the processor."""


class Answer(Record):
    """One claim and what the model says of it."""

    model_config = ConfigDict(use_attribute_docstrings=True)  # the HTTP API shows them

    claim: str
    """As it was judged: NFC, single spaces, trimmed."""
    verdict: Verdict
    """ABSTAIN only when asked for."""
    p_true: float
    """Calibrated probability of TRUE, 0 to 1."""


def answer(
    loaded: LoadedRun,
    claims: Sequence[str],
    abstain: bool = False,
    advance: Callable[[int], None] = lambda rows: None,
) -> list[Answer]:
    """Judge claims, one Answer each in their order.

    Raises DataError for a claim without text or too long for the run, naming which, and when abstention is asked
    for and the run has no point for it.
    """
    judge([], loaded.run.calibration, abstain)  # refuses abstention before any work is spent
    texts = []
    for number, claim in enumerate(claims, start=1):
        try:
            texts.append(checked(loaded, claim))
        except DataError as error:
            raise DataError(f"claim {number}: {error}") from None
    return from_margins(texts, score_margins(loaded.verifier, texts, advance), loaded.run.calibration, abstain)


def checked(loaded: LoadedRun, claim: object) -> str:
    """The claim as the model will read it. Raises DataError when it cannot be judged."""
    text = cleaned(claim)
    loaded.verifier.encoder.prompt_ids(text)  # refuses what is too long for the run
    return text


def cleaned(claim: object) -> str:
    """The claim as the model will read it, however long. Raises DataError when it holds no text."""
    if not isinstance(claim, str):
        raise DataError(f"is {claim!r}; expected text.")
    try:
        claim.encode("utf-8")
    except UnicodeEncodeError:
        raise DataError("holds half a character (a lone surrogate such as \\ud800); write the character out.") from None
    text = normalise(claim)
    if not text:
        raise DataError("holds no text; expected a statement to judge.")
    return text


def from_margins(
    texts: Sequence[str], margins: npt.ArrayLike, calibration: Calibration, abstain: bool = False
) -> list[Answer]:
    """Answers out of raw margins (rows,). Raises DataError when one is not finite, or the run cannot abstain."""
    p_true, verdicts = judge(margins, calibration, abstain)
    judged = zip(texts, p_true, verdicts, strict=True)
    return [Answer(claim=text, verdict=verdict, p_true=round(p, _DECIMALS)) for text, p, verdict in judged]
