"""The whole job of `verify`: a few claims, judged by a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from medverdict.model.precision import choose_placement
from medverdict.predict.answer import Answer, answer
from medverdict.predict.load import load_run
from medverdict.predict.shipped import shipped_run


def verify(claims: Sequence[str], run: Path | None = None, abstain: bool = False) -> list[Answer]:
    """Judge claims with the run in a folder, by default the shipped one.

    Raises RunError or GateError when the run cannot be used, DataError when a claim cannot be judged.
    """
    return answer(load_run(run or shipped_run(), choose_placement()), claims, abstain)
