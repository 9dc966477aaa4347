"""A report as one self-contained page: no script, no network, readable on a phone and in the dark."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib import resources
from string import Template

from medverdict.errors import NOT_ADVICE
from medverdict.evaluate import charts, tables
from medverdict.evaluate.records import Report, Slice
from medverdict.evaluate.tables import Sheet
from medverdict.evaluate.wording import percent, percent_interval, points, points_interval

TAGS = {
    "better": ("better", "Better than the best baseline"),
    "worse": ("worse", "Worse than the best baseline"),
    "no detectable difference": ("even", "No detectable difference from the best baseline"),
    "undefined": ("even", "Accuracy is undefined on these claims"),
}
SLICES_DRAWN = 8


def render_html(report: Report) -> str:
    """The whole page as well-formed HTML."""
    title = f"{report.name} on {report.context.data}"
    sections = [
        _hero(report, title),
        _baselines(report),
        _metrics(report),
        _slices(report),
        _confidence(report),
        _learning(report),
        _mistakes(report),
        _made(report),
    ]
    page = resources.files(__package__).joinpath("page.html").read_text(encoding="utf-8")
    body = "\n".join(section for section in sections if section)
    return Template(page).substitute(title=escape(title), body=body)


def _hero(report: Report, title: str) -> str:
    kind, words = TAGS[report.outcome]
    model, best = report.systems[0], report.systems[1]
    figures = [_figure("Right answers", percent(model.accuracy.value), percent_interval(model.accuracy), "main")]
    figures.append(_figure("Best baseline", percent(best.accuracy.value), best.title))
    if best.lead and best.lead.value is not None:
        figures.append(_figure("Lead, points", points(best.lead.value), points_interval(best.lead)))
    easy = f"{percent_interval(model.hard)}; on the easy ones {percent(model.easy.value)}"
    figures.append(_figure("On the hard claims", percent(model.hard.value), easy))
    findings = "".join(f"<li>{escape(sentence)}</li>" for sentence in report.findings)
    return (
        f'<header><h1>{escape(title)}</h1><p class="notice" role="note">{escape(NOT_ADVICE)}</p></header>\n'
        f'<section class="hero" aria-label="Headline"><p class="tag {kind}">{escape(words)}</p>'
        f'<dl class="figures">{"".join(figures)}</dl><p class="lead">{escape(report.headline)}</p>'
        f'<ul class="findings">{findings}</ul></section>'
    )


def _baselines(report: Report) -> str:
    everything = charts.judges(
        report.systems, lambda s: s.accuracy, _spoken("Accuracy on all claims", report, "accuracy")
    )
    hard = charts.judges(report.systems, lambda s: s.hard, _spoken("Accuracy on the hard claims", report, "hard"))
    drawn = _figures(
        ("All claims", f"{report.n:,} claims; bars with 95 % intervals", everything),
        ("Hard claims only", f"the {report.hard_rows:,} that the keyword rule gets wrong", hard),
    )
    twins = tables.twins_sheet(report)
    return _section(
        "Does it beat judges that know no medicine?", drawn, _table(tables.systems_sheet(report)), _table(twins)
    )


def _metrics(report: Report) -> str:
    metrics, confusion = _table(tables.metrics_sheet(report)), _table(tables.confusion_sheet(report))
    return _section(
        "How good is it, by every measure?", f'<div class="pair"><div>{metrics}</div><div>{confusion}</div></div>'
    )


def _slices(report: Report) -> str:
    slices = report.mistakes.slices
    worse = [s for s in slices if (s.excess.value or 0) > 0][:SLICES_DRAWN]
    better = [s for s in reversed(slices) if (s.excess.value or 0) < 0][:SLICES_DRAWN]
    drawn = [
        (title, "points of error more than on all other claims", charts.excess(shown, _spoken_slices(title, shown)))
        for title, shown in (("More often wrong", worse), ("Less often wrong", better))
        if shown
    ]
    sheet = tables.slices_sheet(report.mistakes)
    return _section("Where does it go wrong?", _figures(*drawn), _folded("All slices", _table(sheet)))


def _confidence(report: Report) -> str:
    run = report.context.run
    error = report.metrics["calibration error"].value
    reliability = charts.reliability_curve(
        report.reliability, f"Reliability diagram in {len(report.reliability)} bins; calibration error {error}"
    )
    risk = charts.risk_curve(
        report.risk,
        report.abstention,
        "Risk and coverage: "
        + "; ".join(f"{percent(r.coverage, 0)} answered, {percent(r.accuracy.value)} right" for r in report.risk),
    )
    margin = charts.margins(
        report.histogram,
        run.calibration.threshold if run else None,
        "Histogram of margins, TRUE claims up, FALSE claims down",
    )
    drawn = _figures(
        ("Reliability", "on the dashed line, 80 % sure means right 80 % of the time", reliability),
        ("Answering only when sure", "the fewer claims it answers, the more it should get right", risk),
        ("Margins", "a good judge parts TRUE (right) from FALSE (left)", margin),
    )
    sheets = _table(tables.risk_sheet(report)) + _table(tables.conformal_sheet(report))
    return _section(
        "Can its confidence be trusted?",
        drawn,
        _folded("The figures, and answers with a promise", sheets),
    )


def _learning(report: Report) -> str:
    history = report.context.history
    drawn = []
    if any(row.dev_accuracy is not None for row in history):
        label = "Dev accuracy by training step"
        drawn.append(
            (
                "Dev accuracy",
                "step 0 is the untrained base; verdicts at margin 0",
                charts.learning_accuracy(history, label),
            )
        )
    if any(row.loss is not None for row in history):
        drawn.append(
            ("Training loss", "mean over neighbouring steps", charts.learning_loss(history, "Training loss by step"))
        )
    return _section("How did it learn?", _figures(*drawn)) if drawn else ""


def _mistakes(report: Report) -> str:
    mistakes = report.mistakes
    sheets = [
        tables.confident_sheet(mistakes),
        tables.twin_mistakes_sheet(mistakes),
        tables.suspects_sheet(mistakes),
        tables.audit_sheet(report),
    ]
    kept = [sheet for sheet in sheets if sheet and sheet.rows]
    folded = (_folded(sheet.title, _table(sheet, "texts"), is_open=i == 0) for i, sheet in enumerate(kept))
    return _section("Which claims?", *folded)


def _made(report: Report) -> str:
    sheet = tables.made_sheet(report)
    end = f"<footer><p>Every number here is computed from the stored predictions. {escape(NOT_ADVICE)}</p></footer>"
    return _section(sheet.title, _table(sheet, "facts")) + end


def _spoken(what: str, report: Report, field: str) -> str:
    """A chart of judges for who can't see it."""
    judged = (
        f"{'this model' if i == 0 else s.title} {percent(getattr(s, field).value)}"
        for i, s in enumerate(report.systems)
    )
    return f"{what}: {'; '.join(judged)}"


def _spoken_slices(title: str, shown: Sequence[Slice]) -> str:
    return f"{title}: " + "; ".join(f"{s.family} {s.name} {points(s.excess.value or 0)} points" for s in shown)


def _section(title: str, *parts: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{''.join(parts)}</section>"


def _figure(name: str, value: str, small: str, kind: str = "") -> str:
    return f'<div class="{kind}"><dt>{escape(name)}</dt><dd>{escape(value)}<small>{escape(small)}</small></dd></div>'


def _figures(*drawn: tuple[str, str, str]) -> str:
    figures = (
        f"<figure><figcaption>{escape(title)}<span>{escape(note)}</span></figcaption>{svg}</figure>"
        for title, note, svg in drawn
    )
    return f'<div class="charts">{"".join(figures)}</div>'


def _folded(title: str, inside: str, is_open: bool = False) -> str:
    start = '<details open="open">' if is_open else "<details>"
    return f"{start}<summary>{escape(title)}</summary>{inside}</details>"


def _table(sheet: Sheet | None, kind: str = "") -> str:
    """A captioned table that scrolls inside its own box; the first cell of a row names it."""
    if sheet is None:
        return ""
    columns = "".join(f'<th scope="col">{escape(column)}</th>' for column in sheet.columns)
    head = f"<thead><tr>{columns}</tr></thead>" if any(sheet.columns) else ""
    body = "".join(_row(cells) for cells in sheet.rows)
    note = f'<p class="note">{escape(sheet.note)}</p>' if sheet.note else ""
    box = f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(sheet.title)}">'
    caption = f"<caption>{escape(sheet.title)}</caption>"
    return f'{note}{box}<table class="{kind}">{caption}{head}<tbody>{body}</tbody></table></div>'


def _row(cells: Sequence[str]) -> str:
    rest = "".join(f"<td>{escape(cell)}</td>" for cell in cells[1:])
    return f'<tr><th scope="row">{escape(cells[0])}</th>{rest}</tr>'
