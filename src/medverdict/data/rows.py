"""FILE -> rows of named cells: JSONL and CSV, and everything that can be wrong with a file as a whole."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from medverdict import text
from medverdict.errors import DataError

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "claim": ("claim", "input", "text", "Mệnh đề Câu hỏi (VIETNAMESE TEXT ONLY)"),
    "label": ("label", "output", "Đáp án (TRUE/FALSE)"),
    "id": ("id", "stt"),
    "topic": ("topic",),
    "pair": ("pair_id", "pair"),
    "group": ("group",),
    "source": ("source",),
}
"""What a column means, and the headers that say so (compared without case, spaces and Unicode form)."""

_REQUIRED = ("claim", "label")
_DELIMITERS = ",;\t"
_JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")


class Row(NamedTuple):
    """One record of a file."""

    line: int
    """1-based line (JSONL) or record (CSV, the header being line 1)."""
    cells: dict[str, object]
    """Meaning (a key of COLUMNS) to value; text in CSV, any JSON value in JSONL."""


Clean = Callable[[str], str]
"""What is done to a header before it is recognised: nothing, or the repair of mojibake."""


def read_rows(path: Path, clean: Clean = text.normalise) -> Iterator[Row]:
    """The rows of a JSONL or CSV file in order; blank lines are not rows.

    JSON lines are told by the file's suffix or its first character; all else is CSV with a header, delimited by
    comma, semicolon or tab.

    Raises DataError for a file that cannot be used as a whole, with the line where there is one.
    """
    content = _decode(path)
    if path.suffix.lower() in _JSON_SUFFIXES or content.lstrip()[:1] in ("{", "["):
        yield from _jsonl(path, content)
    else:
        yield from _csv(path, content, clean)


def _decode(path: Path) -> str:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; expected a .jsonl or .csv file of labelled claims.") from None
    except IsADirectoryError:
        raise DataError(f"{path}: is a folder; expected a .jsonl or .csv file.") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}).") from None
    if data.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise DataError(f"{path}: is a spreadsheet or archive; save the sheet as CSV (UTF-8) and pass that.")
    try:
        content = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        what = "UTF-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else f"byte 0x{data[error.start]:02x}"
        raise DataError(
            f"{path}, line {line}: not UTF-8 ({what} at byte offset {error.start}); "
            "save the file as UTF-8 and run again."
        ) from None
    if not content.strip():
        raise DataError(f"{path}: the file is empty; expected JSON lines, or CSV with a header.")
    return content


def _jsonl(path: Path, content: str) -> Iterator[Row]:
    if content.lstrip().startswith("["):
        raise DataError(f"{path}: holds a JSON list; expected one JSON object a line (JSONL).")
    for line, written in enumerate(content.split("\n"), start=1):
        if not written.strip():
            continue
        where = f"{path}, line {line}"
        try:
            value = json.loads(written)
        except (ValueError, RecursionError) as error:
            why = f"{error.msg}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)
            raise DataError(f"{where}: broken JSON ({why}); expected one JSON object a line.") from None
        if not isinstance(value, dict):
            raise DataError(f"{where}: {_shown(value)} is not a JSON object; expected {{'claim': ..., 'label': ...}}.")
        places = _places(where, list(value))
        yield Row(line, {meaning: value[key] for meaning, key in places.items()})


def _csv(path: Path, content: str, clean: Clean) -> Iterator[Row]:
    records = _records(path, content, _delimiter(content, clean))
    first, header = next(records, (0, []))
    if not first:
        raise DataError(f"{path}: holds no header, only delimiters; expected {' and '.join(_REQUIRED)} at least.")
    header = [clean(cell) for cell in header]
    places = _places(f"{path}, row {first}", header)
    column = {meaning: header.index(name) for meaning, name in places.items()}
    for number, record in records:
        if any(cell.strip() for cell in record[len(header) :]):
            raise DataError(
                f"{path}, row {number}: {len(record)} cells under {len(header)} headers; "
                "a claim that contains the delimiter must stand in double quotes."
            )
        yield Row(number, {meaning: record[i] if i < len(record) else "" for meaning, i in column.items()})


def _records(path: Path, content: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The records that are not blank, with their 1-based number, blank ones counted: as a spreadsheet shows it."""
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=delimiter, strict=True)
    number = 0
    while True:
        number += 1
        try:
            record = next(reader, None)
        except csv.Error as error:
            raise DataError(
                f"{path}, row {number} (line {reader.line_num}): broken CSV ({error}); "
                'a quote inside a quoted claim must be doubled ("").'
            ) from None
        if record is None:
            return
        if any(cell.strip() for cell in record):
            yield number, record


def _delimiter(content: str, clean: Clean) -> str:
    """The delimiter under which the header makes most sense."""
    known = {_key(name) for names in COLUMNS.values() for name in names}

    def sense(delimiter: str) -> tuple[int, int]:
        try:
            records = csv.reader(io.StringIO(content, newline=""), delimiter=delimiter)
            header = next(record for record in records if any(cell.strip() for cell in record))
        except (csv.Error, StopIteration):
            return (0, 0)
        return (sum(_key(clean(cell)) in known for cell in header), len(header))

    return max(_DELIMITERS, key=sense)


def _places(where: str, found: list[str]) -> dict[str, str]:
    """Meaning -> the header that carries it."""
    named = {meaning: find_column(meaning, found) for meaning in COLUMNS}
    places = {meaning: name for meaning, name in named.items() if name is not None}
    missing = [meaning for meaning in _REQUIRED if meaning not in places]
    if missing:
        expected = "; ".join(f"{m}: {' or '.join(repr(n) for n in COLUMNS[m])}" for m in missing)
        shown = ", ".join(repr(name[:60]) for name in found[:20]) or "none"
        raise DataError(f"{where}: no column for the {' and the '.join(missing)}. Found: {shown}. Expected {expected}.")
    return places


def find_column(meaning: str, found: Sequence[str]) -> str | None:
    """The header among `found` that carries a meaning, by the first of COLUMNS' names that is there."""
    by_key = {_key(name): name for name in reversed(found)}
    return next((by_key[_key(name)] for name in COLUMNS[meaning] if _key(name) in by_key), None)


def _key(name: str) -> str:
    return text.normalise(name).casefold().replace(" ", "")


def _shown(value: object) -> str:
    written = repr(value)
    return written if len(written) <= 40 else written[:39] + "…"
