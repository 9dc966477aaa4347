"""SENTENCES with their false twins -> CLAIMS: what ICD-10 and question-answer pairs have in common."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

from medverdict import text
from medverdict.records import Claim, Label


class Twins(NamedTuple):
    """A true sentence and one that differs in one place and is false."""

    true: str
    """The sentence."""
    false: str
    """Its twin."""
    group: str
    """What it is about: all that is said of it stays on one side of a split."""
    source: str
    """As in Claim."""
    topic: str
    """As in Claim."""


def claims_of_twins(twins: Sequence[Twins], prefix: str, rows: int | None, seed: int) -> tuple[Claim, ...]:
    """Two claims for each pair, in seeded order, no text twice; at most `rows`, a random part where there are more."""
    order = random.Random(f"{seed} {prefix}")
    chosen = list(twins)
    order.shuffle(chosen)
    said: set[str] = set()
    claims: list[Claim] = []
    labels: tuple[Label, Label] = ("TRUE", "FALSE")
    for number, pair in enumerate(chosen):
        keys = {text.fold(pair.true), text.fold(pair.false)}
        if len(keys) < 2 or keys & said:
            continue
        said |= keys
        for sentence, label in zip((pair.true, pair.false), labels, strict=True):
            fields = {"group": pair.group, "pair": str(number), "source": pair.source, "topic": pair.topic}
            claims.append(Claim(id="", text=sentence, label=label, **fields))
    claims = claims[:rows]
    order.shuffle(claims)
    return tuple(claim.model_copy(update={"id": f"{prefix}-{n:06d}"}) for n, claim in enumerate(claims, start=1))
