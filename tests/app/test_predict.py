"""`predict` on whole files: nothing lost, nothing twice, nothing half-written."""

import csv
import json
import tracemalloc

import numpy as np
import openpyxl
import pytest

from medverdict.app.predict import PredictOptions, predict
from medverdict.app.verify import verify
from medverdict.errors import DataError, RunError
from medverdict.predict import stream

OFFICIAL = ("STT", "Mệnh đề Câu hỏi (VIETNAMESE TEXT ONLY)", "Đáp án (TRUE/FALSE)")
CLAIMS = [f"Thuốc {n} có tác dụng {'tốt' if n % 2 else 'xấu'}{' cho người bệnh' * (n % 3)}." for n in range(40)]


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setitem(stream.CHUNK, "cpu", 8)


@pytest.fixture
def claims_csv(tmp_path):
    path = tmp_path / "claims.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("no", "claim", "note"), *((n, c, f"n{n}") for n, c in enumerate(CLAIMS))])
    return path


def read(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_file_is_answered_as_verify_answers(claims_csv, tiny_run):
    done = predict(claims_csv, PredictOptions(tiny_run))
    assert done.out.name == "claims-judged.csv" and done.rows == 40 and sum(done.verdicts.values()) == 40
    rows = read(done.out)
    assert list(rows[0]) == ["no", "claim", "note", "verdict", "p_true"]
    assert [(row["no"], row["claim"], row["note"]) for row in rows] == [
        (str(n), claim, f"n{n}") for n, claim in enumerate(CLAIMS)
    ]
    answers = verify(CLAIMS, tiny_run)
    assert [row["verdict"] for row in rows] == [a.verdict for a in answers]
    assert np.allclose([float(row["p_true"]) for row in rows], [a.p_true for a in answers], atol=1e-5)
    assert sorted(p.name for p in claims_csv.parent.iterdir()) == ["claims-judged.csv", "claims.csv"]


@pytest.mark.parametrize("cut_after", [1, 3])
def test_a_cut_goes_on_where_it_was_and_ends_in_the_same_bytes(
    claims_csv, tiny_run, small_chunks, monkeypatch, capsys, cut_after
):
    whole = predict(claims_csv, PredictOptions(tiny_run, claims_csv.with_name("whole.csv"))).out.read_bytes()
    score, calls = stream.score_margins, []

    def cut(verifier, texts, advance):
        if len(calls) == cut_after:
            raise KeyboardInterrupt
        calls.append(len(texts))
        return score(verifier, texts, advance)

    monkeypatch.setattr(stream, "score_margins", cut)
    out = claims_csv.with_name("cut.csv")
    with pytest.raises(KeyboardInterrupt):
        predict(claims_csv, PredictOptions(tiny_run, out))
    assert not out.exists()
    cut_after = 99
    assert predict(claims_csv, PredictOptions(tiny_run, out)).out.read_bytes() == whole
    assert sum(calls) == 40, "a row was scored twice, or never"
    assert "rows were scored before" in capsys.readouterr().err
    assert not list(out.parent.glob(".*"))


def test_another_input_under_the_same_name_is_not_taken_for_the_old_one(
    claims_csv, tiny_run, small_chunks, monkeypatch
):
    score = stream.score_margins
    monkeypatch.setattr(stream, "score_margins", lambda *given: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        predict(claims_csv, PredictOptions(tiny_run))
    monkeypatch.setattr(stream, "score_margins", score)
    claims_csv.write_text("claim\n" + "\n".join(reversed(CLAIMS)) + "\n", encoding="utf-8")
    rows = read(predict(claims_csv, PredictOptions(tiny_run)).out)
    assert [row["verdict"] for row in rows] == [a.verdict for a in verify(CLAIMS[::-1], tiny_run)]


def test_a_submission_fills_every_answer_and_nothing_else(tmp_path, tiny_run):
    book = openpyxl.Workbook()
    book.active.append(OFFICIAL)
    for number, claim in enumerate(CLAIMS):
        book.active.append([1000 - number, claim, None])
    book.save(tmp_path / "test.xlsx")
    done = predict(tmp_path / "test.xlsx", PredictOptions(tiny_run, format="submission"))
    header, *rows = openpyxl.load_workbook(done.out).active.values
    assert header == OFFICIAL
    assert [(row[0], row[1]) for row in rows] == [(1000 - n, claim) for n, claim in enumerate(CLAIMS)]
    assert [row[2] for row in rows] == [a.verdict for a in verify(CLAIMS, tiny_run)]


def test_rows_that_cannot_be_judged_are_named_before_any_work(tmp_path, tiny_run, monkeypatch):
    path = tmp_path / "in.jsonl"
    rows = [{"claim": "Được."}, {"claim": " "}, {"claim": 5}, {"claim": "dài " * 3000}, {"claim": None}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    monkeypatch.setattr(stream, "score_margins", None)
    with pytest.raises(DataError) as caught:
        predict(path, PredictOptions(tiny_run))
    told = str(caught.value)
    assert "4 of 5 rows" in told and all(f"row {n}: " in told for n in (2, 3, 4, 5))
    assert list(tmp_path.iterdir()) == [path]


def test_an_output_that_exists_is_kept(claims_csv, tiny_run):
    claims_csv.with_name("claims-judged.csv").write_text("precious")
    with pytest.raises(RunError, match="exists already"):
        predict(claims_csv, PredictOptions(tiny_run))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"abstain": True, "format": "submission"}, "answers every row"),
        ({"format": "submission"}, "no column for the answer"),
        ({"out": "answers.xlsx"}, "same kind"),
    ],
)
def test_options_that_do_not_fit_are_refused(claims_csv, tiny_run, tmp_path, options, told):
    given = options | ({"out": tmp_path / options["out"]} if "out" in options else {})
    with pytest.raises(DataError, match=told):
        predict(claims_csv, PredictOptions(tiny_run, **given))


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_ten_times_the_rows_take_no_more_memory(tmp_path, tiny_run, monkeypatch, suffix):
    monkeypatch.setattr(stream, "score_margins", lambda verifier, texts, advance: np.zeros(len(texts)))
    peaks = []
    for rows in (600, 6_000):
        path = tmp_path / f"{rows}{suffix}"
        texts = [f"Thuốc {n} có tác dụng tốt." for n in range(rows)]
        lines = texts if suffix == ".csv" else [json.dumps({"claim": text}) for text in texts]
        path.write_text("claim\n" * (suffix == ".csv") + "\n".join(lines), encoding="utf-8")
        del texts, lines
        tracemalloc.start()
        predict(path, PredictOptions(tiny_run))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 300_000, peaks


def test_a_file_that_changes_meanwhile_is_refused(claims_csv, tiny_run, monkeypatch):
    score = stream.score_margins

    def change(*given):
        claims_csv.write_text("claim\nKhác.\n", encoding="utf-8")
        return score(*given)

    monkeypatch.setattr(stream, "score_margins", change)
    with pytest.raises(DataError, match="was changed"):
        predict(claims_csv, PredictOptions(tiny_run))
