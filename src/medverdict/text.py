"""The only place that normalises claim text, so that equal claims are equal bytes everywhere."""

from __future__ import annotations

import re
import unicodedata

import ftfy

_CONTROL = re.compile("[\x00-\x08\x0e-\x1b\x7f\u200b-\u200d\u2060\ufeff\u00ad]")
_FTFY = ftfy.TextFixerConfig(
    unescape_html=False,
    uncurl_quotes=False,
    fix_character_width=False,
    fix_latin_ligatures=False,
    normalization="NFC",
    explain=False,
)


def normalise(text: str) -> str:
    """NFC, control and zero-width characters removed, runs of white space as one space, trimmed.

    Case and punctuation stay: they are part of what a person wrote.
    """
    return " ".join(_CONTROL.sub("", unicodedata.normalize("NFC", text)).split())


def fold(text: str) -> str:
    """The key under which two claims count as the same: normalised, case folded, punctuation as spaces."""
    folded = normalise(text).casefold()
    kept = "".join(c if c.isalnum() or unicodedata.category(c).startswith("M") else " " for c in folded)
    return " ".join(kept.split())


def repair_mojibake(text: str) -> str:
    """Undo text that was decoded with the wrong code page, such as `giáº£m` for `giảm`."""
    return normalise(ftfy.fix_text(text, _FTFY))


def looks_like_mojibake(text: str) -> bool:
    """Whether repairing would change the text beyond normalising it."""
    return repair_mojibake(text) != normalise(text)
