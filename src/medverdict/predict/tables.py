"""FILE <-> rows, one at a time: CSV and JSON lines of any size, every column where it was."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import IO, Protocol

from medverdict.data.rows import COLUMNS, find_column
from medverdict.errors import DataError

Open = Callable[[], IO[bytes]]
"""Opens the file anew, for another pass."""
WriteRow = Callable[[Sequence[str], Sequence[object]], None]
"""Writes one row: column names, and the cell under each."""

_DELIMITERS = ",;\t"
_BOM = b"\xef\xbb\xbf"
_SHOWN = 20


@dataclass(frozen=True)
class TableRow:
    """One record as it stands in its file."""

    line: int
    """1-based line (JSON lines) or record (CSV and XLSX: as a spreadsheet numbers it, the header included)."""
    claim: object
    """What stands in the claim column; text, if the file is right."""
    names: Sequence[str]
    """The columns in order."""
    cells: Sequence[object]
    """What stands under each of them."""


class Table(Protocol):
    """A file of claims that is never held whole.

    Its methods raise DataError, with the line, where the file is not what its suffix says.
    """

    name: str
    """For messages."""

    def rows(self) -> Iterator[TableRow]:
        """A new pass over the rows; blank ones are not rows."""

    def writer(self, out: IO[bytes]) -> AbstractContextManager[WriteRow]:
        """Writes another table of this kind to `out`, the columns being those of the first row written."""


def claim_column(where: str, names: Sequence[str]) -> str:
    """The column of the claims. Raises DataError when there is none."""
    column = find_column("claim", names)
    if column is None:
        shown = ", ".join(repr(name[:60]) for name in names[:_SHOWN]) or "none"
        expected = " or ".join(repr(name) for name in COLUMNS["claim"])
        raise DataError(f"{where}: no column for the claim. Found: {shown}. Expected {expected}.")
    return column


def is_blank(cells: Sequence[object]) -> bool:
    """Whether a row holds nothing but white space."""
    return all(cell is None or (isinstance(cell, str) and not cell.strip()) for cell in cells)


class CsvTable:
    """UTF-8 with a header, delimited by comma, semicolon or tab; what is written is delimited the same way."""

    def __init__(self, name: str, source: Open) -> None:
        self.name = name
        self._open = source
        with source() as file:
            start = file.readline(1 << 20)
        if not start:
            raise DataError(f"{name}: the file is empty; expected CSV with a header.")
        if start.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise DataError(f"{name}: is UTF-16; save it as CSV UTF-8 and run again.")
        self._bom = start.startswith(_BOM)
        self._line_end = "\r\n" if start.endswith(b"\r\n") else "\n"
        self._delimiter = max(_DELIMITERS, key=self._sense)

    def rows(self) -> Iterator[TableRow]:
        records = self._records(self._delimiter)
        first, names = next(records, (1, []))
        position = names.index(claim_column(f"{self.name}, row {first}", names))
        for line, record in records:
            if not is_blank(record[len(names) :]):
                raise DataError(
                    f"{self.name}, row {line}: {len(record)} cells under {len(names)} headers; a claim that contains "
                    "the delimiter must stand in double quotes."
                )
            cells = record[: len(names)] + [""] * (len(names) - len(record))
            yield TableRow(line, cells[position], names, cells)

    @contextmanager
    def writer(self, out: IO[bytes]) -> Iterator[WriteRow]:
        text = io.TextIOWrapper(out, encoding="utf-8-sig" if self._bom else "utf-8", newline="", write_through=True)
        writer = csv.writer(text, delimiter=self._delimiter, lineterminator=self._line_end)
        started = False

        def write(names: Sequence[str], cells: Sequence[object]) -> None:
            nonlocal started
            if not started:
                writer.writerow(names)
                started = True
            writer.writerow(cells)

        try:
            yield write
        finally:
            text.detach()  # `out` belongs to the caller, who closes it

    def _records(self, delimiter: str) -> Iterator[tuple[int, list[str]]]:
        """The records that are not blank, with their number, blank ones counted."""
        with self._open() as file, io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
            reader = csv.reader(text, delimiter=delimiter, strict=True)
            number = 0
            while True:
                number += 1
                try:
                    record = next(reader, None)
                except csv.Error as error:
                    raise DataError(
                        f"{self.name}, row {number} (line {reader.line_num}): broken CSV ({error}); "
                        'a quote inside a quoted claim must be doubled ("").'
                    ) from None
                except UnicodeDecodeError as error:
                    found = f"byte 0x{error.object[error.start]:02x}"
                    raise DataError(
                        f"{self.name}, after row {number - 1}: not UTF-8 ({found}); save it as CSV UTF-8 and run again."
                    ) from None
                if record is None:
                    return
                if not is_blank(record):
                    yield number, record

    def _sense(self, delimiter: str) -> tuple[int, int]:
        """How much sense the header makes under a delimiter: known columns, then columns."""
        try:
            _, names = next(self._records(delimiter))
        except (DataError, StopIteration):
            return (0, 0)
        return (sum(find_column(meaning, names) is not None for meaning in COLUMNS), len(names))


class JsonlTable:
    """One JSON object a line; new columns become its last keys."""

    def __init__(self, name: str, source: Open) -> None:
        self.name = name
        self._open = source

    def rows(self) -> Iterator[TableRow]:
        with self._open() as file:
            for line, written in enumerate(file, start=1):
                if not written.strip():
                    continue
                where = f"{self.name}, line {line}"
                value = _json_object(where, written.removeprefix(_BOM) if line == 1 else written)
                yield TableRow(line, value[claim_column(where, list(value))], list(value), list(value.values()))

    @contextmanager
    def writer(self, out: IO[bytes]) -> Iterator[WriteRow]:
        def write(names: Sequence[str], cells: Sequence[object]) -> None:
            line = json.dumps(dict(zip(names, cells, strict=True)), ensure_ascii=False)
            out.write(line.encode("utf-8") + b"\n")

        yield write


def _json_object(where: str, written: bytes) -> dict[str, object]:
    try:
        value = json.loads(written.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: not UTF-8 (byte 0x{written[error.start]:02x}); save the file as UTF-8.") from None
    except (ValueError, RecursionError) as error:
        why = f"{error.msg}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)
        raise DataError(f"{where}: broken JSON ({why}); expected one JSON object a line.") from None
    if not isinstance(value, dict):
        raise DataError(f"{where}: holds no JSON object; expected one a line, such as {{'claim': ...}}.")
    return value
