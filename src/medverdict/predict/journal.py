"""What a long job has scored so far, on disk: a cut costs one chunk, not the work."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from medverdict.files import disk_error


class Journal:
    """Margins in row order, a line a chunk, under a first line that says of what.

    It holds numbers only, no text. A line that a cut left unfinished does not count.
    """

    def __init__(self, path: Path, identity: dict[str, str]) -> None:
        self.path = path
        self._identity = identity

    def open(self) -> int:
        """Rows already scored: 0 where the file is absent or speaks of something else, and then it starts anew.

        Raises RunError when the disk refuses.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            end = self._end_of_whole_lines()
            with self.path.open("r+b" if end else "wb") as file:
                file.seek(end)
                file.truncate()
                if not end:
                    file.write(_line(self._identity))
        except OSError as error:
            raise disk_error(error, self.path) from error
        return sum(1 for _ in self.margins())

    def append(self, margins: Sequence[float]) -> None:
        """Keep the next rows; they are on the disk when this returns. Raises RunError when it refuses."""
        try:
            with self.path.open("ab") as file:
                file.write(_line(list(margins)))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise disk_error(error, self.path) from error

    def margins(self) -> Iterator[float]:
        """All that is kept, in row order."""
        with self.path.open("rb") as file:
            file.readline()
            for line in file:
                yield from json.loads(line)

    def remove(self) -> None:
        """The job is done."""
        self.path.unlink(missing_ok=True)

    def _end_of_whole_lines(self) -> int:
        """Where the last whole line ends; 0 where there is nothing to go on from."""
        if not self.path.is_file():
            return 0
        with self.path.open("rb") as file:
            if file.readline() != _line(self._identity):
                return 0
            end = file.tell()
            while (line := file.readline()).endswith(b"\n"):
                end += len(line)
        return end


def _line(value: object) -> bytes:
    return json.dumps(value, allow_nan=False).encode("utf-8") + b"\n"
