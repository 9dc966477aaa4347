"""From a knowledge base to balanced claims: every label hangs on knowledge, none on a word."""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest
from knowledge_files import QUESTIONS, vimedical, vimedner

from medverdict import text
from medverdict.errors import DataError
from medverdict.generate.falsify import false_twins
from medverdict.generate.kb import claims_of
from medverdict.generate.knowledge import join_knowledge
from medverdict.generate.records import Fact
from medverdict.generate.style import styled
from medverdict.generate.vimedical import read_vimedical
from medverdict.generate.vimedner import read_vimedner


@pytest.fixture(scope="module")
def facts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kb")
    return join_knowledge([read_vimedical(vimedical(folder)), read_vimedner(vimedner(folder))]).facts


def test_exactly_the_rows_asked_for_half_of_them_true_none_twice(facts):
    for rows in (100, 101):
        claims = claims_of(facts, rows, seed=0)
        assert len(claims) == rows
        assert Counter(claim.label for claim in claims) == {"TRUE": -(-rows // 2), "FALSE": rows // 2}
        assert len({text.fold(claim.text) for claim in claims}) == len({claim.id for claim in claims}) == rows


def test_the_same_seed_gives_the_same_claims_and_another_gives_others(facts):
    assert claims_of(facts, 60, seed=1) == claims_of(facts, 60, seed=1)
    assert claims_of(facts, 60, seed=1) != claims_of(facts, 60, seed=2)


def test_a_claim_says_where_it_comes_from_and_what_it_states(facts):
    known = {fact.triple() for fact in facts}
    for claim in claims_of(facts, 100, seed=0):
        assert (claim.group in known) == (claim.label == "TRUE")
        disease, relation, entity = claim.group.split(" | ")
        assert disease in claim.text.lower() and entity in claim.text.lower() and claim.topic == relation
        assert claim.source.split("/")[0] in ("ViMedical_Disease", "ViMedNER")


def test_twins_differ_in_the_entity_alone(facts):
    pairs = defaultdict(list)
    for claim in claims_of(facts, 100, seed=0):
        pairs[claim.pair].append(claim)
    for twins in pairs.values():
        assert sorted(claim.label for claim in twins) == ["FALSE", "TRUE"]
        frames = {claim.text.lower().replace(claim.group.split(" | ")[2], "…") for claim in twins}
        assert len(frames) == 1


def test_neither_disease_nor_entity_tells_the_label(facts):
    pairs = false_twins(facts, seed=0)
    for field in ("disease", "entity"):
        true, false = (Counter(getattr(pair[side], field) for pair in pairs) for side in (0, 1))
        assert true == false


def test_an_entity_of_a_related_disease_is_never_said_to_be_false_of_it():
    def facts_of(disease, *entities):
        return [Fact(disease=disease, relation="symptom", entity=entity, source="x") for entity in entities]

    told = facts_of("viêm khớp", "cứng khớp buổi sáng", "sưng đầu gối", "đau khi vận động mạnh")
    told += facts_of("viêm khớp cấp", "nóng đỏ quanh ổ khớp", "sốt rét run", "bất động chi")
    told += facts_of("sỏi thận", "đau quặn hông lưng", "tiểu buốt nhiều lần", "nước tiểu lẫn máu")
    pairs = false_twins(told, seed=0)
    assert pairs
    for true, false in pairs:
        assert ("khớp" in true.disease) != any(false.entity == f.entity for f in told if "khớp" in f.disease)


def test_too_few_facts_are_told_with_what_they_would_give(facts):
    with pytest.raises(DataError, match=r"1,000,000 rows were asked for, but \d+ facts with a false twin give"):
        claims_of(facts, 1_000_000, seed=0)
    with pytest.raises(DataError, match="expected at least 2"):
        claims_of(facts, 1, seed=0)


def test_style_tells_a_claim_again_in_other_sentences_and_leaves_label_and_group(facts):
    claims = claims_of(facts, 40, seed=0)
    again = styled(claims, variants=3, seed=0)
    assert again == styled(claims, variants=3, seed=0)
    texts = [text.fold(claim.text) for claim in (*claims, *again)]
    assert len(set(texts)) == len(texts)
    of = {claim.id: claim for claim in claims}
    assert Counter(claim.id.rpartition("-s")[0] for claim in again).most_common(1)[0][1] == 3
    for claim in again:
        origin = of[claim.id.rpartition("-s")[0]]
        assert (claim.label, claim.group, claim.topic) == (origin.label, origin.group, origin.topic)
        assert claim.source.endswith("/styled")
    labels = Counter(claim.label for claim in again)
    assert labels["TRUE"] == labels["FALSE"]


def test_style_needs_claims_that_say_what_they_state(facts):
    claim = claims_of(facts, 2, seed=0)[0].model_copy(update={"group": "kb-000001"})
    with pytest.raises(DataError, match="as `medverdict generate kb` writes it"):
        styled([claim], variants=1, seed=0)


def test_questions_are_enough_without_spans(tmp_path):
    assert len(claims_of(join_knowledge([read_vimedical(vimedical(tmp_path, QUESTIONS))]).facts, 50, seed=0)) == 50
