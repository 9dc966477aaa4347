"""FACTS -> their false twins: the same disease with an entity of another, so that no word alone tells the label.

Inside a relation the entities are dealt anew: the false claims use exactly the diseases and entities of the true ones,
each as often. What a claim-only model can learn from a name or an entity is therefore nothing; only whether the two
belong together decides.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from medverdict import text
from medverdict.generate.deal import Statement, exchange
from medverdict.generate.phrases import disease_key
from medverdict.generate.records import Fact

KIN = 0.5
"""Share of common words (Jaccard) above which two names are of related diseases, of which the same may be true."""
ALIKE = 0.6
"""Share of common words (of the shorter) from which two entities say nearly the same."""
AKIN = 0.1
"""Cosine from which two diseases are related by what is known of them: TF-IDF of pairs of syllables, so that `ho` alone
binds nothing. Chosen by reading: at .1 the nearest neighbours are of the same organ."""
TELLING = 0.15
"""Share of the diseases up to which a word tells something about one of them."""
Pair = tuple[Fact, Fact]
Words = frozenset[str]


def false_twins(facts: Sequence[Fact], seed: int) -> list[Pair]:
    """Pairs (true fact, false twin) in the order of `facts`; a fact for which no entity was found has none.

    Not used for a disease is an entity that is known to be true of it or of a related one (a name inside the other,
    more than KIN of the words in common, or AKIN in what is known), or that shares ALIKE of its words with such an
    entity; nor an entity without a TELLING word, such as tiredness and headache, which may be true of any.
    """
    truth = _Truth(facts)
    told = [fact for fact in facts if truth.tells(fact.entity)]
    statements = [Statement(f.disease, f.relation, f.entity, "", 0) for f in told]
    values = exchange(statements, seed, lambda statement, entity: truth.denies(statement.subject, entity))
    taken: set[tuple[str, str, str]] = set()
    pairs = []
    for fact, entity in zip(told, values, strict=True):
        twin = fact.model_copy(update={"entity": entity or ""})
        if entity and twin.key() not in taken:
            taken.add(twin.key())
            pairs.append((fact, twin))
    return pairs


class _Truth:
    """What is known to be true, of a disease and of its kin."""

    def __init__(self, facts: Sequence[Fact]) -> None:
        held: dict[str, set[Words]] = defaultdict(set)
        for fact in facts:
            held[disease_key(fact.disease)].add(_words(fact.entity))
        kin = _kin(facts)
        self._of = {name: frozenset().union(*(held[other] for other in kin[name])) for name in held}
        self._known: dict[tuple[str, str], bool] = {}
        spread = Counter(word for said in held.values() for word in frozenset().union(*said))
        self._common = {word for word, diseases in spread.items() if diseases > max(1, TELLING * len(held))}

    def tells(self, entity: str) -> bool:
        """Whether a word of it is said of few diseases."""
        return bool(_words(entity) - self._common)

    def denies(self, disease: str, entity: str) -> bool:
        """Whether nothing speaks for this entity being true of this disease."""
        place = disease_key(disease), text.fold(entity)
        if place not in self._known:
            words = _words(entity)
            near = any(len(words & true) >= ALIKE * min(len(words), len(true)) for true in self._of[place[0]])
            self._known[place] = near or f" {place[0]} " in f" {place[1]} "
        return not self._known[place]


def _words(phrase: str) -> Words:
    return frozenset(text.fold(phrase).split())


def _kin(facts: Sequence[Fact]) -> dict[str, set[str]]:
    """Each disease with those that are related to it, itself among them."""
    said: dict[str, list[str]] = defaultdict(list)
    for fact in facts:
        said[disease_key(fact.disease)].append(text.fold(fact.entity))
    names = list(said)
    words = [frozenset(name.split()) for name in names]
    alike = _profiles([" ".join(phrases) for phrases in said.values()]) >= AKIN
    kin = {name: {name, *(names[other] for other in np.flatnonzero(alike[row]))} for row, name in enumerate(names)}
    for row, name in enumerate(names):
        for other in range(row):
            common = len(words[row] & words[other])
            inside = common and common == min(len(words[row]), len(words[other]))
            if inside or common > KIN * len(words[row] | words[other]):
                kin[name].add(names[other])
                kin[names[other]].add(name)
    return kin


def _profiles(documents: Sequence[str]) -> np.ndarray:
    """Cosines between what is known of diseases; zeros where nobody says two words in a row."""
    if not any(" " in document for document in documents):
        return np.zeros((len(documents), len(documents)))
    vectorizer = TfidfVectorizer(token_pattern=r"\S+", ngram_range=(2, 2), sublinear_tf=True)
    rows = vectorizer.fit_transform(documents)
    cosines: np.ndarray = (rows @ rows.T).toarray().round(6)  # so that no machine's last bit decides
    return cosines
