"""ViMedNER.jsonl -> FACTS: sentences whose marked spans name one disease and something about it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from medverdict.errors import DataError
from medverdict.generate.lines import written_lines
from medverdict.generate.phrases import disease_name, fault_of_disease, fault_of_entity, lower, tidy
from medverdict.generate.records import Fact, Knowledge, Relation
from medverdict.records import Dropped

_RELATION: dict[str, Relation] = {
    "SYMPTOM": "symptom",
    "CAUSE": "cause",
    "TREATMENT": "treatment",
    "DIAGNOSTIC": "diagnosis",
}
_DISEASE = "DISEASE"
_DENIES = re.compile(r"\b(?:không|chưa|chẳng|tránh|trừ|hiếm khi)\b", re.IGNORECASE)
_LEAD = {
    "symptom": re.compile(r"^(?:bị|có|các|những|một|cảm thấy|triệu chứng|dấu hiệu|cơn bị)\s+"),
    "cause": re.compile(r"^(?:do bị|do|bởi|bao gồm|các|những|kết quả của|nguyên nhân|bị|vì)\s+"),
    "treatment": re.compile(r"^(?:dùng|sử dụng|bằng|các|những|một|điều trị bằng|áp dụng)\s+"),
    "diagnosis": re.compile(r"^(?:dùng|sử dụng|bằng|các|những|một|làm)\s+"),
}


class _Sentence(NamedTuple):
    line: int
    text: str
    spans: tuple[tuple[int, int, str], ...]


def read_vimedner(path: Path) -> Knowledge:
    """Facts out of sentences that name exactly one disease.

    A span belongs to the disease of its sentence; with two diseases nobody knows to which, and a sentence that
    denies may deny it. Both kinds of sentence are dropped, as are spans cut inside a word.

    Raises DataError with the line that is not `{"text": …, "label": [[start, end, kind], …]}`.
    """
    facts: list[Fact] = []
    dropped: list[Dropped] = []
    for sentence in _sentences(path):
        diseases = {disease_name(sentence.text[a:b]) for a, b, kind in sentence.spans if kind == _DISEASE}
        marked = [span for span in sentence.spans if span[2] in _RELATION]
        reason = _fault_of_sentence(sentence, diseases, bool(marked))
        if reason:
            dropped.append(Dropped(file=path.name, line=sentence.line, reason=reason, text=sentence.text))
            continue
        disease = diseases.pop()
        for start, end, kind in marked:
            relation = _RELATION[kind]
            entity = _LEAD[relation].sub("", lower(tidy(sentence.text[start:end])))
            cut = None if _whole_words(sentence.text, start, end) else "a fragment"
            if fault := cut or fault_of_disease(disease) or fault_of_entity(entity, disease):
                told = f"{disease}: {entity}"
                dropped.append(Dropped(file=path.name, line=sentence.line, reason=fault, text=told))
            else:
                facts.append(Fact(disease=disease, relation=relation, entity=entity, source=path.stem))
    return Knowledge(tuple(facts), tuple(dropped))


def _sentences(path: Path) -> Iterator[_Sentence]:
    for number, line in written_lines(path):
        try:
            row = json.loads(line)
            yield _Sentence(number, row["text"], tuple((int(a), int(b), str(kind)) for a, b, kind in row["label"]))
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{path}, line {number}: expected {{'text': ..., 'label': [[start, end, kind], ...]}} ({error!r})."
            ) from None


def _fault_of_sentence(sentence: _Sentence, diseases: set[str], marked: bool) -> str | None:
    if not marked or not diseases:
        return "no disease with something about it"
    if len(diseases) > 1:
        return "several diseases in one sentence"
    if _DENIES.search(sentence.text):
        return "the sentence denies something"
    disease = [span for span in sentence.spans if span[2] == _DISEASE]
    if not all(_whole_words(sentence.text, a, b) for a, b, _ in disease):
        return "a fragment"
    return None


def _whole_words(sentence: str, start: int, end: int) -> bool:
    """Whether a span begins and ends between words: some of this corpus are cut inside one."""
    before, after = sentence[start - 1 : start] if start else "", sentence[end : end + 1]
    return not (before.isalnum() and sentence[start].isalnum()) and not (
        after.isalnum() and sentence[end - 1].isalnum()
    )
