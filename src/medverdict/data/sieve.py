"""CLAIMS -> fewer CLAIMS: what may not be trained on is left out, each row with its reason."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from medverdict import text
from medverdict.data.audit import frozen_rows
from medverdict.data.group import assign_groups, named_families
from medverdict.data.read import Reading
from medverdict.data.similar import near_pairs
from medverdict.errors import DataError
from medverdict.records import Claim, Dropped

DUPLICATE = "duplicate"
CONTRADICTION = "contradiction: the same text has both labels"
NEAR_TEST = "near-duplicate of the test"
NEAR_FROZEN = "near-duplicate of the shipped frozen test"


class Sieve:
    """Leaves rows out and remembers why."""

    def __init__(self, readings: Mapping[str, Reading]) -> None:
        """`readings`: input file's name to what was read; their own dropped rows come first in `dropped`."""
        self.dropped = [row for reading in readings.values() for row in reading.dropped]
        self._place = {
            claim.id: (name, line)
            for name, reading in readings.items()
            for claim, line in zip(reading.claims, reading.lines, strict=True)
        }
        if len(self._place) < sum(len(reading.claims) for reading in readings.values()):
            ids = Counter(claim.id for reading in readings.values() for claim in reading.claims)
            twice = ", ".join(name for name, count in ids.most_common(5) if count > 1)
            raise DataError(
                f"ids stand in more than one file: {twice}. Ids must be unique over all files; rename some."
            )

    def drop_repeats(self, claims: Sequence[Claim]) -> list[Claim]:
        """Of each text (`text.fold`) the first row; none where its rows contradict each other."""
        same: dict[str, list[Claim]] = defaultdict(list)
        for claim in claims:
            same[text.fold(claim.text)].append(claim)
        reasons = {}
        for rows in same.values():
            contradicting = len({claim.label for claim in rows}) > 1
            for claim in rows if contradicting else rows[1:]:
                reasons[claim.id] = CONTRADICTION if contradicting else DUPLICATE
        return self.drop(claims, reasons)

    def drop(self, claims: Sequence[Claim], reasons: Mapping[str, str]) -> list[Claim]:
        """The claims without those whose id has a reason."""
        for claim in claims:
            if claim.id in reasons:
                file, line = self._place[claim.id]
                self.dropped.append(Dropped(file=file, line=line, reason=reasons[claim.id], text=claim.text))
        return [claim for claim in claims if claim.id not in reasons]

    def keep_away(self, candidates: Sequence[Claim], test: Sequence[Claim]) -> list[Claim]:
        """Candidates that do not nearly repeat a row of the test or of the frozen test.

        Dropped with such a row is what shares a pair or a given group with it. A chain of near-duplicates is followed
        no further: of templated rows it would take most. Cosines depend on the rows they are counted over, so the
        search is repeated until it drops nothing: then it has seen exactly the rows that the audit will see.
        """
        held = [*test, *frozen_rows(test)]
        while reasons := _near(candidates, held, len(test)):
            candidates = self.drop(candidates, reasons)
        return list(candidates)

    def place_beside(self, made: Mapping[str, str]) -> None:
        """Ids of rows made of others, and the ids of those: they stand where these do."""
        self._place |= {name: self._place[origin] for name, origin in made.items()}

    def require(self, rows: int, claims: Sequence[Claim]) -> None:
        """Raises DataError, with what was dropped, when fewer rows than these are left."""
        if len(claims) < rows:
            reasons = Counter(row.reason for row in self.dropped)
            why = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common()) or "none"
            raise DataError(
                f"{len(claims)} rows are left to split; expected at least {rows}. Dropped: {why}. Bring more rows."
            )


def grouped(candidates: Sequence[Claim], test: Sequence[Claim]) -> tuple[list[Claim], list[Claim]]:
    """Both with their groups, over all rows that the audit will see."""
    rows = assign_groups([*candidates, *test, *frozen_rows(test)])
    return list(rows[: len(candidates)]), list(rows[len(candidates) :][: len(test)])


def _near(candidates: Sequence[Claim], held: Sequence[Claim], tests: int) -> dict[str, str]:
    """Ids of the candidates that must go, with the reason; the first `tests` of the held rows are the test."""
    family = named_families([*candidates, *held])
    texts = [[text.fold(claim.text) for claim in rows] for rows in (candidates, held)]
    row_of = {folded: row for row, folded in enumerate(texts[1])}
    pairs = near_pairs([claim.text for claim in candidates], [claim.text for claim in held])
    met = list(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True))
    met += [(row, row_of[folded]) for row, folded in enumerate(texts[0]) if folded in row_of]
    near: dict[int, str] = {}
    # The test comes last, so that its reason counts: who gave it looks for it.
    for reason, rows in ((NEAR_FROZEN, range(tests, len(held))), (NEAR_TEST, range(tests))):
        near |= dict.fromkeys((family[len(candidates) + row] for row in rows), reason)
        near |= {family[left]: reason for left, right in met if right in rows}
    return {claim.id: near[name] for claim, name in zip(candidates, family, strict=False) if name in near}
