"""Rows of results -> one SVG drawing: a mark a system, with its interval, on a line where a coin would be."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

THEMES = {
    "light": {
        "paper": "#ffffff",
        "ink": "#1f2328",
        "soft": "#59636e",
        "grid": "#e4e8ec",
        "baseline": "#6e7781",
        "published": "#bc4c00",
        "measured": "#0969da",
    },
    "dark": {
        "paper": "#0d1117",
        "ink": "#f0f6fc",
        "soft": "#9198a1",
        "grid": "#262c36",
        "baseline": "#9198a1",
        "published": "#f0883e",
        "measured": "#58a6ff",
    },
}
"""The page colours of the two themes that README readers have; every mark is told apart by shape as well."""
LEGEND = {"measured": "measured here", "published": "published by others", "baseline": "baseline, measured here"}
WIDTH, ROW, TOP, BOTTOM = 760, 30, 64, 46
_VALUE = 62  # room right of the axis for the number
_LETTER = 7.2  # widest mean width of a letter at 13 units, over common sans-serif fonts


def chart(rows: Sequence[dict[str, Any]], label: str, theme: str) -> str:
    """The drawing of rows in their order; `label` says what the test is.

    Text stays text, in the reader's own sans-serif font, so that it can be read aloud and searched.
    """
    colours = THEMES[theme]
    left: float = 24 + _LETTER * max(len(row["system"]) for row in rows)
    right = WIDTH - _VALUE
    bottom = TOP + ROW * len(rows)
    ends: list[float] = [value for row in rows for value in row["accuracy"] if value is not None] + [50.0]
    low, high = 5 * math.floor((min(ends) - 1) / 5), 5 * math.ceil((max(ends) + 1) / 5)

    def at(value: float) -> float:
        share = (value - low) / (high - low)
        return round(left + share * (right - left), 1)

    parts = _legend([kind for kind in LEGEND if any(row["kind"] == kind for row in rows)], colours)
    for tick in range(low, high + 1, 5 if high - low <= 40 else 10):
        parts.append(_line(at(tick), TOP - 4, at(tick), bottom, colours["grid"]))
        parts.append(_text(at(tick), bottom + 18, f"{tick}", colours["soft"], "middle", 12))
    parts.append(_line(at(50), TOP - 4, at(50), bottom, colours["soft"], 'stroke-dasharray="3 3"'))
    parts.append(_text(at(50), TOP - 10, "a coin", colours["soft"], "middle", 12))
    for place, row in enumerate(rows):
        parts += _row(row, TOP + ROW * place + ROW / 2, at, colours)
    told = f"accuracy in %, {label}; bar: 95 % interval"
    parts.append(_text(WIDTH - 14, bottom + 38, told, colours["soft"], "end", 12))
    height = bottom + BOTTOM
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" width="{WIDTH}" height="{height:g}" '
        f'role="img" font-family="system-ui, -apple-system, \'Segoe UI\', Helvetica, Arial, sans-serif">\n'
        f"<title>{escape(told)}</title>\n"
        f'<rect width="{WIDTH}" height="{height:g}" rx="6" fill="{colours["paper"]}"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _row(row: dict[str, Any], y: float, at: Callable[[float], float], colours: dict[str, str]) -> list[str]:
    """Name, interval, mark and number of one system."""
    value, low, high = row["accuracy"]
    colour = colours[row["kind"]]
    own = row["kind"] == "measured"
    weight = 'font-weight="600"' if own else ""
    parts = [_text(14, y + 4.5, row["system"], colours["ink"], "start", 13, weight)]
    if low is not None:
        parts.append(_line(at(low), y, at(high), y, colour, 'stroke-width="5" stroke-linecap="round" opacity=".4"'))
    parts.append(_mark(row["kind"], at(value), y, colours))
    parts.append(_text(WIDTH - 14, y + 4.5, f"{value:.1f} %", colours["ink"], "end", 13, weight))
    return parts


def _legend(kinds: Sequence[str], colours: dict[str, str]) -> list[str]:
    parts, x = [], 20.0
    for kind in kinds:
        parts.append(_mark(kind, x, 24, colours))
        parts.append(_text(x + 12, 28.5, LEGEND[kind], colours["ink"], "start", 13))
        x += 36 + len(LEGEND[kind]) * _LETTER
    return parts


def _mark(kind: str, x: float, y: float, colours: dict[str, str]) -> str:
    """A full circle for what was measured, a hollow one for what others say, a diamond for a baseline."""
    colour = colours[kind]
    if kind == "baseline":
        return f'<path d="M{x:g} {y - 6:g}l6 6-6 6-6-6z" fill="{colour}"/>'
    if kind == "published":
        return f'<circle cx="{x:g}" cy="{y:g}" r="5" fill="{colours["paper"]}" stroke="{colour}" stroke-width="2.5"/>'
    return f'<circle cx="{x:g}" cy="{y:g}" r="6" fill="{colour}"/>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, more: str = "") -> str:
    return f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" stroke="{colour}" {more}/>'.replace(" />", "/>")


def _text(x: float, y: float, text: str, colour: str, anchor: str, size: int, more: str = "") -> str:
    placed = f'x="{x:g}" y="{y:g}" fill="{colour}" text-anchor="{anchor}" font-size="{size}"'
    return f"<text {' '.join(filter(None, (placed, more)))}>{escape(text)}</text>"
