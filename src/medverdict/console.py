"""What a person sees while a command works: one console on stderr for progress, stdout for results."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

T = TypeVar("T")

progress_console = Console(stderr=True, highlight=False, emoji=False)
result_console = Console(highlight=False, emoji=False)
_SHORTEST_PAUSE, _LONGEST_PAUSE = 10.0, 180.0  # seconds between two lines of progress


class Bars(Progress):
    """Bars on a terminal or in a notebook's cell; elsewhere, as in a log file, plain lines instead.

    The first line comes after ten seconds; then the pauses grow to three minutes, so that a log of hours stays short.
    The last one says where it ended.
    """

    def __init__(self, *columns: ProgressColumn) -> None:
        told = progress_console.is_interactive or progress_console.is_jupyter
        super().__init__(*columns, console=progress_console, speed_estimate_period=120, disable=not told)
        self._started = self.get_time()
        self._due = self._started + _SHORTEST_PAUSE

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        """Count more as done, and print a line where one is due."""
        super().advance(task_id, advance)
        now = self.get_time()
        if self.disable and now >= self._due and not self.finished:
            self._due = now + min(max(_SHORTEST_PAUSE, (now - self._started) / 20), _LONGEST_PAUSE)
            self._print_lines()

    def stop(self) -> None:
        """Take the bars down, or print the last line."""
        super().stop()
        if self.disable:
            self._print_lines()

    def _print_lines(self) -> None:
        for task in self.tasks:
            shown = (column(task) for column in self.columns if isinstance(column, ProgressColumn))
            line = " ".join(part.plain for part in shown if isinstance(part, Text))
            progress_console.print(line, markup=False, soft_wrap=True)


class _Rate(ProgressColumn):
    """Rows per second: of the last two minutes, and in the end on the whole."""

    def render(self, task: Task) -> Text:
        speed = task.speed
        if task.finished_time:
            speed = (task.completed - task.fields["done"]) / task.finished_time
        return Text(f"{speed:.1f} rows/s" if speed else "– rows/s")


@contextmanager
def progress(description: str, rows: int, done: int = 0) -> Iterator[RowProgress]:
    """Progress over `rows` rows with rows/s, elapsed and remaining time; `done` were done before."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        _Rate(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Bars(*columns) as bars:
        yield RowProgress(bars, bars.add_task(description, total=rows, completed=done, done=done))


class RowProgress:
    """Moves one bar forward by rows."""

    def __init__(self, bars: Bars, task: TaskID) -> None:
        self._bars, self._task = bars, task

    def advance(self, rows: int) -> None:
        """Count `rows` more rows as done."""
        self._bars.advance(self._task, rows)


def hush() -> None:
    """Say nothing more: for all but one of several processes that do the same work."""
    progress_console.quiet = result_console.quiet = True


def say(message: str) -> None:
    """One line of narration, on stderr; never broken, so that a path in it can be copied."""
    progress_console.print(message, markup=False, soft_wrap=True)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """A plain table; the first column is left-aligned, the others right-aligned."""
    built = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        built.add_column(column, justify="left" if number == 0 else "right", no_wrap=number == 0)
    for row in rows:
        built.add_row(*(Text(cell) for cell in row))
    return built
