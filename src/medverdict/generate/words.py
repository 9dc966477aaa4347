"""words.toml -> the words by which knowledge files are cleaned."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib import resources


def word_list(name: str) -> tuple[str, ...]:
    """A list of words.toml."""
    return tuple(_words()[name])


def any_of(name: str) -> str:
    """A list as one group of a regular expression."""
    return f"(?:{'|'.join(map(re.escape, word_list(name)))})"


def misspelt() -> dict[str, str]:
    """Words of the knowledge files that are spelt wrong, and how they should be."""
    return dict(_words()["misspelt"])


@cache
def _words() -> dict[str, dict[str, str]]:
    content: dict[str, dict[str, str]] = tomllib.loads(
        resources.files(__package__).joinpath("words.toml").read_text(encoding="utf-8")
    )
    return content
