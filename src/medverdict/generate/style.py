"""GENERATED CLAIMS -> the same claims in other words: each told again in sentences that it was not told in."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import get_args

from medverdict import text
from medverdict.errors import DataError
from medverdict.generate.records import SEPARATOR, Fact, Relation
from medverdict.generate.templates import STYLED, tell
from medverdict.records import Claim


def styled(claims: Sequence[Claim], variants: int, seed: int) -> tuple[Claim, ...]:
    """Up to `variants` further tellings of every claim whose group is a (disease, relation, entity).

    Twins (`pair`) are told in the same sentences, so that style never goes with a label. Nothing is said twice, and
    group, label and topic stay. Raises DataError for a claim whose group is no triple.
    """
    said = {text.fold(claim.text) for claim in claims}
    told = []
    for claim in claims:
        fact = _fact_of(claim)
        # Seeded by the pair, so that both twins draw the same sentences in the same order.
        order = random.Random(f"{seed} {claim.pair or claim.id}")
        for number, template in enumerate(order.sample(STYLED[fact.relation], len(STYLED[fact.relation]))[:variants]):
            sentence = tell(fact, template)
            if text.fold(sentence) in said:
                continue
            said.add(text.fold(sentence))
            told.append(_again(claim, sentence, number))
    return tuple(told)


def _again(claim: Claim, sentence: str, number: int) -> Claim:
    return claim.model_copy(
        update={
            "id": f"{claim.id}-s{number}",
            "text": sentence,
            "pair": claim.pair and f"{claim.pair}-s{number}",
            "source": f"{claim.source.removesuffix('/plain').removesuffix('/styled')}/styled",
        }
    )


def _fact_of(claim: Claim) -> Fact:
    disease, _, rest = claim.group.partition(SEPARATOR)
    relation, _, entity = rest.partition(SEPARATOR)
    if relation not in get_args(Relation) or not disease or not entity:
        raise DataError(
            f"claim {claim.id}: its group is {claim.group[:60]!r}; expected 'disease{SEPARATOR}relation{SEPARATOR}"
            "entity', as `medverdict generate kb` writes it (a prepared split has other groups)."
        )
    return Fact(disease=disease, relation=relation, entity=entity, source=claim.source)  # type: ignore[arg-type]
