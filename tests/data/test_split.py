"""Splits never cut a group, and look alike."""

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_claims import claim, claims

from medverdict.data.split import split_by_group
from medverdict.errors import DataError

SHARES = {"train": 0.8, "dev": 0.1, "test": 0.1}


def grouped(count, seed=0, largest=6):
    """Claims in groups of 1 to `largest`, of four sources, in mixed order."""
    dice = random.Random(seed)
    rows = []
    while len(rows) < count:
        name = f"g{len(rows)}"
        for _ in range(dice.randint(1, largest)):
            label = dice.choice(["TRUE", "FALSE"])
            rows.append(claim(f"c{len(rows)}", "x", label, group=name, source=dice.choice("abcd")))
    dice.shuffle(rows)
    return rows


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(150, 400))
def test_no_group_crosses_and_no_row_is_lost(seed, count):
    rows = grouped(count, seed)
    parts = split_by_group(rows, SHARES, seed)
    homes = Counter((row.group, name) for name, part in parts.items() for row in part)
    assert len({group for group, _ in homes}) == len(homes)
    assert Counter(row.id for part in parts.values() for row in part) == Counter(row.id for row in rows)


def test_labels_and_sources_are_spread_evenly():
    rows = grouped(3000)
    parts = split_by_group(rows, SHARES, 1)
    whole = Counter((row.label, row.source) for row in rows)
    for name, part in parts.items():
        assert len(part) == pytest.approx(SHARES[name] * len(rows), abs=3)
        for stratum, count in Counter((row.label, row.source) for row in part).items():
            assert count == pytest.approx(SHARES[name] * whole[stratum], abs=6)


def test_the_seed_decides_and_nothing_else():
    rows = grouped(300)
    assert split_by_group(rows, SHARES, 3) == split_by_group(rows, SHARES, 3)
    assert split_by_group(rows, SHARES, 3) != split_by_group(rows, SHARES, 4)


def test_a_giant_group_goes_to_training():
    rows = [*(c.model_copy(update={"group": "giant"}) for c in claims(100)), *claims(100, first=100)]
    parts = split_by_group(rows, SHARES, 0)
    assert {row.group for row in parts["train"]} >= {"giant"}
    assert len(parts["dev"]) == len(parts["test"]) == 20


def test_three_rows_cannot_be_split():
    with pytest.raises(DataError, match="3 rows are too few to split; expected at least 20"):
        split_by_group(claims(3), SHARES, 0)


def test_one_class_only():
    rows = [row.model_copy(update={"label": "TRUE"}) for row in claims(30)]
    with pytest.raises(DataError, match="all 30 rows are TRUE; expected both"):
        split_by_group(rows, SHARES, 0)


def test_too_few_groups():
    rows = [row.model_copy(update={"group": "one"}) for row in claims(30)]
    with pytest.raises(DataError, match="would hold no rows: 1 groups"):
        split_by_group(rows, SHARES, 0)


@pytest.mark.parametrize(
    "shares", [{"train": 1.1, "dev": -0.1}, {"train": 1.0, "dev": 0.0}, {"train": 0.5, "dev": 0.1}]
)
def test_shares_that_make_no_sense(shares):
    with pytest.raises(DataError, match="expected positive shares that add up to 1"):
        split_by_group(claims(30), shares, 0)
