"""Claims out of a classification and out of question-answer pairs: a false one differs in one place."""

from __future__ import annotations

import json
from collections import Counter, defaultdict

import pytest
from knowledge_files import answers, icd10

from medverdict.errors import DataError
from medverdict.generate.icd10 import claims_of_icd10
from medverdict.generate.qa import claims_of_qa


def twins_of(claims):
    pairs = defaultdict(dict)
    for claim in claims:
        pairs[claim.pair][claim.label] = claim
    assert all(set(twins) == {"TRUE", "FALSE"} for twins in pairs.values())
    return list(pairs.values())


def test_codes_names_classes_chapters_and_ranges_are_all_told(tmp_path):
    claims = claims_of_icd10(icd10(tmp_path), None, seed=0).claims
    kinds = {claim.source.split("/")[1] for claim in claims}
    assert kinds == {"code", "english", "category", "block", "chapter", "range"}
    assert Counter(claim.label for claim in claims)["TRUE"] == len(claims) / 2


def test_a_false_code_is_a_sibling_s_and_a_true_one_the_list_s(tmp_path):
    path = icd10(tmp_path)
    code_of = {}
    for line in path.read_text(encoding="utf-8").splitlines()[1:]:
        cells = line.split(",")
        code_of[cells[7].lower()] = cells[5]
    for twins in twins_of(c for c in claims_of_icd10(path, None, seed=0).claims if c.source.endswith("/code")):
        stated = {label: claim.text.rstrip(".").split(" là ")[1] for label, claim in twins.items()}
        name = next(n for n in sorted(code_of, key=len, reverse=True) if n in twins["TRUE"].text.lower())
        assert code_of[name] == stated["TRUE"] != stated["FALSE"]
        assert stated["FALSE"][:2] == stated["TRUE"][:2]


def test_everything_on_a_category_is_one_group(tmp_path):
    claims = claims_of_icd10(icd10(tmp_path), None, seed=0).claims
    assert len({claim.group for claim in claims}) == 8


def test_rows_that_cannot_be_told_are_left_out_with_the_reason(tmp_path):
    path = icd10(tmp_path)
    more = "A00-B99,C,B,A00,K,A00-A01,Star,Sao đỏ\nA00-B99,C,B,A00,K,A00.8,,Thiếu tên\n"
    path.write_text(path.read_text(encoding="utf-8") + more, encoding="utf-8")
    dropped = claims_of_icd10(path, None, seed=0).dropped
    reasons = Counter(row.reason for row in dropped)
    assert {row.file for row in dropped} == {path.name}
    assert reasons["not an ordinary code (asterisk, dagger or several)"] == reasons["a name is missing"] == 1


def test_a_smaller_number_of_rows_is_a_part_in_seeded_order(tmp_path):
    path = icd10(tmp_path)
    some = claims_of_icd10(path, 10, seed=0).claims
    assert len(some) == 10 and some == claims_of_icd10(path, 10, seed=0).claims
    assert some != claims_of_icd10(path, 10, seed=1).claims


def test_an_answer_that_stands_alone_is_true_and_false_of_another_drug(tmp_path):
    made = claims_of_qa([answers(tmp_path)], None, seed=0)
    subjects = [twins for twins in twins_of(made.claims) if twins["TRUE"].source.endswith("/subject")]
    assert len(subjects) == 6
    for twins in subjects:
        true, false = twins["TRUE"].text, twins["FALSE"].text
        assert true.split()[0] == false.split()[0] == "Thuốc"
        assert true.split()[1] != false.split()[1] and true.split()[2:] == false.split()[2:]
    names = [Counter(twins[label].text.split()[1] for twins in subjects) for label in ("TRUE", "FALSE")]
    assert names[0] == names[1]


def test_a_number_is_changed_to_another_one(tmp_path):
    [twins] = [t for t in twins_of(claims_of_qa([answers(tmp_path)], None, 0).claims) if "Etamol" in t["TRUE"].text]
    assert " 500 mg" in twins["TRUE"].text and " 500 mg" not in twins["FALSE"].text
    assert twins["TRUE"].source == "ViMedAQA/number"


def rows(folder, *given):
    whole = [{"question": "?", "context": "", "keyword": "Etamol", "topic": 2} | row for row in given]
    path = folder / "ViMedAQA_x.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in whole), encoding="utf-8")
    return path


@pytest.mark.parametrize(("bound", "smaller"), [("ít nhất", False), ("tối đa", True)])
def test_a_bound_moves_to_where_the_sentence_is_false(tmp_path, bound, smaller):
    for seed in range(8):
        path = rows(tmp_path, {"answer": f"Thời gian ngưng Etamol trước khi phẫu thuật {bound} 8 ngày liên tục."})
        [twins] = twins_of(claims_of_qa([path], None, seed).claims)
        number = int(next(word for word in twins["FALSE"].text.split() if word.isdigit()))
        assert (number < 8) == smaller


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("Có, nên hỏi bác sĩ trước khi dùng Etamol nhé.", "no statement of its own"),
        ("Etamol tốt.", "not of 7 to 45 words"),
        ("Thuốc này được bào chế từ vỏ cây liễu trắng.", "does not name its subject"),
        ("Bài thuốc gồm Etamol 10 g, cam thảo 5 g, quế chi 3 g.", "a list of amounts"),
        ("Etamol là một thuốc. Nó được bào chế từ cây liễu.", "several sentences"),
    ],
)
def test_an_answer_of_no_use_is_left_out_with_its_reason(tmp_path, answer, reason):
    made = claims_of_qa([rows(tmp_path, {"answer": answer})], None, seed=0)
    assert made.claims == ()
    assert [row.reason for row in made.dropped] == [reason]


def test_advice_never_gets_another_subject_for_it_would_stay_true(tmp_path):
    path = answers(tmp_path)
    advice = {"answer": "Thuốc Iotanol được khuyên dùng tránh ánh nắng gay gắt giữa trưa hè.", "keyword": "Iotanol"}
    whole = {"question": "?", "context": "ánh nắng gay gắt giữa trưa hè", "topic": 2} | advice
    path.write_text(path.read_text(encoding="utf-8") + json.dumps(whole, ensure_ascii=False) + "\n", encoding="utf-8")
    made = claims_of_qa([path], None, seed=0)
    assert not any("ánh nắng" in claim.text for claim in made.claims)
    assert "no false twin" in {row.reason for row in made.dropped}


def test_a_file_of_another_form_is_refused_with_its_line(tmp_path):
    path = rows(tmp_path, {"answer": "a"}, {"answer": "b", "topic": "x"})
    with pytest.raises(DataError, match="line 2: expected question, answer, context, keyword and topic"):
        claims_of_qa([path], None, seed=0)
    (tmp_path / "a.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(DataError, match="no column MÃ CHƯƠNG"):
        claims_of_icd10(tmp_path / "a.csv", None, seed=0)
