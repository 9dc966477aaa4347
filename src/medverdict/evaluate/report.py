"""PREDICTIONS -> REPORT: every number from stored predictions, so that it can be recomputed offline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import Field

from medverdict.errors import DataError
from medverdict.evaluate.baselines import (
    ALWAYS_TRUE,
    KEYWORD_RULE,
    MAJORITY,
    SHIPPED,
    TFIDF,
    ZERO_SHOT,
    always_true,
    keyword_rule,
)
from medverdict.evaluate.compare import by_id, compare, in_order
from medverdict.evaluate.curves import conformal_rows, histogram, operating_point, reliability, risk_rows
from medverdict.evaluate.interval import with_intervals
from medverdict.evaluate.metrics import METRICS, Sample, group_index, to_sample
from medverdict.evaluate.mistakes import find_mistakes
from medverdict.evaluate.records import Confusion, Context, Report, System
from medverdict.evaluate.render_html import render_html
from medverdict.evaluate.render_md import render_md
from medverdict.evaluate.slices import accuracy_on, hard_rows, measure_twins
from medverdict.evaluate.wording import findings, headline
from medverdict.files import jsonl_bytes, read_record, read_records, sha256_bytes, write_json, write_jsonl, write_text
from medverdict.records import Metric, Prediction, Record

PREDICTIONS, BASELINES, DEV = "predictions.jsonl", "baselines.jsonl", "dev-predictions.jsonl"
REPORT, MARKDOWN, PAGE = "report.json", "report.md", "report.html"

AUDIT_PAIRS = 50
"""Leaking pairs that a report repeats; its counts are whole."""
HISTORY_ROWS = 400
"""Steps that a learning curve keeps beside the evaluated ones."""

TITLES = {
    ALWAYS_TRUE: "Always TRUE",
    MAJORITY: "Majority of the training rows",
    KEYWORD_RULE: "Keyword rule",
    TFIDF: "TF-IDF + logistic regression",
    ZERO_SHOT: "Same base, untrained",
    SHIPPED: "Shipped model (v6)",
}


class ReportInput(Record):
    """What an evaluation has in hand: predictions, and the facts around them."""

    predictions: tuple[Prediction, ...]
    """Of the model, calibrated."""
    baselines: dict[str, tuple[Prediction, ...]] = Field(default_factory=dict)
    """Name to predictions on the same rows; the always-TRUE and keyword baselines are added where absent."""
    dev: tuple[Prediction, ...] = ()
    """Of the model on dev, for the conformal table; without them there is none."""
    context: Context
    """What cannot be computed from predictions."""


def write_report(given: ReportInput, out: Path) -> Report:
    """Write predictions, baselines, report.json, report.md and report.html into a folder; the report comes last.

    Raises DataError when there are no rows, or a baseline was scored on other rows than the model.
    """
    given = completed(given)
    report = build_report(given)
    if not given.dev:
        (out / DEV).unlink(missing_ok=True)
    for name, rows in stored_files(given).items():
        write_jsonl(out / name, rows)
    write_text(out / MARKDOWN, render_md(report))
    write_text(out / PAGE, render_html(report))
    write_json(out / REPORT, report.model_dump(mode="json"))
    return report


def rebuild_report(out: Path) -> Report:
    """Compute the report of a folder again from its stored predictions, and write it; nothing else is asked.

    What was told and can't be computed (run, audit, history, peeks) is taken from the stored report.
    Raises DataError when a stored file is absent or damaged.
    """
    baselines: dict[str, list[Prediction]] = {}
    for p in read_records(out / BASELINES, Prediction):
        baselines.setdefault(p.run.removeprefix("baseline:"), []).append(p)
    dev = read_records(out / DEV, Prediction) if (out / DEV).exists() else []
    given = ReportInput(
        predictions=tuple(read_records(out / PREDICTIONS, Prediction)),
        baselines={name: tuple(rows) for name, rows in baselines.items()},
        dev=tuple(dev),
        context=read_record(out / REPORT, Report).context,
    )
    return write_report(given, out)


def completed(given: ReportInput) -> ReportInput:
    """With the baselines that need no training, each in the order of the model's rows and named after itself.

    Raises DataError when there are no rows, or a baseline was scored on others.
    """
    if not given.predictions:
        raise DataError(f"{given.context.data}: no rows to report on; expected at least one claim.")
    claims, reference = [p.claim() for p in given.predictions], by_id(given.predictions)
    rules = {ALWAYS_TRUE: always_true(claims), KEYWORD_RULE: keyword_rule(claims)}
    baselines = {
        name: tuple(p.model_copy(update={"run": f"baseline:{name}"}) for p in in_order(rows, reference))
        for name, rows in {**rules, **given.baselines}.items()
    }
    return given.model_copy(update={"baselines": baselines})


def build_report(given: ReportInput) -> Report:
    """All numbers of a report: a pure function of an input that `completed` made whole."""
    rows, baselines, context = given.predictions, given.baselines, given.context
    sample = to_sample(rows)
    systems = measure_systems(rows, baselines)
    metrics = with_intervals(sample, METRICS)
    best = systems[1]
    outcome, sentence = headline(metrics["accuracy"], best, compare([rows], [baselines[best.name]]))
    abstain_below = context.run.calibration.abstain_below if context.run else None
    report = Report(
        name=rows[0].run,
        outcome=outcome,
        headline=sentence,
        findings=(),
        n=len(rows),
        groups=sample.groups,
        labels={"TRUE": int(sample.truth.sum()), "FALSE": int((~sample.truth).sum())},
        metrics=metrics,
        systems=systems,
        hard_rows=int(hard_rows(rows).sum()),
        confusion=count_confusion(sample),
        twins=measure_twins(rows),
        reliability=reliability(sample),
        risk=risk_rows(sample),
        abstention=operating_point(sample, abstain_below),
        conformal=conformal_rows(sample, to_sample(given.dev)) if given.dev else (),
        histogram=histogram(sample),
        mistakes=find_mistakes(rows, baselines),
        files={name: sha256_bytes(jsonl_bytes(stored)) for name, stored in stored_files(given).items()},
        context=slim(context),
    )
    return report.model_copy(update={"findings": findings(report)})


def measure_systems(rows: Sequence[Prediction], baselines: Mapping[str, Sequence[Prediction]]) -> tuple[System, ...]:
    """The model, then every baseline on the same rows, the most accurate first; the shipped model last."""
    hard, group = hard_rows(rows), group_index(rows)
    found = []
    for name, judged in [(rows[0].run, rows), *baselines.items()]:
        overall = with_intervals(to_sample(judged), {m: METRICS[m] for m in ("accuracy", "balanced accuracy", "AUC")})
        against = None if judged is rows or overall["accuracy"].value is None else compare([rows], [judged])
        found.append(
            System(
                name=name,
                title=TITLES.get(name, name),
                accuracy=overall["accuracy"],
                balanced=overall["balanced accuracy"],
                auc=overall["AUC"],
                hard=accuracy_on(judged, hard, group),
                easy=accuracy_on(judged, ~hard, group),
                lead=Metric(value=against.difference, low=against.low, high=against.high, n=against.n)
                if against
                else None,
                p=against.p if against else None,
            )
        )
    return (found[0], *sorted(found[1:], key=lambda s: (s.name == SHIPPED, -(s.accuracy.value or 0.0), s.name)))


def count_confusion(sample: Sample) -> Confusion:
    """Labels against verdicts."""
    truth, verdict = sample.truth, sample.verdict
    return Confusion(
        true_as_true=int((truth & verdict).sum()),
        true_as_false=int((truth & ~verdict).sum()),
        false_as_true=int((~truth & verdict).sum()),
        false_as_false=int((~truth & ~verdict).sum()),
    )


def slim(context: Context) -> Context:
    """The context at a size for reading: the worst leaking pairs, and a history of a few hundred steps."""
    audit, history = context.audit, context.history
    if audit:
        audit = audit.model_copy(update={"pairs": audit.pairs[:AUDIT_PAIRS]})
    if sum(row.dev_accuracy is None for row in history) > HISTORY_ROWS:
        stride = -(-len(history) // HISTORY_ROWS)
        kept = (row for i, row in enumerate(history) if i % stride == 0 or row.dev_accuracy is not None)
        history = tuple(kept)
    return context.model_copy(update={"audit": audit, "history": history})


def stored_files(given: ReportInput) -> dict[str, Sequence[Prediction]]:
    """What is written beside the report, by file name; baselines stand in one file, named by `run`."""
    files: dict[str, Sequence[Prediction]] = {
        PREDICTIONS: given.predictions,
        BASELINES: [p for rows in given.baselines.values() for p in rows],
    }
    if given.dev:
        files[DEV] = given.dev
    return files
