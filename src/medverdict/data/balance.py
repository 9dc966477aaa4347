"""CLAIMS -> the surplus that must go until labels, or cue words, stand evenly."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence

from medverdict.records import Claim

CuesIn = Callable[[str], Sequence[str]]
"""The cue words in a text; which words those are is not this room's to say."""


def surplus_labels(claims: Sequence[Claim], seed: int) -> dict[str, str]:
    """Ids of claims to leave out, chosen at random, until as many are TRUE as FALSE; each with the reason."""
    return _surplus(claims, lambda claim: "", "label balance", seed)


def surplus_cues(claims: Sequence[Claim], cues_in: CuesIn, seed: int) -> dict[str, str]:
    """Ids of claims to leave out until each cue word, and none, stands in as many TRUE as FALSE claims.

    A claim with several cues counts under its first. What is left gives a keyword rule nothing to hold on to.
    """
    return _surplus(claims, lambda claim: next(iter(cues_in(claim.text)), ""), "cue balance", seed)


def _surplus(claims: Sequence[Claim], stratum: Callable[[Claim], Hashable], reason: str, seed: int) -> dict[str, str]:
    """In each stratum the larger label loses rows; those without a twin go first, for a twin alone teaches less."""
    strata: dict[Hashable, dict[str, list[Claim]]] = defaultdict(lambda: {"TRUE": [], "FALSE": []})
    for claim in claims:
        strata[stratum(claim)][claim.label].append(claim)
    order = random.Random(seed)
    gone: dict[str, str] = {}
    for name, held in strata.items():
        few, many = sorted(held.values(), key=len)
        order.shuffle(many)
        many.sort(key=lambda claim: bool(claim.pair))
        told = f"{reason}: {name}" if name else reason
        gone |= {claim.id: told for claim in many[: len(many) - len(few)]}
    return gone
