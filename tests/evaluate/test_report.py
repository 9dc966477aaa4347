"""A report is a pure function of stored predictions, plain to read, and safe to open anywhere."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest
from judged import judged, toy_run

import medverdict
from medverdict.errors import NOT_ADVICE, DataError
from medverdict.evaluate.baselines import TFIDF, ZERO_SHOT
from medverdict.evaluate.records import Context, Peek, Report
from medverdict.evaluate.report import ReportInput, rebuild_report, slim, write_report
from medverdict.files import read_record
from medverdict.records import Audit, AuditPair, HistoryRow, Prediction, Run

SHIPPED = Path(medverdict.__file__).parent / "shipped"
EXPECTED = ["baselines.jsonl", "dev-predictions.jsonl", "predictions.jsonl", "report.html", "report.json", "report.md"]


def step(number: int, dev: float | None = None) -> HistoryRow:
    return HistoryRow(
        step=number,
        epoch=number / 10,
        rows=16 * number,
        loss=1 / (1 + number) if number else None,
        learning_rate=1e-4,
        gradient_norm=None,
        skipped=False,
        seconds=float(number),
        dev_accuracy=dev,
    )


def given(rows: list[Prediction] | None = None, **context: object) -> ReportInput:
    rows = rows or toy_run(200, families=2)
    known = {
        "data": "test.jsonl",
        "data_sha256": "ab" * 32,
        "history": [step(i, 0.5 if i % 5 == 0 else None) for i in range(11)],
    }
    return ReportInput(
        predictions=tuple(rows),
        baselines={TFIDF: tuple(weak_judge(rows))},
        dev=tuple(toy_run(80, seed=5)),
        context=Context.model_validate(known | context),
    )


def weak_judge(rows: list[Prediction]) -> list[Prediction]:
    """A baseline that is right a little more often than not."""
    says = [(p.label == "TRUE") == (i % 5 < 3) for i, p in enumerate(rows)]
    return [p.model_copy(update={"verdict": "TRUE" if s else "FALSE"}) for p, s in zip(rows, says, strict=True)]


def parse(page: str) -> ElementTree.Element:
    return ElementTree.fromstring(page.removeprefix("<!DOCTYPE html>\n"))


def test_rebuilding_from_the_stored_files_gives_the_same_bytes(tmp_path: Path) -> None:
    written = write_report(given(), tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == EXPECTED
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    assert rebuild_report(tmp_path) == written
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before
    assert read_record(tmp_path / "report.json", Report) == written


def test_numbers_come_from_the_stored_predictions_and_nowhere_else(tmp_path: Path) -> None:
    before = write_report(given(), tmp_path)
    lines = (tmp_path / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    turned = [line.replace('"verdict": "TRUE"', '"verdict": "?"') for line in lines]
    turned = [line.replace('"verdict": "FALSE"', '"verdict": "TRUE"').replace('"?"', '"FALSE"') for line in turned]
    (tmp_path / "predictions.jsonl").write_text("\n".join(turned), encoding="utf-8")
    after = rebuild_report(tmp_path)
    assert after.metrics["accuracy"].value == pytest.approx(1 - (before.metrics["accuracy"].value or 0))


def test_the_simple_baselines_are_always_there(tmp_path: Path) -> None:
    bare = ReportInput(predictions=tuple(toy_run(40)), context=Context(data="d", data_sha256=""))
    report = write_report(bare, tmp_path)
    assert {s.name for s in report.systems} == {"toy", "always-true", "keyword-rule"}
    assert not (tmp_path / "dev-predictions.jsonl").exists()
    assert report.conformal == ()


def test_a_baseline_on_other_rows_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    wrong = given().model_copy(update={"baselines": {TFIDF: tuple(toy_run(10))}})
    with pytest.raises(DataError, match="same rows"):
        write_report(wrong, tmp_path)
    with pytest.raises(DataError, match="no rows"):
        write_report(given().model_copy(update={"predictions": ()}), tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_headline_says_plainly_who_wins(tmp_path: Path) -> None:
    good = write_report(given(toy_run(300, skill=3.0)), tmp_path / "good")
    assert good.outcome == "better"
    assert "better than the best baseline" in good.headline
    same = write_report(given(toy_run(60, skill=0.2)), tmp_path / "same")
    assert same.outcome == "no detectable difference"
    assert "no detectable difference" in same.headline
    bad = write_report(given(toy_run(300, skill=-2.0)), tmp_path / "bad")
    assert bad.outcome == "worse"


def test_turning_the_cue_words_round_does_not_count_as_knowledge(tmp_path: Path) -> None:
    rows = toy_run(300)
    inverted = [p.model_copy(update={"verdict": "TRUE" if "luôn" in p.text else "FALSE"}) for p in rows]
    report = write_report(given(inverted), tmp_path)
    assert report.systems[0].hard.value == 1.0
    assert "turned round, not knowledge" in report.findings[0]


def test_one_class_is_undefined_and_not_an_accuracy(tmp_path: Path) -> None:
    report = write_report(
        ReportInput(
            predictions=tuple(judged(i, "TRUE", 1.0) for i in range(30)), context=Context(data="d", data_sha256="")
        ),
        tmp_path,
    )
    assert report.outcome == "undefined"
    assert report.metrics["accuracy"].value is None
    assert "undefined" in report.headline and "every label is TRUE" in report.headline
    assert rebuild_report(tmp_path) == report
    parse((tmp_path / "report.html").read_text(encoding="utf-8"))


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_handful_of_rows_still_makes_a_report(n: int, tmp_path: Path) -> None:
    bare = ReportInput(predictions=tuple(toy_run(n)), context=Context(data="d", data_sha256=""))
    assert write_report(bare, tmp_path).n == n


def test_the_peak_of_memory_is_told_where_it_is_known(tmp_path: Path) -> None:
    run = read_record(next(SHIPPED.glob("*/run.json")), Run)
    for name, peak in (("unknown", None), ("known", 3_286_000_000)):
        write_report(given(run=run.model_copy(update={"peak_bytes": peak})), tmp_path / name)
    pages = {name: (tmp_path / name / "report.md").read_text(encoding="utf-8") for name in ("unknown", "known")}
    assert f"{run.precision}, at most 3.1 GiB of GPU memory" in pages["known"]
    assert "GPU memory" not in pages["unknown"]


def test_what_a_run_began_from_is_told_since_the_audit_does_not_know_it(tmp_path: Path) -> None:
    run = read_record(next(SHIPPED.glob("*/run.json")), Run)
    first = ("v6-text-s0-0", "hash", "v6-text-s1-1", "hash")
    for name, start in (("zero", ()), ("stage", first)):
        write_report(given(run=run.model_copy(update={"started_from": start})), tmp_path / name)
    pages = {name: (tmp_path / name / "report.md").read_text(encoding="utf-8") for name in ("zero", "stage")}
    assert "It began from v6-text-s0-0, v6-text-s1-1: what those were trained on is neither" in pages["stage"]
    assert "It began from" not in pages["zero"] and "| Began from | the base |" in pages["zero"]


def test_leaks_overrides_and_looks_are_repeated(tmp_path: Path) -> None:
    pair = AuditPair(
        kind="exact",
        cosine=1.0,
        left="a",
        right="b",
        left_split="train",
        right_split="test",
        left_text="Một",
        right_text="một",
    )
    audit = Audit(
        pairs=(pair,) * 90, counts={"exact": 90}, thresholds={"gate": 0.8}, hashes={}, warnings=(), clean=False
    )
    peeks = [Peek(when=f"2026-11-0{i}T00:00:00+00:00", run="r", data_sha256="") for i in (1, 2, 3)]
    report = write_report(given(audit=audit, peeks=peeks), tmp_path)
    said = " ".join(report.findings)
    assert "found leaks" in said and "looked at 3 times" in said
    assert report.context.audit is not None and len(report.context.audit.pairs) == 50
    assert rebuild_report(tmp_path) == report
    assert "No audit stands behind" in " ".join(write_report(given(), tmp_path / "other").findings)


def test_a_long_history_is_thinned_but_keeps_its_evaluations() -> None:
    history = tuple(step(i, 0.7 if i % 1000 == 999 else None) for i in range(30_000))
    thin = slim(Context(data="", data_sha256="", history=history))
    assert len(thin.history) < 500
    assert sum(row.dev_accuracy is not None for row in thin.history) == 30
    assert slim(thin) == thin


def test_the_page_is_well_formed_captioned_and_needs_no_network(tmp_path: Path) -> None:
    hostile = toy_run(120, skill=-1.0)
    hostile[0] = hostile[0].model_copy(update={"text": "</script><img src=x onerror=alert(1)> $title & \"luôn\" 'sốt'"})
    write_report(given(hostile), tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    root = parse(page)
    assert not re.search(r"(https?:)?//", page)
    assert not [e for e in root.iter() if e.tag in {"script", "img", "iframe", "object"} or "src" in e.attrib]
    assert all(e.attrib["href"].startswith("data:") for e in root.iter() if "href" in e.attrib)
    assert len(root.findall(".//h1")) == 1 and len(root.findall(".//h2")) >= 6
    assert all(table.find("caption") is not None for table in root.iter("table"))
    assert all(figure.find("figcaption") is not None for figure in root.iter("figure"))
    assert all(svg.attrib["role"] == "img" and svg.attrib["aria-label"] for svg in root.iter("svg"))
    assert len(list(root.iter("svg"))) >= 8
    assert "prefers-color-scheme: dark" in page


def test_not_advice_stands_at_the_top_of_every_rendering(tmp_path: Path) -> None:
    write_report(given(), tmp_path)
    root = parse((tmp_path / "report.html").read_text(encoding="utf-8"))
    note = root.find(".//p[@role='note']")
    assert note is not None and note.text == NOT_ADVICE
    markdown = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert markdown.splitlines()[2] == f"> {NOT_ADVICE}"


def test_no_coordinate_of_a_chart_is_nan_or_outside(tmp_path: Path) -> None:
    for name, rows in {
        "usual": toy_run(200),
        "flat": [p.model_copy(update={"margin": 0.0, "p_true": 0.5}) for p in toy_run(40)],
    }.items():
        write_report(given(rows), tmp_path / name)
        root = parse((tmp_path / name / "report.html").read_text(encoding="utf-8"))
        for svg in root.iter("svg"):
            _, _, width, height = map(float, svg.attrib["viewBox"].split())
            for e in svg.iter():
                for key, limit in (
                    ("x", width),
                    ("cx", width),
                    ("x1", width),
                    ("y", height),
                    ("cy", height),
                    ("y2", height),
                ):
                    if key in e.attrib:
                        assert -1 <= float(e.attrib[key]) <= limit + 1, (svg.attrib["aria-label"], e.attrib)


def test_zero_shot_is_read_as_what_training_changed(tmp_path: Path) -> None:
    rows = toy_run(200, skill=2.0)
    base = given(rows)
    zero = {ZERO_SHOT: tuple(toy_run(200, skill=2.0, seed=8, run="zero-shot"))}
    report = write_report(base.model_copy(update={"baselines": {**base.baselines, **zero}}), tmp_path)
    assert any(sentence.startswith("Training changed the accuracy") for sentence in report.findings)


def test_a_report_of_the_public_sample_size_takes_seconds(tmp_path: Path) -> None:
    job = given(toy_run(1246, families=2))
    start = time.perf_counter()
    report = write_report(job, tmp_path)
    assert time.perf_counter() - start < 10
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["n"] == report.n == 1246
