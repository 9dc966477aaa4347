"""CLAIMS -> the reasons why some should not be trained on: rules on the text alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from medverdict import text
from medverdict.data.audit import LABEL_WORDS
from medverdict.records import Claim

FEWEST_WORDS = 4
"""Syllables of a claim: with fewer, subject or predicate is missing."""
_MOST_NOISE = 0.4  # share of characters that are neither letters nor spaces
_REPEATS = 3  # the same word in a row
_LONGEST_WORD = 40  # letters; the longest of our claims has 21

_ASKS = re.compile(r"\?|^(?:tại sao|vì sao|khi nào|thế nào|làm sao)\b|\b(?:phải không|là gì)\W*$", re.I)
_PERSON = re.compile(r"\b(?:tôi|chúng tôi|chúng ta|bạn(?! tình))\b", re.IGNORECASE)
_ELSEWHERE = re.compile(
    r"\b(?:sau đây|dưới đây|nói trên|bài viết|đoạn văn|câu trên|hình bên(?! trong| ngoài)|bảng trên|xem thêm)\b",
    re.IGNORECASE,
)
_CUT_OFF = re.compile(r"(?:[,;:(\[–-]|\b(?:và|hoặc|hay|là|của|bởi|vì|như|với|để|khi|các|những))\s*\.?$", re.IGNORECASE)
_MARKUP = re.compile(r"</?[a-z][^>]*>|https?://|www\.|&[a-z]+;|\*\*|```", re.IGNORECASE)
_REPEATED = re.compile(rf"\b(\w+)(?:\s+\1\b){{{_REPEATS - 1},}}", re.IGNORECASE)

Rule = Callable[[str], str | None]


def too_short(claim: str) -> str | None:
    """A claim needs someone and something said of them."""
    return f"fewer than {FEWEST_WORDS} words" if len(claim.split()) < FEWEST_WORDS else None


def question(claim: str) -> str | None:
    """A question is neither true nor false."""
    return "a question" if _ASKS.search(claim) else None


def speaks_of_a_person(claim: str) -> str | None:
    """What `I` feel cannot be judged."""
    return "speaks of a person" if _PERSON.search(claim) else None


def points_elsewhere(claim: str) -> str | None:
    """What stands in a text that is not there cannot be judged."""
    return "points to a text that is not there" if _ELSEWHERE.search(claim) else None


def cut_off(claim: str) -> str | None:
    """A sentence that hangs, or a bracket that never closes."""
    unbalanced = any(claim.count(a) != claim.count(b) for a, b in ("()", "[]", "“”"))
    return "cut off" if unbalanced or _CUT_OFF.search(claim) else None


def says_its_label(claim: str) -> str | None:
    """A claim that holds its answer teaches to read, not to judge."""
    return "says its own label" if LABEL_WORDS.search(claim) else None


def noise(claim: str) -> str | None:
    """Markup, words repeated, words without an end, or hardly a letter."""
    letters = sum(c.isalpha() or c.isspace() for c in claim)
    if _MARKUP.search(claim):
        return "holds markup or a link"
    if _REPEATED.search(claim):
        return f"one word {_REPEATS} times in a row"
    if letters < (1 - _MOST_NOISE) * len(claim) or max(map(len, claim.split()), default=0) > _LONGEST_WORD:
        return "hardly words"
    return None


def mojibake(claim: str) -> str | None:
    """Text decoded with the wrong code page; --repair-mojibake mends what can be mended before this looks."""
    return "wrongly decoded text" if text.looks_like_mojibake(claim) else None


RULES: tuple[Rule, ...] = (
    too_short, question, speaks_of_a_person, points_elsewhere, cut_off, says_its_label, noise, mojibake,
)  # fmt: skip


def low_quality(claims: Sequence[Claim]) -> dict[str, str]:
    """Ids of the claims that a rule speaks against, with the first such reason."""
    found = {claim.id: next(filter(None, (rule(claim.text) for rule in RULES)), None) for claim in claims}
    return {name: reason for name, reason in found.items() if reason}
