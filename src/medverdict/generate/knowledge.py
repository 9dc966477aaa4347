"""FACTS of several files -> one knowledge base: one name a disease, each fact once, nothing that says too little."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from medverdict import text
from medverdict.generate.phrases import disease_key
from medverdict.generate.records import Fact, Knowledge
from medverdict.records import Dropped

COMMON = 30
"""Diseases above which an entity is everybody's (fatigue, surgery): of a further disease it would often be true."""
FEW = 3
"""A disease of which less than this is known is too thin to say what is not true of it."""

_MADE = "(knowledge base)"  # stands for a file where a row was left out after files were joined


def join_knowledge(parts: Iterable[Knowledge]) -> Knowledge:
    """One knowledge base: names unified, repeats merged, entities of over COMMON diseases and diseases of fewer than
    FEW facts left out.
    """
    parts = list(parts)
    facts, dropped = _merge([fact for part in parts for fact in part.facts])
    dropped = [*(row for part in parts for row in part.dropped), *dropped]
    spread = Counter(fact.key()[1:] for fact in facts)
    facts, common = _keep(
        facts, [spread[fact.key()[1:]] <= COMMON for fact in facts], f"said of over {COMMON} diseases"
    )
    known = Counter(fact.key()[0] for fact in facts)
    facts, thin = _keep(
        facts, [known[fact.key()[0]] >= FEW for fact in facts], f"fewer than {FEW} facts of its disease"
    )
    return Knowledge(tuple(facts), (*dropped, *common, *thin))


def _merge(facts: Iterable[Fact]) -> tuple[list[Fact], list[Dropped]]:
    """Each fact once, under the first spelling of its disease and of its entity."""
    names: dict[str, str] = {}
    spellings: dict[str, str] = {}
    kept: dict[tuple[str, str, str], Fact] = {}
    repeated = []
    for fact in facts:
        if fact.key() in kept:
            repeated.append(_left_out(fact, "the same fact again"))
            continue
        first = {
            "disease": names.setdefault(disease_key(fact.disease), fact.disease),
            "entity": spellings.setdefault(text.fold(fact.entity), fact.entity),
        }
        kept[fact.key()] = fact.model_copy(update=first)
    return list(kept.values()), repeated


def _keep(facts: list[Fact], wanted: list[bool], reason: str) -> tuple[list[Fact], list[Dropped]]:
    kept = [fact for fact, want in zip(facts, wanted, strict=True) if want]
    return kept, [_left_out(fact, reason) for fact, want in zip(facts, wanted, strict=True) if not want]


def _left_out(fact: Fact, reason: str) -> Dropped:
    return Dropped(file=f"{_MADE} {fact.source}", line=0, reason=reason, text=fact.triple())
