"""CLAIMS -> the same claims in other words: synonyms are exchanged, labels stay."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from functools import cache
from importlib import resources

from medverdict import text
from medverdict.records import Claim

_TRIES = 20  # chance gives a wording again, or the sentence as it was: half of the time where one word is known


def augmented(claims: Sequence[Claim], variants: int, seed: int) -> tuple[Claim, ...]:
    """Up to `variants` further wordings of each claim that holds a word of synonyms.txt, none twice.

    A wording keeps label, pair, group (the claim's own id where it has none), source and topic; its id is the claim's
    with `+1`, `+2`, …
    """
    said = {text.fold(claim.text) for claim in claims}
    made = []
    for claim in claims:
        order = random.Random(f"{seed} {claim.id}")
        for number, wording in enumerate(_wordings(claim.text, variants, order), start=1):
            if text.fold(wording) not in said:
                said.add(text.fold(wording))
                new = {"id": f"{claim.id}+{number}", "text": wording, "group": claim.group or claim.id}
                made.append(claim.model_copy(update=new))
    return tuple(made)


def _wordings(sentence: str, wanted: int, order: random.Random) -> list[str]:
    """Different wordings: each known word is, by chance, exchanged for one of its family."""
    found: list[str] = []
    for _ in range(_TRIES * wanted):
        if len(found) == wanted:
            break
        wording = _known_words().sub(lambda match: _exchanged(match[0], order), sentence)
        if wording != sentence and wording not in found:
            found.append(wording)
    return found


def _exchanged(word: str, order: random.Random) -> str:
    family = _families()[word.lower()]
    other = order.choice([word, *family])
    return other[0].upper() + other[1:] if word[0].isupper() else other


@cache
def _families() -> dict[str, tuple[str, ...]]:
    """Each word with the others of its families."""
    lines = resources.files(__package__).joinpath("synonyms.txt").read_text(encoding="utf-8").splitlines()
    families: dict[str, tuple[str, ...]] = {}
    for line in lines:
        words = [text.normalise(word) for word in line.split("=")] if line and not line.startswith("#") else []
        for word in words:
            families[word] = families.get(word, ()) + tuple(other for other in words if other != word)
    return families


@cache
def _known_words() -> re.Pattern[str]:
    longest_first = sorted(_families(), key=len, reverse=True)
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)", re.IGNORECASE)
