"""Values are exchanged inside a family, and none is ever dealt to a subject of which it is true."""

from __future__ import annotations

from collections import Counter

from medverdict.generate.deal import Statement, exchange


def statements(**values):
    return [
        Statement(subject, "code", value, "family", line)
        for line, (subject, held) in enumerate(values.items())
        for value in held.split()
    ]


def test_what_is_true_of_a_subject_is_never_dealt_to_it():
    told = statements(lao="A15 A16 A19", hen="J45 J46", cúm="J10")
    for seed in range(20):
        for statement, value in zip(told, exchange(told, seed), strict=True):
            assert value is None or (statement.subject, value) not in {(s.subject, s.value) for s in told}


def test_each_value_is_dealt_once():
    told = statements(**{f"bệnh{n}": f"V{n}" for n in range(30)})
    assert Counter(exchange(told, seed=0)) == Counter(statement.value for statement in told)


def test_values_stay_in_their_family_and_relation():
    told = [Statement(f"s{n}", "code", f"{family}{n}", family, n) for n in range(8) for family in "ab"]
    for statement, value in zip(told, exchange(told, seed=0), strict=True):
        assert value is not None and value[0] == statement.family


def test_a_place_that_nothing_fits_stays_empty():
    assert exchange(statements(lao="A15"), seed=0) == [None]
    told = statements(lao="A15", hen="J45")
    assert exchange(told, 0, may=lambda statement, value: statement.subject == "lao").count(None) >= 1
