"""From raw files to a knowledge base: what is kept, what is left out and why."""

from __future__ import annotations

from collections import Counter

import pytest
from knowledge_files import QUESTIONS, vimedical, vimedner

from medverdict.errors import DataError
from medverdict.generate.knowledge import join_knowledge
from medverdict.generate.phrases import fault_of_entity, lower
from medverdict.generate.vimedical import read_vimedical
from medverdict.generate.vimedner import read_vimedner


def entities(knowledge):
    return {fact.entity for fact in knowledge.facts}


def told(tmp_path, *phrases, disease="Cảm Cúm"):
    return read_vimedical(vimedical(tmp_path, {disease: list(phrases)}))


def test_a_question_loses_its_opening_and_its_closing_question(tmp_path):
    assert entities(told(tmp_path, "đau cơ khắp người")) == {"đau cơ khắp người"}


def test_symptoms_that_can_stand_alone_are_told_alone_as_well(tmp_path):
    many = ["đau họng", "sốt cao"] * 12
    found = entities(told(tmp_path, *many, "sốt cao và đau họng", "khó tập trung và định hướng"))
    assert {"sốt cao và đau họng", "sốt cao", "đau họng"} <= found
    assert "khó tập trung và định hướng" in found and "định hướng" not in found


def test_of_a_history_only_the_symptom_is_kept_and_a_worry_is_cut_off(tmp_path):
    found = entities(told(tmp_path, "xơ gan và hiện đang bị đau bụng dưới", "tắc mũi nặng và lo lắng về sức khỏe"))
    assert found == {"đau bụng dưới", "tắc mũi nặng"}


@pytest.mark.parametrize(
    ("phrase", "reason"),
    [
        ("muốn biết cách chữa trị", "no symptom"),
        ("thói quen hút thuốc lá", "no symptom"),
        ("ho", "too short"),
        ("rất", "too short"),
        ("cảm cúm nặng hơn", "names the disease itself"),
        ("đau nhức do", "a fragment"),
        ("đau như “kim châm", "a fragment"),
        ("hậu môn", "says nothing alone"),
        ("bé nhà sốt cao", "speaks of a person"),
        ("mệt nhiều. nước tiểu sẫm màu", "two sentences"),
        (" ".join(["đau"] * 17), "too long"),
    ],
)
def test_what_is_no_symptom_is_left_out_with_its_reason(tmp_path, phrase, reason):
    knowledge = told(tmp_path, phrase)
    assert knowledge.facts == ()
    assert [row.reason.startswith(reason) for row in knowledge.dropped] == [True], knowledge.dropped
    assert knowledge.dropped[0].line == 2


def test_acronyms_keep_their_capitals_and_known_misspellings_are_mended():
    assert lower("Nhiễm HIV Và Viêm Gan A") == "nhiễm HIV và viêm gan A"
    assert lower("Xơ Cứng Bi Toàn Thể") == "xơ cứng bì toàn thể"


def test_a_term_of_one_word_is_no_fragment():
    assert fault_of_entity("warfarin", "đột quỵ") is None
    assert fault_of_entity("ho", "đột quỵ")


def test_spans_belong_to_the_one_disease_of_their_sentence(tmp_path):
    knowledge = read_vimedner(vimedner(tmp_path))
    assert {(f.disease, f.relation, f.entity) for f in knowledge.facts} == {
        ("hen suyễn", "cause", "phấn hoa mùa xuân"),
        ("sỏi thận", "diagnosis", "siêu âm ổ bụng"),
        ("thiếu máu", "treatment", "viên sắt"),
    }


@pytest.mark.parametrize(
    ("sentence", "spans", "reason"),
    [
        ("hen và lao gây ho khan", {"hen": "DISEASE", "lao": "DISEASE", "ho khan": "SYMPTOM"}, "several diseases"),
        ("lao phổi không gây rụng tóc", {"lao phổi": "DISEASE", "rụng tóc": "SYMPTOM"}, "the sentence denies"),
        ("ho khan kéo dài", {"ho khan": "SYMPTOM"}, "no disease"),
        ("lao phổi gây đau ngực", {"lao phổi": "DISEASE", "đau ngự": "SYMPTOM"}, "a fragment"),
    ],
)
def test_a_sentence_of_no_use_is_left_out_with_its_reason(tmp_path, sentence, spans, reason):
    knowledge = read_vimedner(vimedner(tmp_path, [(sentence, spans)]))
    assert knowledge.facts == ()
    assert knowledge.dropped[0].reason.startswith(reason)


def test_two_files_become_one_knowledge_base_each_fact_once_under_one_name(tmp_path):
    twice = {**QUESTIONS, "Bệnh Hen Suyễn": ["thở khò khè ban đêm", "ngực nặng về đêm"]}
    knowledge = join_knowledge([read_vimedical(vimedical(tmp_path, twice)), read_vimedner(vimedner(tmp_path))])
    assert all(count == 1 for count in Counter(fact.key() for fact in knowledge.facts).values())
    assert {f.disease for f in knowledge.facts if "hen" in f.disease} == {"hen suyễn"}
    assert Counter(row.reason for row in knowledge.dropped)["the same fact again"] == 1


def test_what_everybody_has_and_what_is_known_of_nobody_is_left_out(tmp_path):
    crowd = {f"Bệnh số {n}": ["mệt lả người", f"dấu hiệu lạ {n}a", f"dấu hiệu lạ {n}b", f"nốt {n}c"] for n in range(31)}
    knowledge = join_knowledge([read_vimedical(vimedical(tmp_path, {**crowd, "Bệnh hiếm": ["da nổi vân tím"]}))])
    assert "mệt lả người" not in entities(knowledge)
    assert not any(fact.disease == "bệnh hiếm" for fact in knowledge.facts)
    reasons = Counter(row.reason for row in knowledge.dropped)
    assert reasons["said of over 30 diseases"] == 31 and reasons["fewer than 3 facts of its disease"] == 1


def test_a_file_of_another_form_is_refused_with_its_line(tmp_path):
    (tmp_path / "a.csv").write_text("name,text\na,b\n", encoding="utf-8")
    with pytest.raises(DataError, match="expected a CSV with the columns Disease, Question"):
        read_vimedical(tmp_path / "a.csv")
    (tmp_path / "b.jsonl").write_text('{"text": "a", "label": []}\n{"text": "a"}\n', encoding="utf-8")
    with pytest.raises(DataError, match="line 2"):
        read_vimedner(tmp_path / "b.jsonl")
    with pytest.raises(DataError, match="cannot be read"):
        read_vimedner(tmp_path / "absent.jsonl")
