"""Rows that belong together get one name, also over a chain."""

import pytest
from toy_claims import claim, claims, sentence

from medverdict.data.group import assign_groups
from medverdict.data.read import read_split
from medverdict.data.similar import near_pairs


def groups_of(rows):
    return [row.group for row in assign_groups(rows)]


def families(rows):
    return {frozenset(row.id for row in rows if row.group == name) for name in {row.group for row in rows}}


def test_unrelated_claims_are_groups_of_their_own_named_after_themselves():
    assert groups_of(claims(4)) == ["c0", "c1", "c2", "c3"]


def test_twins_of_a_pair_stay_together_however_different():
    rows = [claim("a", sentence(1), pair="f:1"), claim("b", sentence(2)), claim("c", sentence(3), "FALSE", pair="f:1")]
    assert groups_of(rows) == ["a", "b", "a"]


def test_a_group_that_was_given_is_kept_together():
    rows = [claim("a", sentence(1), group="lao|gây|ho"), claim("b", sentence(2), group="lao|gây|ho")]
    assert groups_of(rows) == ["a", "a"]


def test_the_same_text_up_to_case_and_punctuation():
    assert groups_of([claim("a", "Lao lây."), claim("b", "Cúm, sởi."), claim("c", "LAO – lây!")]) == ["a", "b", "a"]


def test_a_chain_of_near_duplicates_is_one_group_though_its_ends_differ():
    words = sentence(1, 30).split()
    chain = [" ".join(words[: 30 - 2 * n] + sentence(2, 30).lower().split()[: 2 * n]) for n in range(8)]
    rows = [claim(f"c{n}", text) for n, text in enumerate(chain)]
    assert not len(near_pairs(chain[:1], chain[-1:], 0.8).left)
    assert set(groups_of(rows)) == {"c0"}


def test_the_group_belongs_to_the_set_not_to_the_order():
    rows = [*claims(6), claim("x", sentence(2).replace(".", "!"))]
    assert families(assign_groups(rows)) == families(assign_groups(rows[::-1]))


@pytest.mark.pinned
def test_the_public_half_of_the_sample_falls_into_about_half_of_the_known_groups(shared_data):
    found = read_split(shared_data / "official" / "dev.jsonl")
    assert len(found.claims) == 623
    assert abs(len({claim.group for claim in found.claims}) - 1030 / 2) < 15
