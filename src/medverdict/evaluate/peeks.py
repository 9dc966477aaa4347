"""The peek log: each look at a test set is counted and dated beside it, because every look spends some of it."""

from __future__ import annotations

import json
import os
import re
from datetime import UTC, datetime
from pathlib import Path

from medverdict.evaluate.records import Peek
from medverdict.files import disk_error, read_records


def marked_as_test(data: Path) -> bool:
    """Whether a file's name says that it is a test set: a part of its stem is `test` or `holdout`."""
    return bool({"test", "holdout"} & set(re.split(r"[^a-z]+", data.stem.lower())))


def record_peek(data: Path, data_sha256: str, run: str, fallback: Path) -> tuple[list[Peek], Path]:
    """Add one look and give all looks so far, oldest first, with the log they stand in.

    The log is `NAME.peeks.jsonl` beside the data; where that folder can't be written, or is part of the installed
    package, it is `peeks/NAME.peeks.jsonl` under `fallback`. Looks in either place count.
    Raises RunError when the log can't be written, and DataError when a log is damaged.
    """
    read_peeks(data, fallback)
    beside, away = _logs(data, fallback)
    log = beside if _may_write(data.parent) else away
    peek = Peek(when=datetime.now(UTC).isoformat(timespec="seconds"), run=run, data_sha256=data_sha256)
    try:
        _append(log, json.dumps(peek.model_dump(mode="json"), ensure_ascii=False) + "\n")
    except OSError as error:
        raise disk_error(error, log) from error
    return read_peeks(data, fallback), log


def read_peeks(data: Path, fallback: Path) -> list[Peek]:
    """All looks at a test set, oldest first. Raises DataError when a log is damaged."""
    found = [peek for log in _logs(data, fallback) if log.exists() for peek in read_records(log, Peek)]
    return sorted(found, key=lambda peek: peek.when)


def _logs(data: Path, fallback: Path) -> tuple[Path, Path]:
    return data.with_name(f"{data.name}.peeks.jsonl"), fallback / "peeks" / f"{data.name}.peeks.jsonl"


def _may_write(folder: Path) -> bool:
    package = Path(__file__).resolve().parent.parent
    return os.access(folder, os.W_OK) and package not in (folder.resolve(), *folder.resolve().parents)


def _append(log: Path, line: str) -> None:
    """One write at the end of the file, so that two commands at once don't tear each other's lines."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab", buffering=0) as file:
        file.write(line.encode("utf-8"))
