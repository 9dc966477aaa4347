"""docs/results.json -> docs/results.md, the chart of results (light and dark), and every figure in README and guides.

`make results` writes them all. Measured rows are taken out of what medverdict wrote; published ones are typed by hand:

    python tools/results.py add TEST SYSTEM report.json --note "..." [--baselines]   a row (and its baselines' rows)
    python tools/results.py run SYSTEM run.json --command "medverdict train ..."   how it was made

docs/results.json:
    intro        text under the title of docs/results.md
    tests        [{name, title, about}], in the order of the page; with in_order, rows keep theirs
    rows         [{test, system, kind, note, accuracy: [value, low, high], hard, easy, auc}]: kind is baseline,
                 published or measured; percentages are 0 to 100; low and high are null, hard, easy and auc null or
                 absent where nobody measured them
    runs         [{system, rows, steps, seconds, device, peak_gib, command, kind}]: kind is measured (also where
                 absent), predicted or published; steps, peak_gib and command may be null
    sections     [{title, text}] at the end of the page
    chart        name of the test that the chart shows
    chart_label  what that test is, as the end of "accuracy in %, ..."
    names_vi     {system or device: what the tables of the Vietnamese guide call it}; without one it keeps its name

In README.md and the guides, what stands between these markers is filled in, in the document's language:
    <!-- figure: TEST/SYSTEM/accuracy --> <!-- /figure -->   or interval, hard, easy, auc
    <!-- figure: runs/SYSTEM/minutes --> <!-- /figure -->    or rows, steps, device, peak_gib
    <!-- table: TEST --> <!-- /table -->, <!-- table: runs --> <!-- /table -->
    <!-- picture: results --> <!-- /picture -->
A figure or table that docs/results.json lacks becomes "not measured yet", never a number.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from results_chart import THEMES, chart

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
LANGUAGES = {"README.md": "en", "docs/TRAINING_V5_GUIDE.md": "vi", "docs/TRAINING_V5_GUIDE.en.md": "en"}
"""Documents with figures, and what they are written in."""
_MARKER = re.compile(r"<!-- (figure|table|picture): ([^>]*?) -->(.*?)<!-- /\1 -->", re.DOTALL)
WORDS = {
    "en": {
        "missing": "not measured yet",
        "scores": ("system", "accuracy", "95 % interval", "hard rows", "AUC", "origin"),
        "runs": ("run", "rows", "steps", "time", "device", "peak memory", "origin"),
        "baseline": "baseline, measured here",
        "measured": "measured here",
        "published": "published",
        "predicted": "predicted",
    },
    "vi": {
        "missing": "chưa đo",
        "scores": ("hệ thống", "độ chính xác", "khoảng tin cậy 95 %", "câu khó", "AUC", "nguồn"),
        "runs": ("lần chạy", "số câu", "số bước", "thời gian", "thiết bị", "bộ nhớ đỉnh", "nguồn"),
        "baseline": "mốc so sánh, đo ở đây",
        "measured": "đo ở đây",
        "published": "đã công bố",
        "predicted": "dự đoán",
    },
}


def render(results: dict[str, Any]) -> str:
    """The page: one table a test, then how each row was made, then what the figures say."""
    parts = ["# Results", "", results["intro"], ""]
    for test in results["tests"]:
        parts += [f"## {test['title']}", "", test["about"], ""]
        parts += [
            "| system | accuracy | 95 % interval | hard rows | easy rows | AUC | what it is |",
            "|---|---|---|---|---|---|---|",
        ]
        parts += [score_line(row) for row in rows_of(results, test["name"])] + [""]
    parts += ["## How the runs were made", ""]
    parts += ["| run | rows | steps | wall time | device | peak memory | command |", "|---|---|---|---|---|---|---|"]
    parts += [run_line(row) for row in results["runs"]] + [""]
    for section in results["sections"]:
        parts += [f"## {section['title']}", "", section["text"], ""]
    return "\n".join(parts)


def rows_of(results: dict[str, Any], test: str) -> list[dict[str, Any]]:
    """The rows of one test, the lowest accuracy first, or in their own order where the test says so."""
    rows = [row for row in results["rows"] if row["test"] == test]
    return rows if in_order(results, test) else sorted(rows, key=lambda row: row["accuracy"][0])


def in_order(results: dict[str, Any], test: str) -> bool:
    """Whether the rows of a test are steps of one thing."""
    return any(told["name"] == test and told.get("in_order", False) for told in results["tests"])


def score_line(row: dict[str, Any]) -> str:
    """One system on one test; a published figure comes without what nobody published."""
    shown = (FIELDS[name](row) for name in ("accuracy", "interval", "hard", "easy", "auc"))
    name = f"**{row['system']}**" if row["kind"] == "measured" else row["system"]
    told = row["note"] if row["kind"] != "published" else f"*published:* {row['note']}"
    return f"| {name} | {' | '.join(cell or '–' for cell in shown)} | {told} |"


def run_line(row: dict[str, Any]) -> str:
    """One training: what it saw, how long it took, and the command."""
    shown = [RUN_FIELDS[name](row) or "–" for name in ("rows", "steps", "minutes", "device", "peak_gib")]
    kind = row.get("kind", "measured")
    shown[2] += "" if kind == "measured" else f" ({kind})"
    command = f"`{row['command']}`" if row.get("command") else "–"
    return f"| {row['system']} | {' | '.join(shown)} | {command} |"


def _percent(value: float | None) -> str | None:
    return None if value is None else f"{value:.1f} %"


def _interval(row: dict[str, Any]) -> str | None:
    _, low, high = row["accuracy"]
    return None if low is None else f"{low:.1f}–{high:.1f} %"


def _count(value: int | None) -> str | None:
    return None if value is None else f"{value:,}"


Field = Callable[[dict[str, Any]], str | None]
FIELDS: dict[str, Field] = {
    "accuracy": lambda row: _percent(row["accuracy"][0]),
    "interval": _interval,
    "hard": lambda row: _percent(row.get("hard")),
    "easy": lambda row: _percent(row.get("easy")),
    "auc": lambda row: f"{row['auc']:.3f}" if row.get("auc") is not None else None,
}
RUN_FIELDS: dict[str, Field] = {
    "rows": lambda row: _count(row["rows"]),
    "steps": lambda row: _count(row.get("steps")),
    "minutes": lambda row: f"{row['seconds'] / 60:.1f} min",
    "device": lambda row: row["device"],
    "peak_gib": lambda row: f"{row['peak_gib']:.1f} GiB" if row.get("peak_gib") else None,
}


def fill(text: str, results: dict[str, Any] | None, language: str, docs: str = "") -> str:
    """A document with everything between its markers made anew; `docs` leads from it to the folder of pictures.

    Raises ValueError for a marker that could never be filled: an unknown field, a picture of something else.
    """
    missing = WORDS[language]["missing"]

    def replaced(match: re.Match[str]) -> str:
        kind, address, _ = match.groups()
        if kind == "figure":
            shown = figure(results, address) or missing
        elif kind == "table":
            shown = f"\n{table(results, address, language) or f'*({missing})*'}\n"
        else:
            shown = f"\n{picture(results, docs) or f'*({missing})*'}\n"
        return f"<!-- {kind}: {address} -->{shown}<!-- /{kind} -->"

    return _MARKER.sub(replaced, text)


def figure(results: dict[str, Any] | None, address: str) -> str | None:
    """What stands at TEST/SYSTEM/FIELD; None where it was not measured. Raises ValueError for an unknown field."""
    group, _, rest = address.partition("/")
    system, _, name = rest.rpartition("/")
    fields = RUN_FIELDS if group == "runs" else FIELDS
    if name not in fields:
        raise ValueError(f"figure {address}: expected TEST/SYSTEM/FIELD with one of {', '.join(fields)}")
    rows = [] if results is None else results["runs"] if group == "runs" else rows_of(results, group)
    found = next((row for row in rows if row["system"] == system), None)
    return None if found is None else fields[name](found)


def table(results: dict[str, Any] | None, name: str, language: str) -> str | None:
    """The rows of a test, or the runs, as a table in a language; None where there is none."""
    words = WORDS[language]
    rows = [] if results is None else results["runs"] if name == "runs" else rows_of(results, name)
    if not rows:
        return None
    if results is not None and name != "runs" and not in_order(results, name):
        rows = rows[::-1]
    fields, head = (RUN_FIELDS, words["runs"]) if name == "runs" else (FIELDS, words["scores"])
    shown = [field for key, field in fields.items() if key != "easy"]
    names = (results or {}).get(f"names_{language}", {})
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for row in rows:
        cells = [row["system"], *(field(row) or "–" for field in shown), words[row.get("kind", "measured")]]
        lines.append(f"| {' | '.join(names.get(cell, cell) for cell in cells)} |")
    return "\n".join(lines)


def picture(results: dict[str, Any] | None, docs: str) -> str | None:
    """The chart in the reader's colours, with its numbers for who cannot see it."""
    if results is None:
        return None
    told = ", ".join(f"{row['system']} {row['accuracy'][0]:.1f} %" for row in rows_of(results, results["chart"])[::-1])
    return (
        f'<picture>\n  <source media="(prefers-color-scheme: dark)" srcset="{docs}results-dark.svg">\n'
        f'  <img alt="{results["chart_label"]}: {told}" src="{docs}results-light.svg">\n</picture>'
    )


def add(results: dict[str, Any], test: str, system: str, report: dict[str, Any], note: str) -> None:
    """Take the model's own row out of a report, in place of an older row of the same system and test."""
    put(results, judged(report["systems"][0], test, system, "measured", note))


def add_baselines(results: dict[str, Any], test: str, report: dict[str, Any], note: str) -> None:
    """Take the rows of a report's baselines, under their titles."""
    for system in report["systems"][1:]:
        put(results, judged(system, test, system["title"], "baseline", note))


def judged(own: dict[str, Any], test: str, system: str, kind: str, note: str) -> dict[str, Any]:
    """A row out of one judge of a report; None for what is undefined there."""

    def rounded(metric: dict[str, Any], key: str, scale: float = 100, digits: int = 1) -> float | None:
        return None if metric[key] is None else round(scale * metric[key], digits)

    return {
        "test": test,
        "system": system,
        "kind": kind,
        "note": note,
        "accuracy": [rounded(own["accuracy"], key) for key in ("value", "low", "high")],
        "hard": rounded(own["hard"], "value"),
        "easy": rounded(own["easy"], "value"),
        "auc": rounded(own["auc"], "value", 1, 3),
    }


def put(results: dict[str, Any], row: dict[str, Any]) -> None:
    """Add a row in place of an older one of the same system and test."""
    kept = [r for r in results["rows"] if (r["test"], r["system"]) != (row["test"], row["system"])]
    results["rows"] = [*kept, row]


def add_run(results: dict[str, Any], system: str, run: dict[str, Any], command: str) -> None:
    """Take how a run was made out of its run.json, in place of an older line of the same system."""
    peak = run.get("peak_bytes")
    row = {
        "system": system,
        "rows": run["rows"]["train"],
        "steps": run["steps"],
        "seconds": round(run["seconds"], 1),
        "device": f"{run['device']}, {run['precision']}",
        "peak_gib": round(peak / 2**30, 1) if peak else None,
        "command": command,
    }
    results["runs"] = [*(r for r in results["runs"] if r["system"] != system), row]


def write_all(results: dict[str, Any] | None) -> None:
    """Page, charts, and the figures in every document."""
    if results is not None:
        (DOCS / "results.md").write_text(render(results), encoding="utf-8")
        for theme in THEMES:
            drawn = chart(rows_of(results, results["chart"])[::-1], results["chart_label"], theme)
            (DOCS / f"results-{theme}.svg").write_text(drawn, encoding="utf-8")
    for name, language in LANGUAGES.items():
        path = ROOT / name
        docs = "docs/" if path.parent == ROOT else ""
        path.write_text(fill(path.read_text(encoding="utf-8"), results, language, docs), encoding="utf-8")


def stored_results() -> dict[str, Any] | None:
    """docs/results.json; None before anything was measured."""
    path = DOCS / "results.json"
    found: dict[str, Any] | None = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    return found


def arguments() -> argparse.Namespace:
    """What was typed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command_name")
    adding = commands.add_parser("add", help="take a row out of a report")
    for name in ("test", "system", "report"):
        adding.add_argument(name)
    adding.add_argument("--note", default="")
    adding.add_argument("--baselines", action="store_true", help="and the rows of its baselines")
    running = commands.add_parser("run", help="take how a run was made out of its run.json")
    for name in ("system", "run"):
        running.add_argument(name)
    running.add_argument("--command", required=True)
    return parser.parse_args()


def main() -> None:
    given = arguments()
    results = stored_results()
    if given.command_name:
        if results is None:
            raise SystemExit(
                "docs/results.json: not there; expected it with intro, tests, rows, runs, sections, chart."
            )
        if given.command_name == "add":
            report = json.loads(Path(given.report).read_text(encoding="utf-8"))
            add(results, given.test, given.system, report, given.note)
            if given.baselines:
                add_baselines(results, given.test, report, f"on the training rows of {given.system}")
        else:
            run = json.loads(Path(given.run).read_text(encoding="utf-8"))
            add_run(results, given.system, run, given.command)
        text = json.dumps(results, ensure_ascii=False, indent=1) + "\n"
        (DOCS / "results.json").write_text(text, encoding="utf-8")
    write_all(results)


if __name__ == "__main__":
    main()
