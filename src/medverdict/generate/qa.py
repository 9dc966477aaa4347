"""QUESTION-ANSWER PAIRS -> CLAIMS: answers that stand alone, and their twins with another subject or number."""

from __future__ import annotations

import json
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from medverdict import text
from medverdict.errors import DataError
from medverdict.generate.deal import Statement, exchange
from medverdict.generate.lines import written_lines
from medverdict.generate.phrases import tidy
from medverdict.generate.records import Generated
from medverdict.generate.twins import Twins, claims_of_twins
from medverdict.generate.words import any_of
from medverdict.records import Dropped

TOPICS = {0: "body", 1: "disease", 2: "drug", 3: "herb"}
"""ViMedAQA's numbers for what its articles are about."""
FEWEST_WORDS, MOST_WORDS = 7, 45
TELLING = 0.1
"""Share of the subjects of a topic up to which a word tells something about one of them."""
FEWEST_TELLING = 3
"""Such words a sentence needs: with fewer it is true of many subjects (`ask your doctor first`)."""
KNOWN = 0.3
"""Share of these words in what is known of another subject from which the sentence may be true of that one as well."""

_NOT_A_STATEMENT = re.compile(
    r"^(?:có|không|vâng|đúng|sai|được|nên|chưa|tùy)\s*[,.]|[?:…]$|\.\.\.|\b(?:bạn|chúng ta|chúng tôi|tôi)\b"
)
_POINTS_ELSEWHERE = re.compile(
    r"^(?:nó|đây|đó|này|những|các|việc này|điều này|họ|chúng|người này|theo đó)\b"
    r"|\b(?:sau đây|dưới đây|ở trên|bài viết|đã nêu)\b"
)
_KINDS = "thuốc|cây|bệnh|lá|quả|hoa|hạt|rễ|củ|nấm|dược liệu|vị thuốc|hoạt chất|hội chứng"
_OF_MANY = re.compile(rf"\b{any_of('of_many')}\b", re.IGNORECASE)
_EFFECT = re.compile(rf"\b{any_of('effects')}\b", re.IGNORECASE)
_HERB = 3
_LEAST = re.compile(r"(?:ít nhất|tối thiểu)\s*$", re.IGNORECASE)
_MOST = re.compile(r"(?:tối đa|nhiều nhất|không quá|không vượt quá)\s*$", re.IGNORECASE)
_OPEN_BOUND = re.compile(r"(?:trên|dưới|hơn|từ|quá|tháng|năm|đến|tới|<|>|≤|≥)\s*$", re.IGNORECASE)
"""Before a number that stays: another bound may be true as well (`from 12 months on`, where it is from 4)."""
_BEFORE_A_COUNT = ("Có", "Cả", "Gồm", "Khoảng", "Mỗi", "Sau", "Trong")  # at the beginning of a sentence
_NUMBER = re.compile(
    r"(?<![\w.,/-])(?<!đến )(?<!tới )(?<![-–] )(\d{1,4})(?![\w.,/]|\s*[-–]|\s+(?:đến|tới)\s)(\s*(?:%|[^\W\d_]+))?"
)
_AMOUNT = re.compile(r"\d\s*(?:g|gam|gram|chỉ|lạng)\b")
_FACTORS = (0.25, 0.5, 2.0, 3.0, 4.0)


class _Pair(NamedTuple):
    file: str
    line: int
    stem: str
    answer: str
    known: str
    subject: str
    topic: int


def claims_of_qa(paths: Sequence[Path], rows: int | None, seed: int) -> Generated:
    """TRUE claims are answers that name their subject and stand alone; each has a FALSE twin.

    The twin has another number where the sentence holds one, outside any bound (`at least 2` becomes more, not less),
    and else another subject of the same kind, of which what is known does not say the same; that only where the
    sentence begins with its subject and tells neither advice, nor a herb's effect, nor what is said of half of all.
    Subjects are exchanged, so each stands as often in TRUE as in FALSE claims. `group` is the subject.

    Raises DataError with the line that lacks question, answer, context, keyword or topic.
    """
    pairs = [pair for path in paths for pair in _pairs(path)]
    known = _Known(pairs)
    dropped, usable = [], []
    for pair in pairs:
        if reason := _fault(pair) or (None if _other_number(pair, seed) else known.everybodys(pair)):
            dropped.append(Dropped(file=pair.file, line=pair.line, reason=reason, text=pair.answer))
        else:
            usable.append(pair)
    others = _other_subjects(usable, known, seed)
    twins = []
    for pair, other in zip(usable, others, strict=True):
        twin, kind = _other_number(pair, seed), "number"
        if twin is None and other is not None:
            twin, kind = _named(pair.answer, pair.subject, other), "subject"
        if twin is None:
            dropped.append(Dropped(file=pair.file, line=pair.line, reason="no false twin", text=pair.answer))
            continue
        source = f"{pair.stem}/{kind}"
        # The true one names its subject as the false one does, so that no capital tells them apart.
        true = pair.answer if kind == "number" else _named(pair.answer, pair.subject, pair.subject)
        twins.append(Twins(_sentence(true), _sentence(twin), text.fold(pair.subject), source, TOPICS[pair.topic]))
    return Generated(claims_of_twins(twins, "qa", rows, seed), tuple(dropped))


def _pairs(path: Path) -> Iterator[_Pair]:
    for line, written in written_lines(path):
        try:
            row = json.loads(written)
            known = text.fold(" ".join((row["question"], row["answer"], row["context"])))
            answer, subject = text.normalise(row["answer"].replace("*", "")), tidy(row["keyword"])
            yield _Pair(path.name, line, path.stem.partition("_")[0], answer, known, subject, int(row["topic"]))
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{path}, line {line}: expected question, answer, context, keyword and topic ({error!r})."
            ) from None


def _fault(pair: _Pair) -> str | None:
    words = len(pair.answer.split())
    if pair.topic not in TOPICS:
        return "unknown topic"
    if not FEWEST_WORDS <= words <= MOST_WORDS:
        return f"not of {FEWEST_WORDS} to {MOST_WORDS} words"
    if _NOT_A_STATEMENT.search(pair.answer.lower()) or _POINTS_ELSEWHERE.search(pair.answer.lower()):
        return "no statement of its own"
    if len(pair.subject) < 2 or not _names(pair.answer, pair.subject):
        return "does not name its subject"
    if ". " in pair.answer.rstrip(". "):
        return "several sentences"
    if len(_AMOUNT.findall(pair.answer)) > 1:
        return "a list of amounts"
    return None


class _Known:
    """The words of all that the files say of each subject."""

    def __init__(self, pairs: Sequence[_Pair]) -> None:
        self._words: dict[tuple[int, str], set[str]] = defaultdict(set)
        for pair in pairs:
            self._words[pair.topic, text.fold(pair.subject)] |= set(pair.known.split())
        self._subjects = Counter(topic for topic, _ in self._words)
        self._spread = Counter((topic, word) for (topic, _), words in self._words.items() for word in words)

    def may_be_true(self, pair: _Pair, other: str) -> bool:
        """Whether what is known of another subject, or its name, speaks for this sentence."""
        said = self._telling_words(pair)
        akin = set(text.fold(pair.subject).split()) & set(other.split())
        return bool(akin) or len(said & self._words[pair.topic, other]) >= KNOWN * len(said)

    def everybodys(self, pair: _Pair) -> str | None:
        """Why the sentence is of no use, if it may be true of many subjects."""
        enough = len(self._telling_words(pair)) >= FEWEST_TELLING
        return None if enough else f"fewer than {FEWEST_TELLING} words that are not said of many subjects"

    def _telling_words(self, pair: _Pair) -> set[str]:
        """The words of the sentence, its subject's left out, that few subjects of its topic share."""
        said = set(text.fold(pair.answer).split()) - set(text.fold(pair.subject).split())
        limit = max(1, TELLING * self._subjects[pair.topic])
        return {word for word in said if self._spread[pair.topic, word] <= limit}


def _kind(pair: _Pair) -> str | None:
    """The kind of thing that may take the subject's place: its topic and the noun before it; None where nothing may."""
    opening = re.match(
        rf"(?:({_KINDS}) )?{re.escape(pair.subject)} {any_of('opens_statement')}\b", pair.answer, re.IGNORECASE
    )
    mentions = re.findall(re.escape(pair.subject), pair.answer, re.IGNORECASE)
    if opening is None or len(mentions) > 1 or _OF_MANY.search(pair.answer):
        return None
    if pair.topic == _HERB and _EFFECT.search(pair.answer):
        return None
    return f"{pair.topic} {(opening[1] or '').lower()}"


def _other_subjects(usable: Sequence[_Pair], known: _Known, seed: int) -> list[str | None]:
    """For each pair a subject of the same topic, of which its sentence is not known to be true."""
    by_line = {(pair.file, pair.line): pair for pair in usable}
    kinds = {(pair.file, pair.line): _kind(pair) for pair in usable}
    told = [pair for pair in usable if kinds[pair.file, pair.line]]
    statements = [
        Statement(f"{p.file} | {p.line}", "subject", p.subject, kinds[p.file, p.line] or "", p.line) for p in told
    ]

    def may(statement: Statement, other: str) -> bool:
        file, _, line = statement.subject.partition(" | ")
        return not known.may_be_true(by_line[file, int(line)], text.fold(other))

    found = dict(zip(((p.file, p.line) for p in told), exchange(statements, seed, may), strict=True))
    return [found.get((pair.file, pair.line)) for pair in usable]


def _other_number(pair: _Pair, seed: int) -> str | None:
    """The sentence with one number multiplied or divided, so that it stays a plausible one."""
    found = [match for match in _NUMBER.finditer(pair.answer) if int(match[1]) > 1]
    found = [match for match in found if not _stays(pair.answer[: match.start()])]
    subject = re.search(re.escape(pair.subject), pair.answer, re.IGNORECASE)
    found = [m for m in found if not (subject and subject.start() <= m.start() < subject.end())]
    if not found:
        return None
    order = random.Random(f"{seed} {pair.file} {pair.line}")
    match = order.choice(found)
    number = int(match[1])
    before = pair.answer[: match.start(1)]
    factors = [factor for factor in _FACTORS if not (_LEAST.search(before) and factor < 1)]
    factors = [factor for factor in factors if not (_MOST.search(before) and factor > 1)]
    others = [int(number * factor) for factor in factors if number * factor == int(number * factor) > 0]
    if (match[2] or "").strip() in ("%", "tuổi"):
        others = [other for other in others if other <= 100]
    if not others:
        return None
    return f"{before}{order.choice(others)}{pair.answer[match.end(1) :]}"


def _stays(before: str) -> bool:
    """Whether a number after these words is a bound that others keep as well, or part of a name: `Allerphast 60 mg`."""
    last = (before.split() or [""])[-1]
    in_a_name = last[:1].isupper() and last not in _BEFORE_A_COUNT
    return in_a_name or (bool(_OPEN_BOUND.search(before)) and not _MOST.search(before))


def _names(sentence: str, subject: str) -> bool:
    return bool(re.search(rf"(?<!\w){re.escape(subject)}(?!\w)", sentence, re.IGNORECASE))


def _named(sentence: str, subject: str, other: str) -> str:
    """The sentence with every mention of its subject replaced."""
    return re.sub(rf"(?<!\w){re.escape(subject)}(?!\w)", other.replace("\\", r"\\"), sentence, flags=re.IGNORECASE)


def _sentence(written: str) -> str:
    return written[0].upper() + written[1:].rstrip(" .") + "."
