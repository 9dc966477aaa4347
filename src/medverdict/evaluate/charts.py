"""Charts as small SVG drawings whose colours the page's style sheet sets, so that they follow light and dark.

Drawn 360 units wide with text at 12, so that a phone shows them at their own size. No script, no font, no network.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from medverdict.evaluate.records import Histogram, ReliabilityBin, RiskRow, Slice, System
from medverdict.evaluate.wording import percent, points
from medverdict.records import HistoryRow, Metric

WIDTH = 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 12, 26, 40
_ROW = 38


@dataclass(frozen=True)
class Axis:
    """A linear scale from values to units of the drawing."""

    low: float
    high: float
    start: float
    """Where `low` lies."""
    end: float
    """Where `high` lies."""
    show: Callable[[float], str]
    """A tick's text."""

    def at(self, value: float) -> float:
        """Position of a value, held inside the axis."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self) -> list[float]:
        """Four to seven round values."""
        raw = (self.high - self.low) / 5
        size = 10 ** math.floor(math.log10(raw))
        step = next(size * k for k in (1, 2, 2.5, 5, 10) if size * k >= raw * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        return [i * step for i in range(first, math.floor(self.high / step + 1e-9) + 1)]


def judges(systems: Sequence[System], pick: Callable[[System], Metric], label: str) -> str:
    """One bar a judge with its interval, the model first, and a line at a coin's 50 %."""
    axis = Axis(0, 1, 2, WIDTH - 12, lambda v: percent(v, 0))
    height = 22 + _ROW * len(systems) + 22
    parts = _vertical_grid(axis, 14, height - 22)
    parts.append(_line(axis.at(0.5), 14, axis.at(0.5), height - 22, "coin"))
    parts.append(_text(axis.at(0.5), 10, "coin", "middle"))
    for i, system in enumerate(systems):
        metric, y = pick(system), 30 + _ROW * i
        name = "This model" if i == 0 else system.title
        parts.append(_text(2, y, name, "start", "strong" if i == 0 else ""))
        parts.append(_text(WIDTH - 12, y, percent(metric.value), "end", "strong" if i == 0 else ""))
        if metric.value is not None:
            parts.append(
                _rect(axis.at(0), y + 5, axis.at(metric.value) - axis.at(0), 12, "model" if i == 0 else "rival")
            )
            parts += _whisker(axis, metric, y + 11)
    return _svg(height, label, parts)


def excess(slices: Sequence[Slice], label: str) -> str:
    """One dot a slice: how much more often it is judged wrong than all other rows, with its interval."""
    ends = [abs(v) for s in slices for v in (s.excess.value, s.excess.low, s.excess.high) if v is not None]
    reach = min(1.0, math.ceil(max([0.1, *ends]) * 10) / 10)
    axis = Axis(-reach, reach, 14, WIDTH - 14, lambda v: points(v).removesuffix(".0"))
    height = 16 + _ROW * len(slices) + 40
    parts = _vertical_grid(axis, 6, height - 40)
    parts.append(_line(axis.at(0), 6, axis.at(0), height - 40, "coin"))
    for i, item in enumerate(slices):
        y, metric = 22 + _ROW * i, item.excess
        parts.append(_text(2, y, f"{item.family}: {item.name}"[:52], "start"))
        parts.append(_text(WIDTH - 2, y, f"n {metric.n:,}", "end", "soft"))
        if metric.value is not None:
            parts += _whisker(axis, metric, y + 12)
            parts.append(_circle(axis.at(metric.value), y + 12, 4.5, "model"))
    parts.append(_text(WIDTH / 2, height - 6, "more right  ←  points  →  more wrong", "middle", "soft"))
    return _svg(height, label, parts)


def reliability_curve(bins: Sequence[ReliabilityBin], label: str) -> str:
    """Observed share of TRUE over predicted p(TRUE); on the diagonal, confidence means what it says."""
    height = 330
    x, y = _share_axes(0, 1, height)
    parts = [*_frame(x, y, "predicted p(TRUE)", "share that is TRUE")]
    parts.append(_line(x.at(0), y.at(0), x.at(1), y.at(1), "coin"))
    for item in bins:
        at, observed = x.at(item.predicted), item.observed
        if observed.value is None:
            continue
        if observed.low is not None and observed.high is not None:
            parts.append(_line(at, y.at(observed.low), at, y.at(observed.high), "whisker"))
        parts.append(_circle(at, y.at(observed.value), 4.5, "model"))
    return _svg(height, label, parts)


def risk_curve(rows: Sequence[RiskRow], chosen: RiskRow | None, label: str) -> str:
    """Accuracy of the answered rows over the share answered, with its interval as a band."""
    height = 280
    known = [r for r in rows if r.accuracy.value is not None]
    floor = min([0.5, *(r.accuracy.low for r in known if r.accuracy.low is not None)])
    x, y = _share_axes(math.floor(floor * 10) / 10, 1, height)
    parts = [*_frame(x, y, "share answered, the surest first", "right among them")]
    banded = [r for r in known if r.accuracy.low is not None and r.accuracy.high is not None]
    upper = [(x.at(r.coverage), y.at(r.accuracy.high or 0)) for r in banded]
    lower = [(x.at(r.coverage), y.at(r.accuracy.low or 0)) for r in reversed(banded)]
    parts.append(f'<polygon class="band" points="{_points([*upper, *lower])}"/>')
    parts.append(_polyline([(x.at(r.coverage), y.at(r.accuracy.value or 0)) for r in known], "model"))
    if chosen and chosen.accuracy.value is not None:
        at, up = x.at(chosen.coverage), y.at(chosen.accuracy.value)
        parts.append(_circle(at, up, 5, "chosen"))
        parts.append(_text(min(max(at, 90), WIDTH - 52), up + 34, "chosen on dev", "middle"))
    return _svg(height, label, parts)


def margins(found: Histogram, threshold: float | None, label: str) -> str:
    """Margins of TRUE rows upwards and of FALSE rows downwards; a good judge parts them at the threshold."""
    height, most = 290, 1.2 * max([1, *found.true_rows, *found.false_rows])
    x = Axis(found.edges[0], found.edges[-1], _LEFT, WIDTH - _RIGHT, lambda v: f"{v:g}".replace("-", "\N{MINUS SIGN}"))
    y = Axis(-most, most, height - _BOTTOM, _TOP, lambda v: f"{abs(v):.0f}")
    parts = _frame(x, y, "margin", "rows")
    width = (x.end - x.start) / len(found.true_rows)
    for i, (up, down) in enumerate(zip(found.true_rows, found.false_rows, strict=True)):
        left = round(x.start + i * width, 1)
        parts.append(_rect(left, y.at(up), width - 1, y.at(0) - y.at(up), "true"))
        parts.append(_rect(left, y.at(0), width - 1, y.at(-down) - y.at(0), "false"))
    if threshold is not None and found.edges[0] <= threshold <= found.edges[-1]:
        parts.append(_line(x.at(threshold), _TOP, x.at(threshold), height - _BOTTOM, "coin"))
        parts.append(_text(min(max(x.at(threshold), 76), WIDTH - 44), 12, "threshold", "middle", "soft"))
    parts.append(_text(_LEFT + 4, _TOP + 12, "TRUE claims ↑", "start", "strong"))
    parts.append(_text(_LEFT + 4, height - _BOTTOM - 5, "FALSE claims ↓", "start", "strong"))
    return _svg(height, label, parts)


def learning_accuracy(history: Sequence[HistoryRow], label: str) -> str:
    """Dev accuracy over training steps."""
    found = [(row.step, row.dev_accuracy) for row in history if row.dev_accuracy is not None]
    low = min(0.5, math.floor(min(v for _, v in found) * 10) / 10)
    high = min(1.0, max(low + 0.3, math.ceil(max(v for _, v in found) * 10) / 10))
    return _curve(found, (low, high), "right on dev", label, dots=True, show=lambda v: percent(v, 0))


def learning_loss(history: Sequence[HistoryRow], label: str) -> str:
    """Training loss over steps, each value the mean of its neighbours so that the trend shows."""
    raw = [(row.step, row.loss) for row in history if row.loss is not None]
    reach = max(1, len(raw) // 40)
    smooth = []
    for i, (step, _) in enumerate(raw):
        near = [loss for _, loss in raw[max(0, i - reach) : i + reach + 1]]
        smooth.append((step, sum(near) / len(near)))
    return _curve(smooth, (0, max(v for _, v in smooth) * 1.05 or 1.0), "loss", label, show=lambda v: f"{v:g}")


def _curve(
    values: Sequence[tuple[int, float]],
    ends: tuple[float, float],
    y_title: str,
    label: str,
    show: Callable[[float], str],
    dots: bool = False,
) -> str:
    height = 230
    x = Axis(0, max(1, *(step for step, _ in values), 1), _LEFT, WIDTH - _RIGHT, lambda v: f"{v:,.0f}")
    y = Axis(ends[0], ends[1], height - _BOTTOM, _TOP, show)
    placed = [(x.at(step), y.at(value)) for step, value in values]
    parts = [*_frame(x, y, "step", y_title), _polyline(placed, "model")]
    if dots:
        parts += [_circle(at, up, 3.5, "model") for at, up in placed]
    return _svg(height, label, parts)


def _share_axes(low: float, high: float, height: float) -> tuple[Axis, Axis]:
    x = Axis(0, 1, _LEFT, WIDTH - _RIGHT, lambda v: percent(v, 0))
    return x, Axis(low, high, height - _BOTTOM, _TOP, lambda v: percent(v, 0))


def _frame(x: Axis, y: Axis, x_title: str, y_title: str) -> list[str]:
    """Grid, ticks and names of two axes; the vertical one's name stands above it."""
    parts = [_text(2, 12, y_title, "start", "soft")]
    for tick in y.ticks():
        parts.append(_line(x.start, y.at(tick), x.end, y.at(tick), "grid"))
        parts.append(_text(x.start - 6, y.at(tick) + 4, y.show(tick), "end", "soft"))
    parts += [_tick_text(x, tick, y.start + 16) for tick in x.ticks()]
    parts.append(_text((x.start + x.end) / 2, y.start + 34, x_title, "middle", "soft"))
    return parts


def _vertical_grid(axis: Axis, top: float, bottom: float) -> list[str]:
    lines = [_line(axis.at(tick), top, axis.at(tick), bottom, "grid") for tick in axis.ticks()]
    return lines + [_tick_text(axis, tick, bottom + 16) for tick in axis.ticks()]


def _tick_text(axis: Axis, tick: float, y: float) -> str:
    """A tick below a horizontal axis, kept inside the drawing."""
    at, words = axis.at(tick), axis.show(tick)
    half = 4 * len(words)
    return _text(min(max(at, half), WIDTH - half), y, words, "middle", "soft")


def _whisker(axis: Axis, metric: Metric, y: float) -> list[str]:
    if metric.low is None or metric.high is None:
        return []
    low, high = axis.at(metric.low), axis.at(metric.high)
    ends = [_line(at, y - 4, at, y + 4, "whisker") for at in (low, high)]
    return [_line(low, y, high, y, "whisker"), *ends]


def _svg(height: float, label: str, parts: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'


def _text(x: float, y: float, words: str, anchor: str, kind: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">{escape(words)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _rect(x: float, y: float, width: float, height: float, kind: str) -> str:
    return f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{max(height, 0):.1f}"/>'


def _circle(x: float, y: float, radius: float, kind: str) -> str:
    return f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{radius}"/>'


def _polyline(placed: Sequence[tuple[float, float]], kind: str) -> str:
    return f'<polyline class="{kind}" points="{_points(placed)}"/>'


def _points(placed: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
