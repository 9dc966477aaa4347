"""FILE -> CLAIMS: one labelled file, each row a Claim or a Dropped with its reason."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from medverdict import text
from medverdict.console import say
from medverdict.data.group import assign_groups
from medverdict.data.rows import Clean, Row, read_rows
from medverdict.errors import DataError
from medverdict.files import read_records, sha256_file, write_jsonl
from medverdict.records import Claim, Dropped, Label, Split

MAX_CHARS = 2000
"""Longest claim, in characters after normalising: some 700 tokens, and ten times the longest of ours."""
_HOPELESS = 100
"""Times as long, no normalising brings a claim back to its length: it is not even looked at."""

_LABELS: dict[str, Label] = {
    "true": "TRUE", "đúng": "TRUE", "1": "TRUE",
    "false": "FALSE", "sai": "FALSE", "0": "FALSE",
}  # fmt: skip


class Mojibake(NamedTuple):
    """A text that was decoded with the wrong code page."""

    line: int
    """As in Dropped."""
    before: str
    """As it stands in the file."""
    after: str
    """As it is, or would be, repaired."""


class Reading(NamedTuple):
    """What one file holds."""

    claims: tuple[Claim, ...]
    """The usable rows in file order; their group is empty, or what the file says."""
    lines: tuple[int, ...]
    """Where each of them stands, as in Dropped."""
    dropped: tuple[Dropped, ...]
    """The rows left out."""
    mojibake: tuple[Mojibake, ...]
    """Rows that look wrongly decoded; repaired in `claims` only where that was asked for."""


def read_claims(path: Path, *, repair_mojibake: bool = False, max_chars: int = MAX_CHARS) -> Reading:
    """Read JSONL or CSV with the columns of `rows.COLUMNS`, or stored Claim records.

    Labels: TRUE/FALSE, Đúng/Sai, 1/0 in any case, JSON booleans. Ids: the file's own, else `<stem>:<line>`; a plain
    number (such as STT) becomes `<stem>:<number>`. Pair names become `<stem>:<pair>`, so that two files may use the
    same ones. A group, where given, is kept as it is and means the same in all files.

    A row is dropped, with its reason, when its text is empty or longer than `max_chars`. Repeated and contradicting
    rows are kept here (a test is scored as it is) and dropped by `prepare`. Mojibake is only reported unless
    `repair_mojibake`.

    Raises DataError when the file is of no use as a whole: absent, a folder, empty, not UTF-8, broken at a line,
    without a needed column, with an unknown label, with ids twice, or without one usable row.
    """
    clean: Clean = text.repair_mojibake if repair_mojibake else text.normalise
    too_long = f"longer than {max_chars} characters"
    claims: list[Claim] = []
    lines: list[int] = []
    dropped: list[Dropped] = []
    mojibake: list[Mojibake] = []
    for row in read_rows(path, clean):
        written = _text(path, row, "claim")
        if len(written) > _HOPELESS * max_chars:
            dropped.append(Dropped(file=path.name, line=row.line, reason=too_long, text=written))
            continue
        if text.looks_like_mojibake(written):
            mojibake.append(Mojibake(row.line, written, text.repair_mojibake(written)))
        claim_text = clean(written)
        if not claim_text:
            dropped.append(Dropped(file=path.name, line=row.line, reason="empty text", text=written))
            continue
        label = _label(path, row, clean)
        if len(claim_text) > max_chars:
            dropped.append(Dropped(file=path.name, line=row.line, reason=too_long, text=written))
            continue
        claims.append(_claim(path, row, claim_text, label))
        lines.append(row.line)
    _require_rows(path, claims, dropped)
    _require_unique_ids(path, claims)
    return Reading(tuple(claims), tuple(lines), tuple(dropped), tuple(mojibake))


def read_split(path: Path, name: str = "") -> Split:
    """Read a set of claims as it is: a stored split, or any labelled file, whose groups are then assigned.

    The split is called after its file unless said otherwise. No row is left out: one without a text is an error,
    for a test that lost rows is another test. Raises DataError as `read_claims`.
    """
    stored = _stored(path)
    if stored is None:
        reading = read_claims(path, max_chars=sys.maxsize)
        if reading.dropped:
            lines = ", ".join(str(row.line) for row in reading.dropped[:10])
            raise DataError(f"{path}: {len(reading.dropped)} rows without a text (line {lines}); remove them.")
        warn_of_mojibake(path, reading)
        stored = assign_groups(reading.claims)
    return Split(name=name or path.stem, claims=stored, sha256=sha256_file(path))


def write_split(path: Path, name: str, claims: Sequence[Claim]) -> Split:
    """Store claims as a split; the same claims give the same bytes. Raises RunError when the disk refuses."""
    sha256 = write_jsonl(path, claims)
    return Split(name=name, claims=tuple(claims), sha256=sha256)


def warn_of_mojibake(path: Path, reading: Reading) -> None:
    """Say how many rows look wrongly decoded, with one before and after."""
    if reading.mojibake:
        first = reading.mojibake[0]
        say(
            f"{path}: {len(reading.mojibake)} rows look like mojibake, such as line {first.line}: "
            f"{first.before[:60]!r} for {first.after[:60]!r}."
        )


def _stored(path: Path) -> tuple[Claim, ...] | None:
    """The claims of a stored split; None where the file's first line is not a stored Claim."""
    try:
        with path.open("rb") as file:
            Claim.model_validate_json(file.readline())
    except (OSError, ValueError):
        return None
    return tuple(read_records(path, Claim))


def _claim(path: Path, row: Row, claim_text: str, label: Label) -> Claim:
    given = {meaning: text.normalise(_text(path, row, meaning)) for meaning in row.cells if meaning != "label"}
    identifier = given.get("id", "")
    if "id" in row.cells and not identifier:
        raise DataError(f"{path}, line {row.line}: the id is empty; give every row one, or remove the column.")
    if not identifier or identifier.isdecimal():
        identifier = f"{path.stem}:{identifier or row.line}"
    pair = given.get("pair", "")
    return Claim(
        id=identifier,
        text=claim_text,
        label=label,
        group=given.get("group", ""),
        pair=f"{path.stem}:{pair}" if pair else "",
        source=given.get("source", "") or path.stem,
        topic=given.get("topic", ""),
    )


def _text(path: Path, row: Row, meaning: str) -> str:
    """A cell as text; a missing one is empty, a number is written out, all else is an error."""
    value = row.cells.get(meaning)
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool) and meaning != "claim":
        return str(value)
    if not isinstance(value, str):
        kind = type(value).__name__
        raise DataError(f"{path}, line {row.line}: the {meaning} is of type {kind}; expected text.")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise DataError(
            f"{path}, line {row.line}: the {meaning} holds half a character (a lone surrogate such as \\ud800); "
            "write the character out."
        ) from None
    return value


def _label(path: Path, row: Row, clean: Clean) -> Label:
    value = row.cells["label"]
    written = str(value) if isinstance(value, bool) else _text(path, row, "label")
    label = _LABELS.get(clean(written).casefold())
    if label is None:
        hint = " It looks like mojibake: repair it on request." if text.looks_like_mojibake(written) else ""
        raise DataError(
            f"{path}, line {row.line}: unknown label {written[:40]!r}; expected TRUE/FALSE, Đúng/Sai or 1/0.{hint}"
        )
    return label


def _require_rows(path: Path, claims: Iterable[Claim], dropped: Sequence[Dropped]) -> None:
    if any(True for _ in claims):
        return
    reasons = Counter(row.reason for row in dropped)
    if not reasons:
        raise DataError(f"{path}: no rows below the header.")
    why = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
    raise DataError(f"{path}: no usable rows; all were dropped ({why}).")


def _require_unique_ids(path: Path, claims: Iterable[Claim]) -> None:
    twice = [name for name, count in Counter(claim.id for claim in claims).items() if count > 1]
    if twice:
        shown = ", ".join(twice[:5]) + (", …" if len(twice) > 5 else "")
        raise DataError(
            f"{path}: {len(twice)} ids stand more than once: {shown}. Ids must be unique; remove or rename."
        )
