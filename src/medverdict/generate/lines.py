"""A knowledge file of JSON lines -> its lines that hold something, with their numbers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from medverdict.errors import DataError


def written_lines(path: Path) -> Iterator[tuple[int, str]]:
    """1-based number and text of every line that is not blank. Raises DataError for a file that is not UTF-8 text."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: cannot be read as UTF-8 JSON lines ({error}). docs/data.md says where it comes from."
        ) from None
    yield from ((number, line) for number, line in enumerate(lines, start=1) if line.strip())
