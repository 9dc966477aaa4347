"""ViMedical_Disease.csv -> FACTS: questions of patients, each under its disease, as symptoms."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from medverdict import text
from medverdict.errors import DataError
from medverdict.generate.phrases import disease_name, fault_of_disease, fault_of_entity, lower, tidy
from medverdict.generate.records import Fact, Knowledge
from medverdict.generate.words import any_of
from medverdict.records import Dropped

COLUMNS = ("Disease", "Question")

_QUESTION = re.compile(r"[\s.,]*\b(?:t*ôi|nó|con tôi)\b có thể (?:đang )?(?:bị|mắc) bệnh gì\W*$", re.IGNORECASE)
_OPENING = re.compile(
    r"^tôi (?:(?:hiện|tại|đang|tạo|hay|thường xuyên|thường|cũng|luôn|đôi khi|bắt đầu|rất) )*"
    r"(?:(?:cảm thấy|cảm giác|nhận thấy|thấy|bị|có|gặp phải|gặp|trải qua|phải) )*"
    r"(?:(?:các |những |một số |nhiều )?(?:triệu chứng|dấu hiệu|biểu hiện|tình trạng|hiện tượng|vấn đề)"
    r"(?: bất thường)?(?: như| về| của| là)?[ :]*)?",
    re.IGNORECASE,
)
_HISTORY = re.compile(
    r"^.*(?:\bvà|,) (?:(?:hiện|giờ|dạo gần đây)\b(?: (?:đang|tại))?|(?:đang )?có triệu chứng"
    r"|(?:thường xuyên |hay |đang )?bị|thấy)(?: (?:bị|có|thấy|cảm thấy))*(?: triệu chứng)? "
)
"""`has a stone in the bladder and now has pain`: what comes first is told as a cause, and is no symptom."""
_WORRY = re.compile(r",? và (?:rất |cảm thấy )*(?:lo lắng|lo sợ|lo ngại|sợ|không biết|băn khoăn|muốn)\b.*$")
_OWN = re.compile(r"\s*\bcủa (?:tôi|mình)\b")
_NO_SYMPTOM = re.compile(
    rf"^(?:{any_of('no_symptom_first')}|lo lắng(?!,| và))\b|\b{any_of('no_symptom')}\b"  # worry alone is a symptom
)
_JOINT = re.compile(r",? kèm theo(?: các triệu chứng(?: như)?| tình trạng)? |,? cũng như |, và |, hoặc |, | và | hoặc ")
_OPENS = 12
"""A word that opens this many whole phrases can open one of its own: so `đau bụng và buồn nôn` are two symptoms,
but `khó tập trung và định hướng` stay one."""


def read_vimedical(path: Path) -> Knowledge:
    """Symptoms of diseases, phrase by phrase.

    Each question loses its closing question and its opening ("Tôi đang cảm thấy …"); what is left is an entity, and
    so are its parts between commas and `và` where every one can stand alone. Dropped, with the reason: what asks for
    advice rather than tells a symptom, speaks of a person, names the disease itself, or is too short or long.

    Raises DataError when the file is no CSV with the columns Disease and Question.
    """
    rows = list(_rows(path))
    phrases = [(line, disease_name(disease), question, _symptom_phrase(question)) for line, disease, question in rows]
    openers = _openers([phrase for *_, phrase in phrases])
    facts: list[Fact] = []
    dropped: list[Dropped] = []
    for line, disease, question, phrase in phrases:
        for entity in _parts(phrase, openers):
            reason = fault_of_disease(disease) or _fault(entity) or fault_of_entity(entity, disease)
            if reason:
                dropped.append(
                    Dropped(file=path.name, line=line, reason=reason, text=f"{disease}: {entity or question}")
                )
            else:
                facts.append(Fact(disease=disease, relation="symptom", entity=entity, source=path.stem))
    return Knowledge(tuple(facts), tuple(dropped))


def _rows(path: Path) -> Iterator[tuple[int, str, str]]:
    """Record number (the header being 1), disease and question."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            if not set(COLUMNS) <= set(reader.fieldnames or ()):
                found = ", ".join(reader.fieldnames or ()) or "none"
                raise DataError(f"{path}: expected a CSV with the columns {', '.join(COLUMNS)}; found {found}.")
            for number, row in enumerate(reader, start=2):
                yield number, row["Disease"] or "", text.normalise(row["Question"] or "")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{path}: cannot be read as UTF-8 CSV ({error}). docs/data.md says where it comes from."
        ) from None


def _symptom_phrase(question: str) -> str:
    told = lower(_OWN.sub("", tidy(_OPENING.sub("", _QUESTION.sub("", question)))))
    return tidy(_WORRY.sub("", _HISTORY.sub("", told)))


def _openers(phrases: list[str]) -> frozenset[str]:
    """The words that begin many whole phrases; not `không`, whose second half hangs on the first: `…, không đau`."""
    counts = Counter(phrase.split()[0].strip(",") for phrase in phrases if phrase)
    return frozenset(word for word, count in counts.items() if count >= _OPENS) - {"không"}


def _parts(phrase: str, openers: frozenset[str]) -> list[str]:
    """The phrase whole, and its parts where each can stand alone."""
    parts = [tidy(part) for part in _JOINT.split(phrase)]
    alone = [len(part.split()) >= 2 and part.split()[0] in openers for part in parts]
    return [phrase, *parts] if len(parts) > 1 and all(alone) else [phrase]


def _fault(phrase: str) -> str | None:
    if not phrase:
        return "empty"
    if _NO_SYMPTOM.search(phrase):
        return "no symptom: asks for advice, or tells a history"
    return None
