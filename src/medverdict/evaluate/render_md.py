"""A report as Markdown, for a README, an issue or a terminal."""

from __future__ import annotations

from medverdict.errors import NOT_ADVICE
from medverdict.evaluate import tables
from medverdict.evaluate.records import Report
from medverdict.evaluate.tables import Sheet


def render_md(report: Report) -> str:
    """The whole report; the curves are in report.html."""
    sheets = [
        tables.systems_sheet(report),
        tables.metrics_sheet(report),
        tables.confusion_sheet(report),
        tables.twins_sheet(report),
        tables.risk_sheet(report),
        tables.conformal_sheet(report),
        *tables.mistake_sheets(report.mistakes),
        tables.audit_sheet(report),
        tables.made_sheet(report),
    ]
    head = [f"# {report.name} on {report.context.data}", f"> {NOT_ADVICE}", f"**{report.headline}**"]
    findings = "\n".join(f"- {sentence}" for sentence in report.findings)
    return "\n\n".join([*head, findings, *(_sheet(sheet) for sheet in sheets if sheet)]) + "\n"


def _sheet(sheet: Sheet) -> str:
    ruler = tuple("---" if i == 0 else "---:" for i in range(len(sheet.columns)))
    lines = [_line(cells) for cells in (sheet.columns, ruler, *sheet.rows)]
    note = f"{sheet.note}\n\n" if sheet.note else ""
    return f"## {sheet.title}\n\n{note}" + "\n".join(lines)


def _line(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("<", "&lt;") for cell in cells) + " |"
