"""ICD-10 LIST -> CLAIMS on codes, names, membership and ranges; false ones by a sibling's value."""

from __future__ import annotations

import csv
import random
import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from medverdict import text
from medverdict.errors import DataError
from medverdict.generate.deal import Statement, exchange
from medverdict.generate.phrases import tidy
from medverdict.generate.records import Generated
from medverdict.generate.twins import Twins, claims_of_twins
from medverdict.records import Dropped

COLUMNS = ("MÃ CHƯƠNG", "TÊN CHƯƠNG", "TÊN NHÓM CHÍNH", "MÃ LOẠI", "TÊN LOẠI", "MÃ BỆNH", "DISEASE NAME", "TÊN BỆNH")

_CODE = re.compile(r"[A-Z]\d\d(?:\.\d{1,2})?")
_LONGEST = 25  # syllables of a name: longer ones are lists of exceptions
_SENTENCES = {
    "code": ("Mã ICD-10 của {s} là {v}.", "Trong ICD-10, {s} được mã hóa là {v}."),
    "english": ("Tên tiếng Anh của {s} trong ICD-10 là {v}.", "{s} trong tiếng Anh là {v}."),
    "category": ("Trong ICD-10, {s} thuộc loại {v}.", "{s} được ICD-10 xếp vào loại {v}."),
    "block": ("Trong ICD-10, {s} thuộc nhóm {v}.", "{s} được ICD-10 xếp vào nhóm {v}."),
    "chapter": ("Trong ICD-10, {s} thuộc chương {v}.", "{s} được ICD-10 xếp vào chương {v}."),
    "range": ("Trong ICD-10, mã của {s} nằm trong khoảng {v}.", "ICD-10 dành khoảng mã {v} cho chương có {s}."),
}


class _Row(NamedTuple):
    line: int
    range: str
    chapter: str
    block: str
    category_code: str
    category: str
    code: str
    english: str
    name: str


def claims_of_icd10(path: Path, rows: int | None, seed: int) -> Generated:
    """TRUE and FALSE claims on every usable row of the list: its code, English name, category, block and chapter.

    A false one carries the value of a sibling: a code and an English name out of the same category, a category out
    of the same block, a block out of the same chapter, a chapter of another. `group` is the category, so that
    nothing of it stands on two sides of a split.

    Raises DataError when the file is no CSV with the columns of the ministry's list.
    """
    dropped: list[Dropped] = []
    usable = []
    for row in _rows(path):
        if reason := _fault(row):
            dropped.append(Dropped(file=path.name, line=row.line, reason=reason, text=f"{row.code} {row.name}"))
        else:
            usable.append(row)
    known = {row.line: row for row in usable}
    statements = _statements(usable)
    twins = []
    for statement, value in zip(statements, exchange(statements, seed, _is_no_member), strict=True):
        if value is None:
            told = f"{statement.subject}: {statement.relation} {statement.value}"
            dropped.append(
                Dropped(file=path.name, line=statement.line, reason="no sibling to confuse it with", text=told)
            )
        else:
            twins.append(_told(statement, value, known[statement.line], path.stem))
    return Generated(claims_of_twins(twins, "icd10", rows, seed), tuple(dropped))


def _rows(path: Path) -> Iterator[_Row]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise DataError(f"{path}: no column {', '.join(missing)}; docs/data.md says where the list comes from.")
            for line, row in enumerate(reader, start=2):
                yield _Row(line, *(tidy(row[name] or "") for name in COLUMNS))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{path}: cannot be read as UTF-8 CSV ({error}). docs/data.md says where it comes from."
        ) from None


def _fault(row: _Row) -> str | None:
    if not _CODE.fullmatch(row.code):
        return "not an ordinary code (asterisk, dagger or several)"
    if not (row.name and row.english and row.block and row.chapter):
        return "a name is missing"
    if max(len(name.split()) for name in (row.name, row.category, row.block, row.english)) > _LONGEST:
        return f"a name of over {_LONGEST} words"
    if "†" in row.name or "*" in row.name:
        return "the name refers to another code"
    return None


def _statements(rows: Sequence[_Row]) -> list[Statement]:
    found = []
    for row in rows:
        name = _inside(row.name)
        # A category's own code is not false of what lies in it: categories are exchanged among themselves.
        family = row.block if row.code == row.category_code else row.category_code
        found.append(Statement(name, "code", row.code, family, row.line))
        found.append(Statement(name, "english", row.english, family, row.line))
        if row.code == row.category_code:
            found.append(Statement(name, "block", _inside(row.block), row.chapter, row.line))
            found.append(Statement(name, "chapter", _inside(row.chapter), "", row.line))
            found.append(Statement(name, "range", row.range, "", row.line))
        else:
            found.append(Statement(name, "category", _inside(row.category), row.block, row.line))
    return found


def _is_no_member(statement: Statement, value: str) -> bool:
    """Whether a class's name keeps clear of its would-be member's: `glocom khác` is not of `glôcôm`, but who knows?"""
    if statement.relation not in ("category", "block"):
        return True
    name, subject = (_plain(words) for words in (value, statement.subject))
    return not (name <= subject or subject <= name)


def _plain(phrase: str) -> set[str]:
    """Its words without any diacritics."""
    spread = unicodedata.normalize("NFD", text.fold(phrase).replace("đ", "d"))
    return set("".join(c for c in spread if not unicodedata.combining(c)).split())


def _told(statement: Statement, value: str, row: _Row, source: str) -> Twins:
    sentences = _SENTENCES[statement.relation]
    sentence = sentences[random.Random(f"{row.code} {statement.relation}").randrange(len(sentences))]
    true, false = (sentence.format(s=statement.subject, v=v) for v in (statement.value, value))
    return Twins(
        true[0].upper() + true[1:],
        false[0].upper() + false[1:],
        row.category_code,
        f"{source}/{statement.relation}",
        row.range,
    )


def _inside(name: str) -> str:
    """As it stands inside a sentence: only an ordinary capital at its start goes."""
    return name[0].lower() + name[1:] if name[1:2].islower() or name[1:2] == " " else name
