"""What a person sees while a command works: one console on stderr for progress, stdout for results."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

T = TypeVar("T")

progress_console = Console(stderr=True, highlight=False, emoji=False)
result_console = Console(highlight=False, emoji=False)


class _Rate(ProgressColumn):
    """Rows per second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.1f} rows/s" if speed else "– rows/s")


@contextmanager
def progress(description: str, rows: int) -> Iterator[RowProgress]:
    """A progress bar over `rows` rows with rows/s, elapsed and remaining time."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        _Rate(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=progress_console, speed_estimate_period=120) as bar:
        yield RowProgress(bar, description, rows)


class RowProgress:
    """Moves one bar forward by rows."""

    def __init__(self, bar: Progress, description: str, rows: int) -> None:
        self._bar = bar
        self._task = bar.add_task(description, total=rows)

    def advance(self, rows: int) -> None:
        """Count `rows` more rows as done."""
        self._bar.advance(self._task, rows)

    def describe(self, description: str) -> None:
        """Replace the text left of the bar."""
        self._bar.update(self._task, description=description)


def hush() -> None:
    """Say nothing more: for all but one of several processes that do the same work."""
    progress_console.quiet = result_console.quiet = True


def say(message: str) -> None:
    """One line of narration, on stderr."""
    progress_console.print(message, markup=False)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """A plain table; the first column is left-aligned, the others right-aligned."""
    built = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        built.add_column(column, justify="left" if number == 0 else "right", no_wrap=number == 0)
    for row in rows:
        built.add_row(*(Text(cell) for cell in row))
    return built
