"""TABLE -> MARGINS -> TABLE, in passes of constant memory: look at every row, score, write."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Literal, TypeVar

import numpy as np

from medverdict.data.rows import COLUMNS, find_column
from medverdict.errors import DataError
from medverdict.evaluate.calibrate import judge
from medverdict.predict.answer import Answer, cleaned, from_margins
from medverdict.predict.journal import Journal
from medverdict.predict.load import LoadedRun
from medverdict.predict.score import score_margins
from medverdict.predict.tables import CsvTable, JsonlTable, Open, Table, TableRow
from medverdict.predict.xlsx import XlsxTable
from medverdict.records import Calibration, Verdict

T = TypeVar("T")
Filled = tuple[Sequence[str], Sequence[object]]
"""Column names, and the cell under each."""
Place = Callable[[TableRow, Answer], Filled]
Format = Literal["columns", "submission"]
Score = Callable[[Iterable[list[str]]], Iterator[np.ndarray]]
"""Margins of each list of claims, in order."""

KINDS: dict[str, Callable[[str, Open], Table]] = {
    ".csv": CsvTable,
    ".tsv": CsvTable,
    ".txt": CsvTable,
    ".xlsx": XlsxTable,
    ".jsonl": JsonlTable,
    ".ndjson": JsonlTable,
}
NEW_COLUMNS = ("verdict", "p_true")
CHUNK = {"cpu": 256, "cuda": 8192}
"""Rows between two notes in the journal: what a cut costs, and among how many a batch finds rows of one length."""
_FAULTS_SHOWN = 10
_ANY_ANSWER = Answer(claim="", verdict="TRUE", p_true=1.0)


def open_table(path: Path) -> Table:
    """The table in a file, by its suffix. Raises DataError when it is absent or of another kind."""
    kind = KINDS.get(path.suffix.lower())
    if kind is None:
        raise DataError(f"{path}: unknown suffix {path.suffix!r}; expected one of {', '.join(KINDS)}.")
    if not path.is_file():
        raise DataError(f"{path}: {'is a folder' if path.is_dir() else 'no such file'}; expected a file of claims.")
    try:
        path.open("rb").close()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from None
    return kind(str(path), lambda: path.open("rb"))


def beside(row: TableRow, answer: Answer) -> Filled:
    """The row as it was, with verdict and p_true after its last column."""
    for name in NEW_COLUMNS:
        if name in row.names:
            raise DataError(f"has a column {name!r} already, and the verdicts need that name; rename or remove it.")
    return [*row.names, *NEW_COLUMNS], [*row.cells, answer.verdict, answer.p_true]


def into_answer_column(row: TableRow, answer: Answer) -> Filled:
    """The row as it was, with TRUE or FALSE in the column of the answer key."""
    column = find_column("label", row.names)
    if column is None:
        expected = " or ".join(repr(name) for name in reversed(COLUMNS["label"]))
        raise DataError(f"no column for the answer; expected {expected}.")
    position = row.names.index(column)
    return row.names, [*row.cells[:position], answer.verdict, *row.cells[position + 1 :]]


PLACES: dict[Format, Place] = {"columns": beside, "submission": into_answer_column}


def require_columns(table: Table, place: Place) -> None:
    """Look at the first row only. Raises DataError when the columns are not what `place` needs, or no row is there."""
    first = next(table.rows(), None)
    if first is None:
        raise DataError(f"{table.name}: no rows below the header.")
    try:
        place(first, _ANY_ANSWER)
    except DataError as error:
        raise DataError(f"{table.name}: {error}") from None


def survey(loaded: LoadedRun, table: Table, place: Place) -> int:
    """Number of rows, after a look at each. Raises DataError naming the first ten that cannot be judged."""
    rows = faulty = 0
    shown: list[str] = []
    for chunk in chunks(table.rows(), CHUNK["cpu"]):
        rows += len(chunk)
        for line, fault in faults_of(loaded, chunk, place):
            faulty += 1
            shown += [f"\n  row {line}: {fault}"] if faulty <= _FAULTS_SHOWN else []
    if faulty:
        more = f"\n  … and {faulty - _FAULTS_SHOWN} more" if faulty > _FAULTS_SHOWN else ""
        raise DataError(
            f"{table.name}: {faulty} of {rows} rows cannot be judged; mend or remove them:{''.join(shown)}{more}"
        )
    return rows


def faults_of(loaded: LoadedRun, rows: Sequence[TableRow], place: Place) -> Iterator[tuple[int, DataError]]:
    """Line and fault of each row that cannot be judged."""
    encoder = loaded.verifier.encoder
    try:  # all at once first: tokens of many rows are made on all processors, and of short rows not at all
        encoder.prompts_ids([text for text in map(text_of, rows) if not encoder.surely_fits(text)])
        for row in rows:
            place(row, _ANY_ANSWER)
    except DataError:
        for row in rows:
            try:
                encoder.prompt_ids(text_of(row))
                place(row, _ANY_ANSWER)
            except DataError as error:
                yield row.line, error


def text_of(row: TableRow) -> str:
    """The row's claim as the model will read it. Raises DataError when it holds no text; of any length."""
    try:
        return cleaned("" if row.claim is None else row.claim)
    except DataError as error:
        raise DataError(f"the claim {error}") from None


def score_here(loaded: LoadedRun, advance: Callable[[int], None]) -> Score:
    """Scores in this process."""
    return lambda asked: (score_margins(loaded.verifier, texts, advance) for texts in asked)


def score_rows(loaded: LoadedRun, table: Table, journal: Journal, done: int, score: Score) -> None:
    """Score every row after the first `done` into the journal, a chunk at a time.

    Raises DataError when a margin is not finite, RunError when the disk refuses or `score` does.
    """
    texts = (text_of(row) for row in islice(table.rows(), done, None))
    for margins in score(chunks(texts, CHUNK[loaded.verifier.placement.device.type])):
        judge(margins, loaded.run.calibration)  # refuses what is not finite before it is kept
        journal.append([float(margin) for margin in margins])


def write_rows(
    table: Table, margins: Iterable[float], calibration: Calibration, abstain: bool, place: Place, out: IO[bytes]
) -> Counter[Verdict]:
    """Write the table anew with each row's answer in its place; how often each verdict was given."""
    counts: Counter[Verdict] = Counter()
    with table.writer(out) as write:
        for chunk in chunks(zip(table.rows(), margins, strict=True), CHUNK["cpu"]):
            rows = [row for row, _ in chunk]
            answers = from_margins([str(row.claim) for row in rows], [m for _, m in chunk], calibration, abstain)
            for row, answer in zip(rows, answers, strict=True):
                write(*place(row, answer))
                counts[answer.verdict] += 1
    return counts


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of `size` items, the last one shorter."""
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk
