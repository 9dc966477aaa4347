"""What is seen of progress: a bar on a terminal, plain lines in a log."""

import io

import pytest
from rich.console import Console

from medverdict import console
from medverdict.console import progress, say


class Screen:
    """A console's output, and a clock that stands still until it is told."""

    def __init__(self, terminal: bool) -> None:
        self.file, self.now = io.StringIO(), 0.0
        self.console = Console(
            file=self.file, force_terminal=terminal, _environ={}, get_time=lambda: self.now, width=40, highlight=False
        )

    @property
    def lines(self) -> list[str]:
        return self.file.getvalue().splitlines()


@pytest.fixture
def log(monkeypatch):
    screen = Screen(terminal=False)
    monkeypatch.setattr(console, "progress_console", screen.console)
    return screen


def work(screen, bar, rows, seconds_a_row=1.0):
    """Do rows one by one, each in a second."""
    for _ in range(rows):
        screen.now += seconds_a_row
        bar.advance(1)


def test_a_log_gets_a_plain_line_now_and_then_and_one_at_the_end(log):
    with progress("train, a long name of a step", 100) as bar:
        work(log, bar, 9)
        assert log.lines == []
        work(log, bar, 26)
        assert log.lines == [
            "train, a long name of a step 10/100 1.0 rows/s 0:00:10 left 0:01:30",
            "train, a long name of a step 20/100 1.0 rows/s 0:00:20 left 0:01:20",
            "train, a long name of a step 30/100 1.0 rows/s 0:00:30 left 0:01:10",
        ]
        work(log, bar, 65)
    assert len(log.lines) == 10
    assert log.lines[-1] == "train, a long name of a step 100/100 1.0 rows/s 0:01:40 left 0:00:00"
    assert not set(log.file.getvalue()) & {"\r", "\x1b", "━"}


def test_a_log_of_hours_stays_short(log):
    with progress("train", 3600 * 5) as bar:
        work(log, bar, 3600 * 5)
    assert 100 < len(log.lines) < 170


def test_a_job_that_ends_early_says_where_it_was(log):
    with pytest.raises(KeyboardInterrupt), progress("train", 100) as bar:
        work(log, bar, 4)
        raise KeyboardInterrupt
    assert [line.split(" rows/s")[0] for line in log.lines] == ["train 4/100 1.0"]


def test_rows_that_were_done_before_do_not_count_as_speed(log):
    with progress("train", 1000, done=990) as bar:
        work(log, bar, 10, seconds_a_row=0.5)
    assert log.lines == ["train 1000/1000 2.0 rows/s 0:00:05 left 0:00:00"]


def test_one_pass_over_all_rows_took_the_time_it_took(log):
    with progress("dev", 32) as bar:
        log.now = 8.0
        bar.advance(16)
        bar.advance(16)
    assert log.lines == ["dev 32/32 4.0 rows/s 0:00:08 left 0:00:00"]


def test_a_terminal_gets_a_bar(monkeypatch):
    screen = Screen(terminal=True)
    monkeypatch.setattr(console, "progress_console", screen.console)
    with progress("train", 10) as bar:
        bar.advance(10)
    assert "━" in screen.file.getvalue() and "\x1b" in screen.file.getvalue()


def test_a_long_path_in_a_line_stays_whole(log):
    say(f"counted in /{'folder/' * 20}test.jsonl.peeks.jsonl")
    assert log.lines == [f"counted in /{'folder/' * 20}test.jsonl.peeks.jsonl"]
