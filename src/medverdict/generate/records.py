"""What crosses this room: a fact, what a knowledge file holds, and how good a generated set is."""

from __future__ import annotations

from typing import Literal, NamedTuple

from medverdict import text
from medverdict.generate.phrases import disease_key
from medverdict.records import Claim, Dropped, Label, Metric, Record

Relation = Literal["symptom", "cause", "treatment", "diagnosis"]
RELATIONS: tuple[Relation, ...] = ("symptom", "cause", "treatment", "diagnosis")
SEPARATOR = " | "


class Fact(Record):
    """One thing that a knowledge file says of a disease."""

    disease: str
    """Its name inside a sentence: lower case but for acronyms."""
    relation: Relation
    """What the entity is to the disease."""
    entity: str
    """A symptom, cause, treatment or test, as words inside a sentence."""
    source: str
    """The knowledge file's stem."""

    def triple(self) -> str:
        """The group of every claim that states this fact, true or not."""
        return SEPARATOR.join((self.disease, self.relation, self.entity))

    def key(self) -> tuple[str, str, str]:
        """Under which two facts count as the same."""
        return disease_key(self.disease), self.relation, text.fold(self.entity)


class Knowledge(NamedTuple):
    """What knowledge files hold."""

    facts: tuple[Fact, ...]
    """Each once, in file order."""
    dropped: tuple[Dropped, ...]
    """Every row, or phrase of a row, that was left out, and why."""


class Generated(NamedTuple):
    """Claims made of a knowledge file."""

    claims: tuple[Claim, ...]
    """As many TRUE as FALSE, or one more."""
    dropped: tuple[Dropped, ...]
    """Every row of the file that gave no claim, and why."""


class CueCount(Record):
    """How often one cue word stands in claims of each label."""

    cue: str
    """As evaluate/keywords.txt has it."""
    true: int
    """TRUE claims that hold it."""
    false: int
    """FALSE claims that hold it."""


class Sample(Record):
    """One claim for a person to read."""

    label: Label
    """Its answer key."""
    text: str
    """The claim."""


class Quality(Record):
    """How good a set of claims is to learn from, as far as its wording tells."""

    rows: int
    """Claims."""
    true: int
    """TRUE among them."""
    words: float
    """Syllables a claim has on average."""
    families: int
    """Groups and pairs, bound together as they were given."""
    cues: tuple[CueCount, ...]
    """Cue words that occur at all, the most uneven first."""
    keyword_rule: Metric
    """Accuracy of the keyword rule: what cue words alone give away."""
    tfidf: Metric
    """Accuracy of TF-IDF + logistic regression in five folds by family: what all wording gives away."""
    tfidf_rows: int
    """Rows that it was measured on, at most; a random part of the families where there are more."""
    samples: tuple[Sample, ...]
    """To be read by a person before anything is trained."""
