"""`medverdict generate …` as a user meets it: files, report, the same bytes, refusals that leave nothing."""

from __future__ import annotations

import json
import sys

import pytest
from knowledge_files import answers, icd10, vimedical, vimedner

from medverdict.cli import main
from medverdict.files import read_record, read_records, sha256_file
from medverdict.generate.records import Fact, Quality
from medverdict.records import Claim, Dropped

FILES = {"dropped.jsonl", "report.json", "report.md", "manifest.json"}


@pytest.fixture
def generate(monkeypatch, capsys):
    def typed(*words):
        monkeypatch.setattr(sys, "argv", ["medverdict", "generate", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return ended.value.code or 0, " ".join((out + err).split())

    return typed


def kb(folder, out, *more):
    return ("kb", "--vimedical", vimedical(folder), "--vimedner", vimedner(folder), "--out", out, *more)


def test_kb_writes_claims_knowledge_base_what_was_left_out_and_a_report(generate, tmp_path):
    code, said = generate(*kb(tmp_path, tmp_path / "out", "--rows", 101))
    assert code == 0, said
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES | {"kb.jsonl", "knowledge.jsonl"}
    assert len(read_records(tmp_path / "out" / "kb.jsonl", Claim)) == 101
    assert read_records(tmp_path / "out" / "knowledge.jsonl", Fact)
    assert read_records(tmp_path / "out" / "dropped.jsonl", Dropped)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["claims"] == {"kb.jsonl": sha256_file(tmp_path / "out" / "kb.jsonl")}
    assert manifest["inputs"]["ViMedNER.jsonl"] == sha256_file(tmp_path / "ViMedNER.jsonl")
    assert manifest["claims"]["kb.jsonl"] in said


def test_the_same_command_gives_the_same_bytes_whatever_the_folder_is_called(generate, tmp_path):
    for out in ("one", "two"):
        assert generate(*kb(tmp_path, tmp_path / out, "--rows", 60, "--seed", 3))[0] == 0
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


def test_the_report_tells_what_wording_gives_away_and_shows_rows_to_read(generate, tmp_path):
    assert generate(*kb(tmp_path, tmp_path / "out", "--rows", 150))[0] == 0
    quality = read_record(tmp_path / "out" / "report.json", Quality)
    assert (quality.rows, quality.true, len(quality.samples)) == (150, 75, 60)
    assert quality.tfidf.value < 0.7 and quality.tfidf_rows == 150
    page = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert all(sample.text in page for sample in quality.samples)
    assert "TF-IDF" in page and "keyword rule" in page


def test_a_set_whose_wording_tells_the_label_is_found_out(tmp_path):
    from medverdict.app.quality import measure_quality

    claims = [
        Claim(
            id=f"c{n}", text=f"Thuốc số {n} {'luôn khỏi hẳn' if n % 2 else 'có ích'}.", label=("TRUE", "FALSE")[n % 2]
        )
        for n in range(200)
    ]
    quality = measure_quality(claims)
    assert quality.tfidf.value == quality.keyword_rule.value == 1.0
    assert [(cue.cue, cue.true, cue.false) for cue in quality.cues] == [("luôn", 0, 100)]


def test_style_icd10_and_qa_write_the_same_record_and_report(generate, tmp_path):
    assert generate(*kb(tmp_path, tmp_path / "kb", "--rows", 40))[0] == 0
    jobs = {
        "style": (tmp_path / "kb" / "kb.jsonl", "--variants", 2),
        "icd10": (icd10(tmp_path),),
        "qa": (answers(tmp_path, "a_1.jsonl"), answers(tmp_path, "a_2.jsonl")),
    }
    for name, words in jobs.items():
        code, said = generate(name, *words, "--out", tmp_path / name)
        assert code == 0, said
        assert {path.name for path in (tmp_path / name).iterdir()} == FILES | {f"{name}.jsonl"}
        claims = read_records(tmp_path / name / f"{name}.jsonl", Claim)
        assert all(claim.group and claim.source and claim.topic and claim.id for claim in claims)
        assert sum(claim.label == "TRUE" for claim in claims) * 2 == len(claims)


@pytest.mark.parametrize(
    ("words", "said_why"),
    [
        (("kb",), "no knowledge file was given"),
        (("kb", "--vimedical", "absent.csv"), "absent.csv"),
        (("icd10", "absent.csv"), "absent.csv"),
        (("qa", "absent.jsonl"), "absent.jsonl"),
        (("style", "absent.jsonl"), "absent.jsonl"),
    ],
)
def test_a_user_s_mistake_is_answered_and_leaves_nothing(generate, tmp_path, monkeypatch, words, said_why):
    monkeypatch.chdir(tmp_path)
    code, said = generate(*words, "--out", tmp_path / "out")
    assert code == 2 and said_why in said and "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


def test_more_rows_than_the_files_give_are_refused(generate, tmp_path):
    code, said = generate(*kb(tmp_path, tmp_path / "out"))
    assert code == 2 and "154,477 rows were asked for" in said and "--rows" in said
    assert not (tmp_path / "out").exists()


def test_a_file_that_gives_no_claim_is_answered_with_the_reasons(generate, tmp_path):
    row = {"question": "?", "answer": "Tốt.", "context": "", "keyword": "Etamol", "topic": 2}
    (tmp_path / "a_1.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    code, said = generate("qa", tmp_path / "a_1.jsonl", "--out", tmp_path / "out")
    assert code == 2 and "no row gave a claim (1 not of 7 to 45 words)" in said
    assert not (tmp_path / "out").exists()


def test_every_command_shows_an_example(generate):
    for name in ("kb", "style", "icd10", "qa"):
        code, said = generate(name, "--help")
        assert code == 0 and f"Example: medverdict generate {name}" in said
