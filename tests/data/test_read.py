"""What a user may bring, and what each mistake in it is called."""

import json
import unicodedata
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toy_claims import claims, sentence, write_rows

from medverdict.data.read import read_claims, read_split, write_split
from medverdict.errors import DataError, MedverdictError

TWO = [{"claim": "Lao lây qua đường hô hấp.", "label": "TRUE"}, {"claim": "Cúm do vi khuẩn.", "label": "FALSE"}]
SHEET = "STT,Mệnh đề Câu hỏi (VIETNAMESE TEXT ONLY),Đáp án (TRUE/FALSE)\n"


def save(folder: Path, content: str | bytes, name: str = "rows.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


def refusal(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_claims(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


# --- what is read


@pytest.mark.parametrize("names", [("claim", "label"), ("input", "output")])
def test_json_lines_with_either_pair_of_names(tmp_path, names):
    rows = [dict(zip(names, row.values(), strict=True)) for row in TWO]
    read = read_claims(write_rows(tmp_path / "mine.jsonl", rows))
    assert [(c.id, c.text, c.label) for c in read.claims] == [
        ("mine:1", "Lao lây qua đường hô hấp.", "TRUE"),
        ("mine:2", "Cúm do vi khuẩn.", "FALSE"),
    ]


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["without BOM", "with BOM"])
@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_official_sheet(tmp_path, mark, form, delimiter):
    sheet = SHEET + '7,"Lao, cúm; và\nsởi lây.",TRUE\n'.replace(",", "\0").replace("\0", ",")
    if delimiter != ",":
        sheet = sheet.replace("7,", f"7{delimiter}").replace('",', f'"{delimiter}')
        sheet = sheet.replace("STT,Mệnh", f"STT{delimiter}Mệnh").replace("),Đáp", f"){delimiter}Đáp")
    read = read_claims(save(tmp_path, mark + unicodedata.normalize(form, sheet).encode("utf-8")))
    assert [(c.id, c.text, c.label) for c in read.claims] == [("rows:7", "Lao, cúm; và sởi lây.", "TRUE")]


def test_headers_are_recognised_in_any_case_and_spacing(tmp_path):
    sheet = " stt , mệnh đề  câu hỏi(vietnamese text only),ĐÁP ÁN (true/false)\n1,Lao lây.,Đúng\n"
    assert read_claims(save(tmp_path, sheet)).claims[0].label == "TRUE"


@pytest.mark.parametrize(
    ("written", "label"),
    [
        *((w, "TRUE") for w in ("TRUE", "True", "true", "Đúng", "ĐÚNG", "đúng", " 1 ", 1, True)),
        *((w, "FALSE") for w in ("FALSE", "False", "false", "Sai", "SAI", "0", 0, False)),
        (unicodedata.normalize("NFD", "Đúng"), "TRUE"),
    ],
)
def test_labels_in_any_of_their_forms(tmp_path, written, label):
    read = read_claims(write_rows(tmp_path / "a.jsonl", [{"claim": "Lao lây.", "label": written}]))
    assert read.claims[0].label == label


def test_what_else_a_row_says_is_kept(tmp_path):
    row = TWO[0] | {"id": "x1", "topic": "lao", "pair_id": "p1", "source": "09-teacher-style", "group": "family"}
    (found,) = read_claims(write_rows(tmp_path / "a.jsonl", [row])).claims
    assert (found.id, found.topic, found.pair, found.source, found.group) == (
        ("x1", "lao", "a:p1", "09-teacher-style", "family")
    )


def test_two_files_may_use_the_same_pair_names(tmp_path):
    row = TWO[0] | {"pair": "1"}
    first, second = (read_claims(write_rows(tmp_path / name, [row])).claims[0] for name in ("a.jsonl", "b.jsonl"))
    assert first.pair != second.pair


def test_a_cell_may_hold_line_breaks_and_blank_rows_are_no_rows(tmp_path):
    read = read_claims(save(tmp_path, 'claim,label\n\n"Lao\r\nlây.",1\n,,\n\nCúm lây.,0\n'))
    assert [(c.text, c.id) for c in read.claims] == [("Lao lây.", "rows:3"), ("Cúm lây.", "rows:6")]


# --- rows that are left out


def test_a_row_without_text_and_one_too_long_are_dropped_with_their_place(tmp_path):
    rows = [*TWO, {"claim": "  ", "label": "TRUE"}, {"claim": None, "label": ""}, {"claim": "a" * 2001, "label": 1}]
    read = read_claims(write_rows(tmp_path / "a.jsonl", rows))
    assert len(read.claims) == 2
    assert [(d.file, d.line, d.reason) for d in read.dropped] == [
        ("a.jsonl", 3, "empty text"),
        ("a.jsonl", 4, "empty text"),
        ("a.jsonl", 5, "longer than 2000 characters"),
    ]


def test_mojibake_is_reported_and_only_repaired_on_request(tmp_path):
    path = write_rows(tmp_path / "a.jsonl", [{"claim": "Thuá»‘c giáº£m Ä‘au.", "label": "TRUE"}, TWO[1]])
    kept, repaired = read_claims(path), read_claims(path, repair_mojibake=True)
    assert kept.claims[0].text == "Thuá»‘c giáº£m Ä‘au."
    assert repaired.claims[0].text == "Thuốc giảm đau."
    assert kept.mojibake == repaired.mojibake
    assert [tuple(m) for m in kept.mojibake] == [(1, "Thuá»‘c giáº£m Ä‘au.", "Thuốc giảm đau.")]


def test_a_sheet_whose_headers_and_labels_are_mojibake_too(tmp_path):
    broken = (SHEET + "1,Lao lây.,Đúng\n").encode("utf-8").decode("cp1252", errors="replace")
    assert "mojibake" in refusal(save(tmp_path, "claim,label\nLao lây.,ÄÃºng\n"))
    assert "no column for the claim" in refusal(save(tmp_path, broken))
    read = read_claims(save(tmp_path, "claim,label\nThuá»‘c.,Äáº£ng\n".replace("Äáº£ng", "1")), repair_mojibake=True)
    assert read.claims[0].text == "Thuốc."


def test_the_published_guide_is_recognised_as_mojibake(shared_data, tmp_path):
    guide = shared_data.parent / "seed" / "training_v5_guide.txt"
    if not guide.is_file():
        pytest.skip(f"{guide} is not there")
    lines = [line for line in guide.read_text(encoding="utf-8").splitlines() if "áº" in line or "á»" in line]
    path = write_rows(tmp_path / "guide.jsonl", ({"claim": line, "label": "TRUE"} for line in lines))
    read = read_claims(path, repair_mojibake=True)
    assert len(read.mojibake) >= 0.9 * len(lines) > 20
    assert any("Giới hạn" in claim.text for claim in read.claims)


# --- files that are of no use, and what the user is told


def test_a_missing_file(tmp_path):
    assert "no such file" in refusal(tmp_path / "absent.csv")


def test_a_folder(tmp_path):
    assert "is a folder" in refusal(tmp_path)


@pytest.mark.parametrize("content", ["", " \n\n", "\ufeff"])
def test_an_empty_file(tmp_path, content):
    assert "the file is empty" in refusal(save(tmp_path, content))


def test_a_header_without_rows(tmp_path):
    assert "no rows below the header" in refusal(save(tmp_path, "claim,label\n"))


def test_a_file_with_only_unusable_rows_says_why(tmp_path):
    assert "2 empty text" in refusal(save(tmp_path, "claim,label\n,TRUE\n,FALSE\n"))


def test_broken_json_is_named_by_line(tmp_path):
    message = refusal(save(tmp_path, json.dumps(TWO[0]) + '\n{"claim": "a" "label"\n', "a.jsonl"))
    assert "line 2" in message
    assert "broken JSON" in message


def test_json_that_is_not_an_object_a_line(tmp_path):
    assert "line 1" in refusal(save(tmp_path, "3\n", "a.jsonl"))
    assert "one JSON object a line" in refusal(save(tmp_path, json.dumps(TWO), "a.json"))


def test_a_missing_column_names_what_was_found_and_expected(tmp_path):
    message = refusal(save(tmp_path, "question,label\na,TRUE\n"))
    assert "'question', 'label'" in message
    assert "'claim' or 'input'" in message
    assert "Mệnh đề Câu hỏi (VIETNAMESE TEXT ONLY)" in message
    assert "line 2: no column for the label" in refusal(
        save(tmp_path, json.dumps(TWO[0]) + '\n{"claim": "a"}\n', "a.jsonl")
    )


def test_an_unknown_label(tmp_path):
    message = refusal(save(tmp_path, "claim,label\nLao lây.,TRUE\nCúm lây.,maybe\n"))
    assert "line 3" in message
    assert "'maybe'" in message
    assert "TRUE/FALSE, Đúng/Sai or 1/0" in message


@pytest.mark.parametrize("written", ["", None, 2, 0.5, "KHÔNG ĐÚNG", ["TRUE"]])
def test_a_label_is_never_guessed(tmp_path, written):
    assert "label" in refusal(write_rows(tmp_path / "a.jsonl", [{"claim": "Lao lây.", "label": written}]))


def test_bytes_that_are_not_utf8_are_located(tmp_path):
    message = refusal(save(tmp_path, "claim,label\nLao lây.,TRUE\n".encode() + b"B\xean,FALSE\n"))
    assert "line 3" in message
    assert "0xea at byte offset 28" in message


def test_other_formats_are_called_by_name(tmp_path):
    assert "UTF-16" in refusal(save(tmp_path, "claim,label\n".encode("utf-16")))
    assert "save the sheet as CSV" in refusal(save(tmp_path, b"PK\x03\x04...", "a.xlsx"))


def test_a_claim_with_an_unquoted_comma_is_not_cut(tmp_path):
    message = refusal(save(tmp_path, "claim,label\nLao, cúm lây.,TRUE\n"))
    assert "row 2: 3 cells under 2 headers" in message
    assert "double quotes" in message


def test_a_quote_that_never_ends_does_not_swallow_the_rest(tmp_path):
    assert "broken CSV" in refusal(save(tmp_path, 'claim,label\n"Lao lây.,TRUE\nCúm lây.,FALSE\n'))


def test_duplicate_ids(tmp_path):
    message = refusal(write_rows(tmp_path / "a.jsonl", [row | {"id": "same"} for row in TWO]))
    assert "1 ids stand more than once: same" in message


def test_half_a_character_is_refused_before_it_spoils_a_file(tmp_path):
    path = save(tmp_path, '{"claim": "a \\ud800 b", "label": 1}\n', "a.jsonl")
    assert "surrogate" in refusal(path)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=200) | st.text(max_size=200).map(lambda t: t.encode("utf-8", "surrogatepass")))
@pytest.mark.parametrize("name", ["a.jsonl", "a.csv"])
def test_no_bytes_lead_to_anything_but_claims_or_our_own_error(tmp_path, name, content):
    with suppress(MedverdictError):
        assert read_claims(save(tmp_path, content, name)).claims


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda children: st.lists(children, max_size=2) | st.dictionaries(st.text(max_size=5), children, max_size=2),
    max_leaves=4,
)
KEYS = ("claim", "input", "label", "output", "id", "stt", "topic", "pair_id", "group", "source", "text")


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.dictionaries(st.sampled_from(KEYS), JSON | st.sampled_from(["TRUE", "Sai", 1])), max_size=4))
def test_no_json_leads_to_anything_but_claims_or_our_own_error(tmp_path, rows):
    content = "".join(json.dumps(row) + "\n" for row in rows)
    try:
        read = read_claims(save(tmp_path, content, "a.jsonl"))
    except MedverdictError:
        return
    assert len(read.claims) + len(read.dropped) == len(rows)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cells=st.lists(st.tuples(st.text(max_size=30), st.sampled_from(["TRUE", "sai", "1", "x"])), max_size=4))
def test_no_csv_leads_to_anything_but_claims_or_our_own_error(tmp_path, cells):
    content = "claim,label\r\n" + "".join(
        f'"{text.replace(chr(34), chr(34) * 2)}",{label}\r\n' for text, label in cells
    )
    try:
        read = read_claims(save(tmp_path, content.encode("utf-8", "surrogatepass")))
    except MedverdictError:
        return
    assert len(read.claims) + len(read.dropped) == len(cells)


# --- splits


def test_a_stored_split_is_read_back_as_it_was_written(tmp_path):
    rows = claims(5, pair="p", group="g", topic="t")
    written = write_split(tmp_path / "dev.jsonl", "dev", rows)
    assert read_split(tmp_path / "dev.jsonl") == written


def test_a_plain_file_becomes_a_split_with_groups_and_keeps_its_repeats(tmp_path):
    rows = [{"claim": sentence(n), "label": "TRUE"} for n in (1, 2, 1)]
    read = read_split(write_rows(tmp_path / "mine.jsonl", rows), "test")
    assert read.name == "test"
    assert [c.group for c in read.claims] == ["mine:1", "mine:2", "mine:1"]


def test_a_test_is_never_shortened_in_silence(tmp_path):
    path = write_rows(tmp_path / "a.jsonl", [*TWO, {"claim": "", "label": "TRUE"}])
    with pytest.raises(DataError, match=r"1 rows without a text \(line 3\)"):
        read_split(path)
