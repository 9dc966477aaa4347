"""XLSX <-> rows, one at a time: the sheet with the claims is judged, the others are carried over."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any
from xml.etree.ElementTree import ParseError
from zipfile import BadZipFile

from medverdict.data.rows import find_column
from medverdict.errors import DataError
from medverdict.predict.tables import Open, TableRow, WriteRow, claim_column, is_blank

if TYPE_CHECKING:
    from openpyxl import Workbook

_Cells = tuple[object, ...]


class XlsxTable:
    """The first sheet of a workbook whose header names the claims. Values are kept, formats and formulas are not.

    Excel stores a text once and refers to it by number, so the texts of the workbook are held in memory while it
    is read; its rows are not.
    """

    def __init__(self, name: str, source: Open) -> None:
        self.name = name
        self._open = source
        headers: dict[str, Sequence[object]] = {}
        with self._workbook() as book:
            for title in book.sheetnames:
                headers[title] = next(self._records(book, title), (1, []))[1]
        self._sheets = list(headers)
        named = [title for title in headers if find_column("claim", _names(headers[title])) is not None]
        if not named:  # say what the first sheet has instead
            claim_column(f"{name}, sheet {self._sheets[0]!r}, row 1", _names(headers[self._sheets[0]]))
        self._sheet = named[0]

    def rows(self) -> Iterator[TableRow]:
        with self._workbook() as book:
            records = self._records(book, self._sheet)
            _, header = next(records)
            names = _names(header)
            position = names.index(claim_column(self.name, names))
            for line, record in records:
                if not is_blank(record[len(names) :]):
                    raise DataError(f"{self.name}, row {line}: cells beyond the last header; give each column a name.")
                cells = [*record[: len(names)], *[None] * (len(names) - len(record))]
                yield TableRow(line, cells[position], names, cells)

    @contextmanager
    def writer(self, out: IO[bytes]) -> Iterator[WriteRow]:
        from openpyxl import Workbook

        book = Workbook(write_only=True)
        sheets = {title: book.create_sheet(title) for title in self._sheets}
        target, started = sheets[self._sheet], False

        def write(names: Sequence[str], cells: Sequence[object]) -> None:
            nonlocal started
            if not started:
                target.append(list(names))
                started = True
            target.append([_plain(target, cell) for cell in cells])

        yield write
        with self._workbook() as source:
            for title in self._sheets:
                if title != self._sheet:
                    for _, record in self._records(source, title, blank=True):
                        sheets[title].append([_plain(sheets[title], cell) for cell in record])
        book.save(out)

    @contextmanager
    def _workbook(self) -> Iterator[Workbook]:
        try:
            from openpyxl import load_workbook
        except ImportError:
            raise DataError(
                f"{self.name}: reading XLSX needs openpyxl. Run `pip install 'medverdict[xlsx]'`, or save as CSV UTF-8."
            ) from None
        with self._open() as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of drop-down lists and the like, which are not values
            try:
                book = load_workbook(file, read_only=True, data_only=True)
            except Exception as error:  # openpyxl raises whatever its parts do
                raise DataError(f"{self.name}: not a workbook that can be read ({error}); save it as XLSX.") from None
            try:
                yield book
            finally:
                book.close()

    def _records(self, book: Workbook, title: str, blank: bool = False) -> Iterator[tuple[int, _Cells]]:
        """The rows of a sheet that are not blank, or all of them, with their number."""
        sheet: Any = book[title]
        sheet.reset_dimensions()  # some programs store them wrong, and then cells would be missing
        try:
            for number, cells in enumerate(sheet.iter_rows(values_only=True), start=1):
                if blank or not is_blank(cells):
                    yield number, cells
        except (BadZipFile, ParseError, KeyError, ValueError, EOFError, zlib.error) as error:
            raise DataError(f"{self.name}, sheet {title!r}: damaged ({error}); open it and save it again.") from None


def _names(header: Sequence[object]) -> list[str]:
    """Headers as text, without the empty ones at the end."""
    names = ["" if cell is None else str(cell) for cell in header]
    while names and not names[-1].strip():
        names.pop()
    return names


def _plain(sheet: Any, value: object) -> object:
    """A text that opens with `=` stays a text: in a file from elsewhere it must not become a formula."""
    if not (isinstance(value, str) and value.startswith("=")):
        return value
    from openpyxl.cell import WriteOnlyCell

    cell = WriteOnlyCell(sheet, value)
    cell.data_type = "s"
    return cell
