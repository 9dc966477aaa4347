"""CLAIMS -> fewer CLAIMS: what may not be trained on is left out, each row with its reason."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from medverdict import text
from medverdict.data.audit import frozen_rows
from medverdict.data.group import assign_groups
from medverdict.data.read import Reading
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
        return self._without(claims, reasons)

    def drop_near(self, candidates: Sequence[Claim], test: Sequence[Claim]) -> tuple[list[Claim], list[Claim]]:
        """Candidates that share no group with a row of the test or of the frozen test; both lists with groups.

        Cosines depend on the rows they are counted over, so grouping is repeated until it drops nothing: then it has
        seen exactly the rows that the audit will see.
        """
        frozen = frozen_rows(test)
        while True:
            grouped = assign_groups([*candidates, *test, *frozen])
            candidates, test = list(grouped[: len(candidates)]), list(grouped[len(candidates) :][: len(test)])
            near_frozen = {claim.group for claim in grouped[len(candidates) + len(test) :]}
            near_test = {claim.group for claim in test}
            reasons = {claim.id: NEAR_FROZEN for claim in candidates if claim.group in near_frozen}
            reasons |= {claim.id: NEAR_TEST for claim in candidates if claim.group in near_test}
            if not reasons:
                return candidates, test
            candidates = self._without(candidates, reasons)

    def require(self, rows: int, claims: Sequence[Claim]) -> None:
        """Raises DataError, with what was dropped, when fewer rows than these are left."""
        if len(claims) < rows:
            reasons = Counter(row.reason for row in self.dropped)
            why = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common()) or "none"
            raise DataError(
                f"{len(claims)} rows are left to split; expected at least {rows}. Dropped: {why}. Bring more rows."
            )

    def _without(self, claims: Sequence[Claim], reasons: Mapping[str, str]) -> list[Claim]:
        for claim in claims:
            if claim.id in reasons:
                file, line = self._place[claim.id]
                self.dropped.append(Dropped(file=file, line=line, reason=reasons[claim.id], text=claim.text))
        return [claim for claim in claims if claim.id not in reasons]
