"""SPLIT -> its rows of one subdomain: `topic=tim*` and the like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import get_args

from medverdict import text
from medverdict.errors import DataError
from medverdict.files import jsonl_bytes, sha256_bytes
from medverdict.records import Claim, Label, Split

FIELDS = ("topic", "source", "label", "group", "pair")
_SHOWN = 12  # values in a message


def select(split: Split, conditions: Sequence[str]) -> Split:
    """The rows for which every field named is one of the values given for it; all rows without conditions.

    A condition is `field=value`, a field of FIELDS; `*` stands for any letters, case does not count, and a field that
    is named twice may have either value. The hash is that of the chosen rows, as a file of theirs would have it.

    Raises DataError for a condition that cannot be read and where no row, or only one label, is left.
    """
    if not conditions:
        return split
    wanted: dict[str, list[str]] = {}
    for condition in conditions:
        field, equals, value = condition.partition("=")
        if field not in FIELDS or not equals or not value.strip():
            raise DataError(f"--where {condition}: expected field=value, a field being {', '.join(FIELDS)}.")
        wanted.setdefault(field, []).append(text.normalise(value).casefold())
    rows = tuple(claim for claim in split.claims if _fits(claim, wanted))
    if {claim.label for claim in rows} != set(get_args(Label)):
        found = "only " + rows[0].label + " rows" if rows else "no row"
        raise DataError(f"--where {' '.join(conditions)}: {found} of the {split.name} split. {_held(split, wanted)}")
    return Split(name=split.name, claims=rows, sha256=sha256_bytes(jsonl_bytes(rows)), where=tuple(conditions))


def _fits(claim: Claim, wanted: dict[str, list[str]]) -> bool:
    return all(
        any(fnmatchcase(str(getattr(claim, field)).casefold(), value) for value in values)
        for field, values in wanted.items()
    )


def _held(split: Split, wanted: dict[str, list[str]]) -> str:
    """The values that its rows have, for a person to choose from."""
    told = []
    for field in wanted:
        counts = Counter(getattr(claim, field) for claim in split.claims).most_common()
        shown = ", ".join(f"{value or '(empty)'} ({count})" for value, count in counts[:_SHOWN])
        told.append(f"Its {field}s: {shown}{', …' if len(counts) > _SHOWN else ''}.")
    return " ".join(told)
