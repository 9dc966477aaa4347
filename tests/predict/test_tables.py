"""Files of claims keep all that they hold, whatever they are made of."""

import csv
import datetime
import io
import json

import openpyxl
import pytest

from medverdict.errors import DataError
from medverdict.predict.answer import Answer
from medverdict.predict.stream import beside, into_answer_column, open_table

ANSWER = Answer(claim="", verdict="FALSE", p_true=0.25)
OFFICIAL = ("STT", "Mệnh đề Câu hỏi (VIETNAMESE TEXT ONLY)", "Đáp án (TRUE/FALSE)")


def rewritten(path, place=beside):
    table, out = open_table(path), io.BytesIO()
    with table.writer(out) as write:
        for row in table.rows():
            write(*place(row, ANSWER))
    return out.getvalue()


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_a_csv_file_keeps_columns_order_delimiter_line_ends_and_byte_order_mark(tmp_path, delimiter, end, bom):
    rows = [["b", "", "claim", "a", "a"], ["1", "x", 'Nói "có"; không, mà', "2", "3"], ["", "", "hai\ndòng", "", ""]]
    written = io.StringIO(newline="")
    csv.writer(written, delimiter=delimiter, lineterminator=end).writerows(rows)
    path = tmp_path / "in.csv"
    path.write_bytes(bom + written.getvalue().encode("utf-8"))
    made = rewritten(path)
    assert made.startswith(bom) and made.count(b"\xef\xbb\xbf") == len(bom) // 3
    assert made.endswith(end.encode()) and (b"\r\n" in made) == (end == "\r\n")
    again = list(csv.reader(io.StringIO(made.decode("utf-8-sig"), newline=""), delimiter=delimiter))
    assert again == [[*rows[0], "verdict", "p_true"], *([*row, "FALSE", "0.25"] for row in rows[1:])]


def test_json_lines_keep_their_keys_and_values(tmp_path):
    path = tmp_path / "in.jsonl"
    first = {"z": [1, {"y": None}], "claim": "Bệnh lao lây.", "n": 1.5}
    path.write_text(json.dumps(first) + "\n\n" + json.dumps({"text": "Khác khóa."}) + "\n", encoding="utf-8")
    made = [json.loads(line) for line in rewritten(path).splitlines()]
    assert made == [
        {**first, "verdict": "FALSE", "p_true": 0.25},
        {"text": "Khác khóa.", "verdict": "FALSE", "p_true": 0.25},
    ]
    assert list(made[0]) == ["z", "claim", "n", "verdict", "p_true"]


@pytest.fixture
def workbook(tmp_path):
    book = openpyxl.Workbook()
    notes = book.active
    notes.title = "Ghi chú"
    notes.append(["Đọc kỹ", None, 3])
    sheet = book.create_sheet("Đề thi")
    sheet.append([*OFFICIAL, "ngày"])
    for number in (7, 3, 5):
        sheet.append([number, f"Mệnh đề số {number}.", None, datetime.datetime(2026, 1, number)])
    sheet.append([9, "=1+1 là hai", None, None])
    sheet["B5"].data_type = "s"
    sheet.append([None, "  ", None, None])
    path = tmp_path / "in.xlsx"
    book.save(path)
    return path


def test_a_test_sheet_is_filled_in_its_order(workbook):
    made = openpyxl.load_workbook(io.BytesIO(rewritten(workbook, into_answer_column)))
    assert made.sheetnames == ["Ghi chú", "Đề thi"]
    assert list(made["Ghi chú"].values) == [("Đọc kỹ", None, 3)]
    rows = list(made["Đề thi"].values)
    assert rows[0] == (*OFFICIAL, "ngày")
    assert [row[0] for row in rows[1:]] == [7, 3, 5, 9]
    assert {row[2] for row in rows[1:]} == {"FALSE"}
    assert rows[1][3] == datetime.datetime(2026, 1, 7)


def test_text_that_looks_like_a_formula_stays_text(workbook):
    sheet = openpyxl.load_workbook(io.BytesIO(rewritten(workbook)))["Đề thi"]
    assert sheet["B5"].value == "=1+1 là hai" and sheet["B5"].data_type == "s"


FAULTS = {
    "empty.csv": (b"", "empty"),
    "no-claim.csv": ("câu,đáp án\na,b\n".encode(), "no column for the claim"),
    "no-claim.jsonl": (b'{"sentence": "a"}\n', "line 1: no column for the claim"),
    "broken.jsonl": (b'{"claim": "a"}\n{"claim": \n', "line 2: broken JSON"),
    "list.jsonl": (b"[1]\n", "no JSON object"),
    "utf16.csv": ("claim\nBệnh\n".encode("utf-16"), "UTF-16"),
    "latin.csv": (b"claim\na\nb\xe9\n", "not UTF-8 (byte 0xe9)"),
    "latin.jsonl": (b'{"claim": "\xe9"}\n', "not UTF-8"),
    "quote.csv": (b'claim,n\n"a"b",1\n', "must be doubled"),
    "wide.csv": (b"claim,n\na, b, c\n", "must stand in double quotes"),
    "taken.csv": (b"claim,verdict\na,b\n", "column 'verdict' already"),
    "broken.xlsx": (b"PK\x03\x04 and no more", "not a workbook"),
    "old.xls": (b"\xd0\xcf\x11\xe0", "unknown suffix"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_file_that_cannot_be_used_is_answered_with_its_fault(tmp_path, name):
    content, words = FAULTS[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        rewritten(tmp_path / name)
    assert words in str(caught.value)


def test_a_submission_needs_an_answer_column(tmp_path):
    path = tmp_path / "in.csv"
    path.write_text("claim\nBệnh lao lây.\n", encoding="utf-8")
    with pytest.raises(DataError, match="no column for the answer"):
        rewritten(path, into_answer_column)
