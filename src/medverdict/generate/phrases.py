"""RAW PHRASES -> words that fit into a sentence, or the reason why they do not."""

from __future__ import annotations

import re

from medverdict import text
from medverdict.generate.words import any_of, misspelt, word_list

MIN_WORDS, MAX_WORDS = 2, 16
"""Syllables of an entity: one alone is ambiguous (`đau`, `ho`), more than 16 is a clause of its own."""
MAX_NAME_WORDS = 9
"""Syllables of a disease's name."""

_JOINED = re.compile(r"(?<=\w)\s*([-/])\s*(?=\w)")
_BEFORE = re.compile(r"\s+([,.;:)\]])")
_AFTER = re.compile(r"([(\[])\s+")
_EDGES = " .,;:!?-–•*\"'“”"
_VOWELS = frozenset("AEIOUYÀÁÂÃÈÉÊÌÍÒÓÔÕÙÚĂĐĨŨƠƯẠẢẤẦẨẪẬẮẰẲẴẶẸẺẼẾỀỂỄỆỈỊỌỎỐỒỔỖỘỚỜỞỠỢỤỦỨỪỬỮỰỲÝỴỶỸ")
_NO_DISEASE = re.compile(r"^(?:điều trị|chụp|xét nghiệm|phẫu thuật|thuốc)\b")
_NAMES_NONE = frozenset(word_list("no_disease"))
_SAYS_NOTHING = frozenset(word_list("says_nothing"))
_MISSPELT = misspelt()
_MISSPELLING = re.compile(rf"\b(?:{'|'.join(_MISSPELT)})\b")
_ROUGH = re.compile(rf"\b{any_of('rough')}\b")
_TWO_SENTENCES = re.compile(r"\w{3}\. \w")
_FIRST_PERSON = re.compile(r"\b(?:tôi|mình|em|chúng ta|bạn|nó|bé nhà)\b")
_HANGING = re.compile(
    r"\b(?:và|hoặc|hay|là|của|(?<!lý )do|bởi|vì|bị|các|những|một|như|với|cho|để|khi|trong|ở|từ|có|không|rất|gây|ra"
    r"|khác)$"
)
_HANGING_START = re.compile(
    r"^(?:và|hoặc|là|của|bởi|như|với|cho|để|khi|trong|trên|từ|mà|thì|nên|nhưng|cũng|này|đó|ra|gây|bị|khác)\b"
)


def tidy(raw: str) -> str:
    """Normalised, spaces around punctuation mended, no punctuation at the ends."""
    mended = _JOINED.sub(r"\1", text.normalise(raw))
    return _AFTER.sub(r"\1", _BEFORE.sub(r"\1", mended)).strip(_EDGES)


def lower(phrase: str) -> str:
    """Lower case, but acronyms keep theirs: all capitals, with a consonant among them (`HIV`, not `U`), or `A`, `E`."""
    kept = (
        word if word.isupper() and (set(word) - _VOWELS or word in "AE") else word.lower() for word in phrase.split()
    )
    return _MISSPELLING.sub(lambda found: _MISSPELT[found[0]], " ".join(kept))


def disease_name(raw: str) -> str:
    """A disease's name as it stands inside a sentence."""
    return lower(tidy(raw)).removeprefix("bị ")


def disease_key(name: str) -> str:
    """Under which two names are of one disease: `bệnh` in front says nothing."""
    return text.fold(name).removeprefix("bệnh ")


def fault_of_disease(name: str) -> str | None:
    """Why nothing can be claimed of this name."""
    if not name or len(name.split()) > MAX_NAME_WORDS:
        return "no name of a disease: empty or too long"
    if name in _NAMES_NONE:
        return "no name of a disease: a whole kind of them"
    if _NO_DISEASE.search(name) or _ROUGH.search(name) or not _balanced(name):
        return "no name of a disease: a measure, or cut off"
    return None


def fault_of_entity(entity: str, disease: str) -> str | None:
    """Why this entity makes no claim about this disease."""
    words = len(entity.split())
    if words < MIN_WORDS and entity.lower() == entity and not _looks_like_a_term(entity):
        return "too short: one syllable means too much"
    if words > MAX_WORDS:
        return f"too long: over {MAX_WORDS} words"
    if entity in _SAYS_NOTHING:
        return "says nothing alone: a place or a degree"
    if _ROUGH.search(entity):
        return "no Vietnamese: a rough translation"
    if _FIRST_PERSON.search(entity):
        return "speaks of a person"
    if _HANGING.search(entity) or _HANGING_START.search(entity) or not _balanced(entity):
        return "a fragment"
    if _TWO_SENTENCES.search(entity):
        return "two sentences"
    if f" {disease_key(disease)} " in f" {text.fold(entity)} ":
        return "names the disease itself"
    return None


def _looks_like_a_term(word: str) -> bool:
    """A drug or a foreign term rather than one Vietnamese syllable, which has at most seven letters."""
    return len(word) > 7 and word.isalpha()


def _balanced(phrase: str) -> bool:
    return all(phrase.count(a) == phrase.count(b) for a, b in ("()", "[]", "“”"))
