"""The tables of a report, written once and shown as Markdown, as HTML and in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.table import Table
from rich.text import Text

from medverdict.console import table
from medverdict.evaluate.baselines import TFIDF, TFIDF_FEATURES
from medverdict.evaluate.records import Mistakes, Report, RiskRow, System
from medverdict.evaluate.wording import (
    DASH,
    number,
    number_interval,
    p_value,
    percent,
    percent_interval,
    points,
    points_interval,
    starts,
)
from medverdict.records import Comparison, Prediction

SLICES_SHOWN = 20


@dataclass(frozen=True)
class Sheet:
    """A table ready to show."""

    title: str
    note: str
    """What a reader needs to read it right; may be empty."""
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def to_rich(self) -> Table:
        """For the terminal: only the first column gives way, so that numbers stay whole at 80 columns."""
        built = table(self.title, self.columns, self.rows)
        built.box, built.caption, built.caption_justify = box.SIMPLE_HEAD, Text(self.note), "left"
        for place, column in enumerate(built.columns):
            column.no_wrap, column.overflow = place > 0, "fold"
        return built


def summary_sheet(report: Report) -> Sheet:
    """The model among the baselines, the worst first: what a terminal has room for."""
    systems = sorted(report.systems, key=lambda system: system.accuracy.value or 0.0)
    rows = tuple(
        (_name(s, report), percent(s.accuracy.value), percent_interval(s.accuracy), percent(s.hard.value))
        for s in systems
    )
    note = (
        f"All on the same {report.n:,} claims in {report.groups:,} groups. Hard: the {report.hard_rows:,} of them that "
        "the keyword rule gets wrong, where wording misleads."
    )
    return Sheet(f"Accuracy on {report.context.data}", note, ("Judge", "Accuracy", "95 % interval", "Hard"), rows)


def systems_sheet(report: Report) -> Sheet:
    """The model beside every baseline."""
    rows = tuple(
        (
            _name(s, report),
            percent(s.accuracy.value),
            percent_interval(s.accuracy),
            points(s.lead.value) if s.lead and s.lead.value is not None else DASH,
            points_interval(s.lead) if s.lead else DASH,
            p_value(s.p),
            percent(s.hard.value),
            percent(s.easy.value),
            number(s.auc.value),
        )
        for s in report.systems
    )
    note = (
        f"All on the same {report.n:,} claims. Hard: the {report.hard_rows} that the keyword rule gets wrong; easy: "
        "the rest. Lead: how far this model is ahead, in points; p: exact McNemar."
    )
    if any(s.name == TFIDF for s in report.systems):
        note += f" TF-IDF + logistic regression, fitted on the same training rows: {TFIDF_FEATURES}."
    columns = ("Judge", "Accuracy", "95 % interval", "Lead", "95 % interval", "p", "Hard", "Easy", "AUC")
    return Sheet("Beside the baselines", note, columns, rows)


def metrics_sheet(report: Report) -> Sheet:
    """Every metric of the model."""
    shares = {"accuracy", "balanced accuracy", "TRUE recall", "FALSE recall"}
    rows = []
    for name, m in report.metrics.items():
        show = (percent(m.value), percent_interval(m)) if name in shares else (number(m.value), number_interval(m))
        rows.append((name[0].upper() + name[1:], *show, f"{m.n:,}"))
    note = (
        f"Intervals: seeded bootstrap over {report.groups:,} groups of near-duplicates. Calibration error: 15 bins of "
        "equally many rows. MCC, AUC: higher is better; Brier score, calibration error: lower is better."
    )
    return Sheet("Metrics", note, ("Metric", "Value", "95 % interval", "n"), tuple(rows))


def confusion_sheet(report: Report) -> Sheet:
    """Labels against verdicts."""
    c = report.confusion
    rows = (
        _confusion_row("Claim is TRUE", c.true_as_true, c.true_as_false),
        _confusion_row("Claim is FALSE", c.false_as_true, c.false_as_false),
    )
    return Sheet("Confusion matrix", "", ("", "Called TRUE", "Called FALSE", "All"), rows)


def twins_sheet(report: Report) -> Sheet | None:
    """Twin pairs, where there are any."""
    t = report.twins
    if t is None:
        return None
    rows = (
        ("Both right", percent(t.both_right.value), percent_interval(t.both_right), "25 %", f"{t.pairs:,}"),
        ("TRUE one has the higher margin", percent(t.ranked.value), percent_interval(t.ranked), "50 %", f"{t.pairs:,}"),
    )
    note = "Pairs one edit apart with opposite labels: their wording is nearly equal, so cue words help little."
    return Sheet("Twins", note, ("", "Share", "95 % interval", "Coin", "Pairs"), rows)


def risk_sheet(report: Report) -> Sheet:
    """Risk against coverage, with the point that dev chose."""
    rows = [_risk_row(row, "") for row in report.risk]
    if report.abstention:
        rows.append(_risk_row(report.abstention, "chosen on dev"))
    note = "If only the surest claims are answered and the rest get ABSTAIN. Headline accuracy never abstains."
    columns = ("Answered", "Confidence at least", "Right", "95 % interval", "n", "")
    return Sheet("Abstaining", note, columns, tuple(rows))


def conformal_sheet(report: Report) -> Sheet | None:
    """Conformal sets, where dev allowed any."""
    if not report.conformal:
        return None
    rows = tuple(
        (
            f"at most {percent(r.alpha, 0)}",
            f"{percent(r.missed_true.value)} ({percent_interval(r.missed_true)})",
            f"{percent(r.missed_false.value)} ({percent_interval(r.missed_false)})",
            percent(r.answered),
            percent(r.accuracy.value),
        )
        for r in report.conformal
    )
    groups = report.conformal[0].dev_groups
    note = (
        "Each claim gets the set of labels that can't be ruled out; one label is an answer, both or none is ABSTAIN. "
        "For a new claim of either label the chance that its set lacks the label is at most the promised one, for "
        "any model, in finite samples. That assumes claims of new groups that are exchangeable with the dev groups "
        f"({groups[0]} with TRUE, {groups[1]} with FALSE rows, one drawn from each), and that dev did not choose the "
        "model. Where these claims come from elsewhere than dev, or dev picked the checkpoint, only the columns "
        "measured here count. The promise is about the sets, not about the share right among the answers."
    )
    columns = ("Promised miss", "Missed, claim TRUE", "Missed, claim FALSE", "Answered", "Right among answered")
    return Sheet("Conformal answers", note, columns, rows)


def slices_sheet(mistakes: Mistakes) -> Sheet:
    """Slices, the worst first."""
    rows = tuple(
        (
            f"{s.family}: {s.name}",
            f"{s.accuracy.n:,}",
            percent(s.accuracy.value),
            percent_interval(s.accuracy),
            f"{points(s.excess.value)} ({points_interval(s.excess)})" if s.excess.value is not None else DASH,
        )
        for s in mistakes.slices[:SLICES_SHOWN]
    )
    left_out = len(mistakes.slices) - len(rows)
    note = "Excess error: error in the slice minus error on all other claims, in points; the worst first."
    if len(mistakes.slices) > 1:
        note += (
            f" Of {len(mistakes.slices)} slices about {max(1, round(len(mistakes.slices) / 20))} would have an "
            "interval apart from zero by chance alone."
        )
    if left_out:
        note += f" {left_out} slices with less excess error are in report.json."
    if mistakes.hidden_slices:
        note += f" {mistakes.hidden_slices} slices of fewer than 10 claims are hidden."
    columns = ("Slice", "n", "Right", "95 % interval", "Excess error")
    return Sheet("Where it goes wrong", note, columns, rows)


def confident_sheet(mistakes: Mistakes) -> Sheet:
    """The surest wrong verdicts."""
    rows = tuple(
        (m.text, m.label, m.verdict, percent(max(m.p_true, 1 - m.p_true), 0), ", ".join(m.cues) or DASH)
        for m in mistakes.confident
    )
    note = f"The surest {len(rows)} of {mistakes.wrong:,} wrong verdicts on {mistakes.n:,} claims."
    return Sheet("Confident mistakes", note, ("Claim", "Label", "Verdict", "Sure", "Cue words"), rows)


def twin_mistakes_sheet(mistakes: Mistakes) -> Sheet | None:
    """Pairs that are not all right, a row a member."""
    if not mistakes.twins:
        return None
    rows = tuple(
        (m.text, m.label, m.verdict, percent(m.p_true, 0), twin.kind if i == 0 else "")
        for twin in mistakes.twins
        for i, m in enumerate(twin.members)
    )
    note = f"{len(mistakes.twins)} of {mistakes.twins_wrong:,} pairs that are not all right, the surest first."
    return Sheet("Twins that disagree", note, ("Claim", "Label", "Verdict", "p(TRUE)", "Fault"), rows)


def suspects_sheet(mistakes: Mistakes) -> Sheet | None:
    """Labels worth a second reading."""
    if not mistakes.suspects:
        return None
    rows = tuple((s.text, s.label, percent(s.p_label_model, 0), percent(s.p_label_words, 0)) for s in mistakes.suspects)
    note = (
        "The model and the words of the other groups (out-of-fold TF-IDF) both speak against the label. A hint to read "
        "again, not a finding: a hard claim looks just the same."
    )
    return Sheet("Labels to read again", note, ("Claim", "Label", "p(label), model", "p(label), words"), rows)


def audit_sheet(report: Report) -> Sheet | None:
    """The worst pairs that the audit found, where it found any."""
    audit = report.context.audit
    if audit is None or not audit.pairs:
        return None
    rows = tuple(
        (p.left_text, p.right_text, p.kind, f"{p.cosine:.2f}", f"{p.left_split} / {p.right_split}") for p in audit.pairs
    )
    note = "Exact, near and flipped pairs across splits are leaks; contradictions stand inside one split."
    return Sheet("Pairs that the audit found", note, ("One", "Other", "Kind", "Cosine", "Splits"), rows)


def made_sheet(report: Report) -> Sheet:
    """How the report and the model came about."""
    context, run = report.context, report.context.run
    facts = [
        (
            "Claims",
            f"{context.data}, {report.n:,} rows, {report.labels['TRUE']:,} TRUE, {report.labels['FALSE']:,} FALSE",
        ),
        ("sha256 of the claims", context.data_sha256),
    ]
    if run:
        kept = f"{run.steps:,} steps, kept step {run.best_step:,}, {run.seconds:,.0f} s"
        held = "" if run.peak_bytes is None else f", at most {run.peak_bytes / 2**30:.1f} GiB of GPU memory"
        facts += [
            ("Run", run.id),
            ("Recipe", f"{run.recipe.name} ({run.recipe_sha256[:12]}), seed {run.recipe.seed}"),
            ("Base", f"{run.base.name}, {run.base.source}, revision {run.base.revision}"),
            ("Parameters", f"{run.parameters:,}, of them {run.trained_parameters:,} trained"),
            ("Training", f"{kept} on {run.device}, {run.precision}{held}"),
            ("Began from", starts(run) or "the base"),
            ("Rows", ", ".join(f"{name} {count:,}" for name, count in run.rows.items())),
            (
                "Threshold, temperature",
                f"{run.calibration.threshold:.4g}, {run.calibration.temperature:.4g}, from "
                f"{run.calibration.n:,} dev rows",
            ),
            ("Code", ", ".join(f"{key} {value}" for key, value in run.code.items())),
            ("Libraries", ", ".join(f"{name} {version}" for name, version in run.versions.items())),
        ]
    if context.audit:
        facts.append(("Audit", "; ".join(f"{name}: {count:,}" for name, count in context.audit.counts.items())))
        facts += [("Audit warning", warning) for warning in context.audit.warnings]
    if context.peeks:
        looks = f"{len(context.peeks)}, the first on {context.peeks[0].when}; a copy in another folder is counted apart"
        facts.append(("Looks at this test file", looks))
    facts += [("Command", command) for command in context.commands]
    facts += [(f"sha256 of {name}", digest) for name, digest in report.files.items()]
    return Sheet("How it was made", "", ("", ""), tuple(facts))


def flips_sheet(comparison: Comparison, rows: Sequence[Prediction]) -> Sheet:
    """The claims that one side of a comparison got right and the other wrong; `rows` are either side's."""
    by_id = {p.claim_id: p for p in rows}
    flips = [(i, "won") for i in comparison.won] + [(i, "lost") for i in comparison.lost]
    shown = tuple((by_id[i].text, by_id[i].label, outcome) for i, outcome in flips)
    c = comparison
    note = (
        f"{len(c.won):,} won and {len(c.lost):,} lost of {c.n:,} claims in {c.groups:,} groups, {c.seeds[0]} against "
        f"{c.seeds[1]} runs; exact McNemar p {p_value(c.p)}; differences of {100 * c.detectable:.1f} points are found "
        "with 80 % power."
    )
    return Sheet(f"Claims that {c.a} won or lost against {c.b}", note, ("Claim", "Label", "Won or lost"), shown)


def mistake_sheets(mistakes: Mistakes) -> list[Sheet]:
    """What `mistakes` prints."""
    sheets = [
        slices_sheet(mistakes),
        confident_sheet(mistakes),
        twin_mistakes_sheet(mistakes),
        suspects_sheet(mistakes),
    ]
    return [sheet for sheet in sheets if sheet]


def _confusion_row(name: str, as_true: int, as_false: int) -> tuple[str, ...]:
    total = as_true + as_false
    cells = (f"{count:,} ({percent(count / total if total else None, 0)})" for count in (as_true, as_false))
    return name, *cells, f"{total:,}"


def _name(system: System, report: Report) -> str:
    return f"This model ({system.name})" if system.name == report.name else system.title


def _risk_row(row: RiskRow, remark: str) -> tuple[str, ...]:
    a = row.accuracy
    return percent(row.coverage, 0), number(row.confidence), percent(a.value), percent_interval(a), f"{a.n:,}", remark
