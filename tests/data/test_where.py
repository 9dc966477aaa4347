"""One subdomain of a split."""

from __future__ import annotations

import pytest

from medverdict.data.where import select
from medverdict.errors import DataError
from medverdict.files import sha256_file, write_jsonl
from medverdict.records import Claim, Split

CLAIMS = tuple(
    Claim(id=f"c{n}", text=f"Câu {n}.", label="TRUE" if n % 2 else "FALSE", topic=topic, source=f"kb/{topic}")
    for n, topic in enumerate(["tim mạch"] * 6 + ["Thần kinh"] * 4 + ["thận"] * 2)
)
SPLIT = Split(name="train", claims=CLAIMS, sha256="whole")


def topics(*conditions):
    return {claim.topic for claim in select(SPLIT, conditions).claims}


def test_a_field_chooses_rows_and_the_hash_is_theirs(tmp_path):
    chosen = select(SPLIT, ["topic=thận"])
    assert [claim.id for claim in chosen.claims] == ["c10", "c11"]
    write_jsonl(tmp_path / "rows.jsonl", chosen.claims)
    assert chosen.sha256 == sha256_file(tmp_path / "rows.jsonl")
    assert (chosen.name, chosen.where) == ("train", ("topic=thận",))


def test_no_condition_leaves_the_split_as_it_is():
    assert select(SPLIT, ()) is SPLIT


def test_stars_case_two_values_and_two_fields():
    assert topics("topic=TH*") == {"Thần kinh", "thận"}
    assert topics("topic=thận", "topic=tim mạch") == {"thận", "tim mạch"}
    assert topics("topic=*", "source=kb/tim*") == {"tim mạch"}


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("thận", "expected field=value"),
        ("organ=thận", "a field being topic, source"),
        ("topic=", "expected field=value"),
        ("topic=gan", r"no row of the train split. Its topics: tim mạch \(6\), Thần kinh \(4\), thận \(2\)"),
        ("label=TRUE", "only TRUE rows"),
    ],
)
def test_a_condition_that_leaves_nothing_to_learn_from_says_what_there_is(condition, said):
    with pytest.raises(DataError, match=said):
        select(SPLIT, [condition])
