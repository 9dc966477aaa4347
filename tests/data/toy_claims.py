"""Toy claims: sentences of random syllables, so that no two resemble each other unless a test wants it."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from itertools import product
from pathlib import Path

from medverdict.records import Claim, Label, Split

SYLLABLES = ["".join(parts) for parts in product("bcdghklmnprstvx", "aàáăâeêiouư", ("", "n", "m", "ng", "t"))]


def sentence(seed: int, words: int = 14) -> str:
    """A sentence that no other seed has."""
    return " ".join(random.Random(seed).choices(SYLLABLES, k=words)).capitalize() + "."


def claim(name: str, text: str, label: Label = "TRUE", **fields: str) -> Claim:
    return Claim(id=name, text=text, label=label, **fields)


def claims(count: int, first: int = 0, **fields: str) -> list[Claim]:
    """Unrelated claims, labels alternating."""
    return [
        claim(f"c{n}", sentence(n), "TRUE" if n % 2 == 0 else "FALSE", **fields) for n in range(first, first + count)
    ]


def split(name: str, rows: Iterable[Claim]) -> Split:
    rows = tuple(rows)
    return Split(name=name, claims=rows, sha256=f"hash of {name}: {hash(rows)}")


def write_rows(path: Path, rows: Iterable[dict[str, object]]) -> Path:
    """A JSONL file as a user would bring it."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def write_claims(path: Path, rows: Iterable[Claim]) -> Path:
    return write_rows(path, ({"claim": row.text, "label": row.label, "pair_id": row.pair} for row in rows))
