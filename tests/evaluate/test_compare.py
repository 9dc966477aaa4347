"""Paired comparison: hand calculations, refusal of other rows, and words for nothing found."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
from judged import judged, toy_run

from medverdict.errors import DataError
from medverdict.evaluate.compare import bootstrap_difference, compare, detectable_difference, mcnemar
from medverdict.records import Prediction


def answers(pattern: str, run: str) -> list[Prediction]:
    """One row a character: `+` right, `-` wrong; labels alternate."""
    rows = []
    for i, right in enumerate(pattern):
        says_true = (i % 2 == 0) == (right == "+")
        rows.append(judged(i, "TRUE" if i % 2 == 0 else "FALSE", 1.0 if says_true else -1.0, run=run))
    return rows


def test_mcnemar_by_hand() -> None:
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(8, 2) == pytest.approx(2 * (45 + 10 + 1) / 1024)
    assert mcnemar(5, 0) == pytest.approx(2 / 32)
    assert mcnemar(2, 8) == mcnemar(8, 2)


def test_won_and_lost_rows_are_named() -> None:
    found = compare([answers("++-+" * 10, "a")], [answers("+-++" * 10, "b")])
    assert found.difference == 0.0
    assert found.won == tuple(f"c{i}" for i in range(1, 40, 4))
    assert found.lost == tuple(f"c{i}" for i in range(2, 40, 4))
    assert (found.a, found.b, found.n, found.groups, found.seeds) == ("a", "b", 40, 40, (1, 1))


def test_nothing_found_is_said_in_words() -> None:
    found = compare([answers("++-+" * 10, "a")], [answers("+-++" * 10, "b")])
    assert found.sentence.startswith("No detectable difference between a and b")
    assert found.low < 0 < found.high
    assert f"{100 * found.detectable:.1f} points" in found.sentence


def test_a_clear_difference_is_called_one_from_either_side() -> None:
    good, bad = [toy_run(200, skill=2.0, run="good")], [toy_run(200, skill=0.1, seed=1, run="bad")]
    assert compare(good, bad).sentence.startswith("good is better than bad")
    turned = compare(bad, good)
    assert turned.sentence.startswith("bad is worse than good")
    assert turned.difference == -compare(good, bad).difference
    assert turned.p < 0.001


def test_the_interval_agrees_with_the_normal_one_on_singleton_groups() -> None:
    a, b = toy_run(800, skill=1.0, run="a"), toy_run(800, skill=0.5, seed=4, run="b")
    found = compare([a], [b])
    psi = (len(found.won) + len(found.lost)) / 800
    half = 1.96 * np.sqrt((psi - found.difference**2) / 800)
    assert found.low == pytest.approx(found.difference - half, abs=0.006)
    assert found.high == pytest.approx(found.difference + half, abs=0.006)


def test_seeds_are_pooled_and_their_spread_widens_the_interval() -> None:
    steady = np.ones((100, 3), np.bool_)
    swinging = np.ones((100, 3), np.bool_)
    swinging[:, 0] = False
    half = np.zeros((100, 1), np.bool_)
    group = np.arange(100)
    assert bootstrap_difference(steady, half, group).std() == pytest.approx(0.0, abs=1e-9)
    assert bootstrap_difference(swinging, half, group).std() == pytest.approx(np.sqrt(2 / 9 / 3), rel=0.1)
    runs = [toy_run(100, seed=s, run=f"s{s}") for s in range(3)]
    assert compare(runs, [toy_run(100, seed=9, run="b")]).seeds == (3, 1)
    assert compare(runs, runs[:1]).a == "s0 and 2 more"


def test_the_detectable_difference_is_found_four_times_out_of_five() -> None:
    n, psi = 1000, 0.3
    rng = np.random.default_rng(0)
    null = rng.choice([-1.0, 0.0, 1.0], size=n, p=[psi / 2, 1 - psi, psi / 2])
    d = detectable_difference(null, float(null.var()) / n)
    p = [(psi - d) / 2, 1 - psi, (psi + d) / 2]
    draws = rng.multinomial(n, p, size=4000)
    z = np.abs(draws[:, 2] - draws[:, 0]) / np.sqrt(draws[:, 2] + draws[:, 0])
    assert (z > NormalDist().inv_cdf(0.975)).mean() == pytest.approx(0.8, abs=0.04)


def test_groups_make_the_detectable_difference_larger() -> None:
    a, b = toy_run(200, 1.0, run="a"), toy_run(200, 0.5, seed=5, run="b")
    copied_a = [
        p.model_copy(update={"claim_id": f"{p.claim_id}-{k}", "group": p.claim_id}) for p in a for k in range(4)
    ]
    copied_b = [
        p.model_copy(update={"claim_id": f"{p.claim_id}-{k}", "group": p.claim_id}) for p in b for k in range(4)
    ]
    alone, copied = compare([a], [b]), compare([copied_a], [copied_b])
    assert copied.detectable == pytest.approx(alone.detectable, rel=0.1)


def test_order_of_rows_does_not_matter() -> None:
    a, b = toy_run(60, run="a"), toy_run(60, seed=1, run="b")
    assert compare([a], [b[::-1]]) == compare([a], [b])


def test_other_rows_are_refused_by_name() -> None:
    a = toy_run(10, run="a")
    with pytest.raises(DataError, match="b has 8 rows and a has 10: 2 only in a, such as 'c8'"):
        compare([a], [toy_run(8, run="b")])
    relabelled = [a[0].model_copy(update={"label": "FALSE", "run": "b"}), *a[1:]]
    with pytest.raises(DataError, match="claim 'c0' has label 'FALSE' in b and 'TRUE' in a"):
        compare([a], [relabelled])
    with pytest.raises(DataError, match="has text"):
        compare([a], [[a[0].model_copy(update={"text": "khác"}), *a[1:]]])
    with pytest.raises(DataError, match="'c0' occurs 2 times"):
        compare([a], [[a[0], *a]])
    with pytest.raises(DataError, match="nothing to compare"):
        compare([], [a])
    with pytest.raises(DataError, match="nothing to compare"):
        compare([[]], [[]])
