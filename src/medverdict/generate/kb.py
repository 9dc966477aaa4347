"""KNOWLEDGE BASE -> balanced TRUE/FALSE CLAIMS, plain ones first, styled variants up to the number asked for."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from medverdict import text
from medverdict.errors import DataError
from medverdict.generate.falsify import Pair, false_twins
from medverdict.generate.records import Fact
from medverdict.generate.templates import MOST, PLAIN, STYLED, tell
from medverdict.records import Claim, Label

PUBLISHED_ROWS = 154_477
"""Rows of the set that the published v4 and v5 were trained on (its repository says so; measured by nobody)."""


class Telling(NamedTuple):
    """One pair of facts in one sentence."""

    pair: Pair
    """A true fact and its false twin."""
    template: str
    """Of `templates`; both are told in it."""
    style: str
    """`plain` or `styled`."""
    name: str
    """Names the two claims as twins."""


def claims_of(facts: Sequence[Fact], rows: int, seed: int) -> tuple[Claim, ...]:
    """Exactly `rows` claims, as many TRUE as FALSE (one TRUE more where the number is odd), in seeded order.

    Every true fact is told with its false twin in the same sentence (`pair`), so that neither sentence, disease nor
    entity goes with a label. First each pair is told plainly, then in further sentences, none twice. `group` is the
    (disease, relation, entity) that the claim states, `topic` its relation, `source` the knowledge file, relation and
    style, so that a split keeps all three in proportion.

    Raises DataError when the facts do not give so many rows.
    """
    if rows < 2:
        raise DataError(f"{rows} rows were asked for; expected at least 2, one of each label.")
    pairs = false_twins(facts, seed)
    needed = -(-rows // 2)
    tellings = _tellings(pairs, needed, random.Random(f"{seed} tellings"))
    if len(tellings) < needed:
        raise DataError(
            f"{rows:,} rows were asked for, but {len(pairs):,} facts with a false twin give {2 * len(tellings):,}. "
            "Ask for fewer (--rows), or bring more knowledge."
        )
    told = [row for telling in tellings for row in _both(telling)]
    told = told[:rows]  # with an odd number the last pair is left with its TRUE half
    random.Random(f"{seed} order").shuffle(told)
    return tuple(claim.model_copy(update={"id": f"kb-{n:06d}"}) for n, claim in enumerate(told, start=1))


def _tellings(pairs: Sequence[Pair], needed: int, order: random.Random) -> list[Telling]:
    """Pairs with their sentences, round by round, until there are enough; the last round is a random part."""
    sentences = [_sentences(pair[0], order) for pair in pairs]
    told: list[Telling] = []
    texts: set[str] = set()
    for turn in range(MOST):
        rows = list(range(len(pairs)))
        order.shuffle(rows)
        for row in rows:
            template, style = sentences[row][turn]
            said = {text.fold(tell(fact, template)) for fact in pairs[row]}
            # That A comes from B can be a symptom of B and a cause of A: what was said once is not said again.
            if len(told) < needed and not said & texts:
                texts |= said
                told.append(Telling(pairs[row], template, style, f"{row}-{turn}"))
    return told


def _sentences(fact: Fact, order: random.Random) -> list[tuple[str, str]]:
    """All sentences for this fact: one plain, all styled, the other plain ones; each part in random order."""
    plain, styled = list(PLAIN[fact.relation]), list(STYLED[fact.relation])
    order.shuffle(plain)
    order.shuffle(styled)
    first, *others = [(template, "plain") for template in plain]
    return [first, *((template, "styled") for template in styled), *others]


def _both(telling: Telling) -> Iterator[Claim]:
    labels: tuple[Label, Label] = ("TRUE", "FALSE")
    for fact, label in zip(telling.pair, labels, strict=True):
        yield Claim(
            id="",
            text=tell(fact, telling.template),
            label=label,
            group=fact.triple(),
            pair=telling.name,
            source=f"{fact.source}/{fact.relation}/{telling.style}",
            topic=fact.relation,
        )
