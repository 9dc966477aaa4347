"""TRUE STATEMENTS -> false twins by exchange: inside a family each value is dealt to another subject.

Every subject and every value stands as often in a false statement as in a true one, so neither tells the label.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import NamedTuple

from medverdict import text

_ROUNDS = 40


class Statement(NamedTuple):
    """Something that is true of a subject."""

    subject: str
    """Of what it is said."""
    relation: str
    """What the value is to the subject."""
    value: str
    """As it stands in the sentence."""
    family: str
    """Whose values are likely to be mistaken for this one: exchange happens inside it."""
    line: int
    """Where it comes from, as in Dropped."""

    def key(self) -> tuple[str, str, str]:
        """Under which two statements count as the same."""
        return text.fold(self.subject), self.relation, text.fold(self.value)


def exchange(
    statements: Sequence[Statement], seed: int, may: Callable[[Statement, str], bool] = lambda _, __: True
) -> list[str | None]:
    """For each statement a value of its relation and family that is not true of its subject; None where there is none.

    `may` says of further values that they must not be used, because they could be true.
    """
    true = {statement.key() for statement in statements}
    families: dict[tuple[str, str], list[int]] = defaultdict(list)
    for row, statement in enumerate(statements):
        families[statement.relation, statement.family].append(row)

    def fits(row: int, value: str) -> bool:
        statement = statements[row]
        return statement._replace(value=value).key() not in true and may(statement, value)

    found: list[str | None] = [None] * len(statements)
    for name, rows in families.items():
        order = random.Random(f"{seed} {name}")
        hand = [statements[row].value for row in rows]
        order.shuffle(hand)
        dealt = _settle(rows, hand, fits, order)
        for row, value in dealt.items():
            found[row] = value
    return found


def _settle(
    rows: list[int], hand: list[str], fits: Callable[[int, str], bool], order: random.Random
) -> dict[int, str | None]:
    """Exchange values at random until each fits its place; one that fits nowhere leaves its place empty."""
    misfits = [place for place, row in enumerate(rows) if not fits(row, hand[place])]
    for _ in range(_ROUNDS):
        for place in misfits:
            other = order.randrange(len(rows))
            if fits(rows[place], hand[other]) and fits(rows[other], hand[place]):
                hand[place], hand[other] = hand[other], hand[place]
        misfits = [place for place in misfits if not fits(rows[place], hand[place])]
    return {row: hand[place] if fits(row, hand[place]) else None for place, row in enumerate(rows)}
