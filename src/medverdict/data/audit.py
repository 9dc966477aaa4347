"""SPLITS -> AUDIT: every pair of rows that should not be on two sides, and the gate that training must pass."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import combinations
from typing import Literal, get_args

import numpy as np
from rich.table import Table

from medverdict import text
from medverdict.claims import test_file
from medverdict.console import result_console, table
from medverdict.data.read import read_claims
from medverdict.data.similar import NEAR, RELATED, Pairs, Similarity, join
from medverdict.errors import DataError, LeakError
from medverdict.records import Audit, AuditPair, Claim, Label, Split

FROZEN = "frozen test"
"""Name, in an audit, of the shipped test that nothing may train on."""
TEST = "test"
"""The one split that may hold rows of the frozen test."""

Kind = Literal["exact", "near", "flipped", "contradiction"]
_LEAKS: tuple[Kind, ...] = ("exact", "near", "flipped")
_SHOWN = 5  # pairs in a message
_SMALL = 100  # rows under which a split's figures say little: the 95 % interval is wider than +-10 points
_IMBALANCE = 0.6  # share of one label above which always saying it looks like skill
LABEL_WORDS = re.compile(
    r"\b(?:đáp án|kết luận|trả lời|nhãn|answer|label)\s*[:：=]\s*\W*(?:đúng|sai|true|false)\b"
    r"|[(\[]\s*(?:đúng|sai|true|false)\s*[)\]]|\b(?:true|false)\b|[-–:]\s*(?:đúng|sai)\W*$",
    re.IGNORECASE,
)
"""How a claim gives its own answer away."""


def audit(splits: Sequence[Split], gate: float = NEAR, sensitivity: float = RELATED) -> Audit:
    """Search splits for rows that stand on two sides.

    Exact (`text.fold`) and near-duplicates across splits, such with the other label (`flipped`), and twins of one
    pair that were parted close the gate. The shipped frozen test always sits at the table: no split but one named
    `test` may hold a row near it. Contradictory labels inside a split, imbalance, few rows and label words in a
    claim are warnings. Cosines count n-grams over all these rows (see `similar`).

    Raises DataError when two splits have one name or a split is empty.
    """
    _require_auditable(splits)
    test = [claim for split in splits if split.name == TEST for claim in split.claims]
    rows = _Rows([*splits, Split(name=FROZEN, claims=frozen_rows(test), sha256="")])
    near = rows.near(min(gate, sensitivity))
    leaks = sorted(_leaks(rows, near, gate), key=_worst_first)
    contradictions = [pair for split in splits for pair in _contradictions(split)]
    counts = _row_counts(splits) | _touched(splits, leaks) | _pair_counts([*leaks, *contradictions])
    counts |= {f"pairs >= {limit:g}": int(np.sum(near.cosine >= limit)) for limit in (gate, sensitivity)}
    return Audit(
        pairs=(*leaks, *contradictions),
        counts=counts,
        thresholds={"gate": gate, "sensitivity": sensitivity},
        hashes={split.name: split.sha256 for split in splits},
        warnings=tuple(_warnings(splits, len(contradictions))),
        clean=not leaks,
    )


def frozen_rows(test: Iterable[Claim] = ()) -> tuple[Claim, ...]:
    """The shipped frozen test, without the rows that the test at hand holds itself."""
    held = {text.fold(claim.text) for claim in test}
    rows = [claim for claim in _shipped_test() if text.fold(claim.text) not in held]
    # A user's own file may be called test.jsonl too: its ids and pairs must not meet these.
    own = [{"id": f"frozen/{claim.id}", "pair": claim.pair and f"frozen/{claim.pair}"} for claim in rows]
    return tuple(claim.model_copy(update=names) for claim, names in zip(rows, own, strict=True))


@cache
def _shipped_test() -> tuple[Claim, ...]:
    return read_claims(test_file()).claims


def require_clean(audit: Audit | None, splits: Mapping[str, Split], *, override: bool = False) -> list[str]:
    """Let training pass only with a clean audit of exactly these splits.

    Returns what was overridden, for the run and every report to repeat: nothing where all is well. Raises LeakError
    with the worst pairs when the audit is dirty, absent or of other files, unless `override`.
    """
    fault = _fault(audit, {name: split.sha256 for name, split in splits.items()})
    if fault is None:
        return []
    if override:
        return [f"leak audit: {fault}"]
    worst = [] if audit is None else [pair for pair in audit.pairs if pair.kind != "contradiction"]
    listed = "".join(f"\n{_described(pair)}" for pair in worst[:_SHOWN])
    more = f"\n  … and {len(worst) - _SHOWN} more, in audit.json" if len(worst) > _SHOWN else ""
    raise LeakError(
        f"{fault}. What was learned from training rows would be counted as skill. Let `medverdict prepare` split "
        f"the rows by group, or override on purpose: the run and its reports will say so.{listed}{more}"
    )


def print_audit(found: Audit) -> None:
    """Show a person what was found: counts, the worst pairs, warnings, and the verdict."""
    result_console.print(_counts_table(found))
    for pair in found.pairs[:_SHOWN]:
        result_console.print(_described(pair), markup=False, soft_wrap=True)
    if len(found.pairs) > _SHOWN:
        result_console.print(f"  … and {len(found.pairs) - _SHOWN} more (--json lists all)", markup=False)
    for warning in found.warnings:
        result_console.print(f"warning: {warning}", markup=False, soft_wrap=True)
    result_console.print(audit_line(found), markup=False, soft_wrap=True)


def audit_line(found: Audit) -> str:
    """The verdict in one sentence."""
    gate = found.thresholds["gate"]
    leaks = sum(found.counts[f"pairs {kind}"] for kind in _LEAKS)
    if found.clean:
        return f"audit: clean; no row of one split repeats or nearly repeats (cosine >= {gate:g}) one of another"
    return f"audit: LEAK; {leaks} pairs of rows stand on two sides (cosine >= {gate:g}, or twins parted)"


class _Rows:
    """The claims of several splits in one list, with the vectors that they share."""

    def __init__(self, splits: Sequence[Split]) -> None:
        self.names = [split.name for split in splits]
        self.claims = [claim for split in splits for claim in split.claims]
        self.split = np.repeat(np.arange(len(splits)), [len(split.claims) for split in splits])
        self.similarity = Similarity([claim.text for claim in self.claims])

    def apart(self, left: int, right: int) -> bool:
        """Whether two split numbers must not share rows: all but a split with itself, and the test with the frozen."""
        return left != right and {self.names[left], self.names[right]} != {TEST, FROZEN}

    def near(self, threshold: float) -> Pairs:
        """All pairs across splits at or above the threshold, each once, the earlier split left."""
        compared = [(a, b) for a, b in combinations(range(len(self.names)), 2) if self.apart(a, b)]
        rows = [np.flatnonzero(self.split == number) for number in range(len(self.names))]
        return join(self.similarity.between(rows[a], rows[b], threshold) for a, b in compared)

    def sharing(self, key: Callable[[Claim], str]) -> Iterator[tuple[int, int]]:
        """Pairs of rows across splits that have the same, non-empty key."""
        together: dict[str, list[int]] = defaultdict(list)
        for row, claim in enumerate(self.claims):
            if name := key(claim):
                together[name].append(row)
        for rows in together.values():
            for left, right in combinations(rows, 2):
                if self.apart(int(self.split[left]), int(self.split[right])):
                    yield left, right

    def pair(self, left: int, right: int, cosine: float, exact: bool) -> AuditPair:
        """The record of one leak."""
        a, b = self.claims[left], self.claims[right]
        kind: Kind = "flipped" if a.label != b.label else "exact" if exact else "near"
        names = self.names[self.split[left]], self.names[self.split[right]]
        return _audit_pair(kind, cosine, (a, b), names)


def _leaks(rows: _Rows, near: Pairs, gate: float) -> Iterator[AuditPair]:
    exact = set(rows.sharing(lambda claim: text.fold(claim.text)))
    for left, right in exact:
        yield rows.pair(left, right, 1.0, exact=True)
    closing = near.cosine >= gate
    found = dict(
        zip(
            zip(near.left[closing].tolist(), near.right[closing].tolist(), strict=True),
            near.cosine[closing].tolist(),
            strict=True,
        )
    )
    twins = set(rows.sharing(lambda claim: claim.pair))
    found |= {twin: rows.similarity.cosine(*twin) for twin in twins - found.keys()}
    for (left, right), cosine in found.items():
        if (left, right) not in exact:
            yield rows.pair(left, right, cosine, exact=False)


def _contradictions(split: Split) -> Iterator[AuditPair]:
    """The same text with both labels: one pair for each further row that disagrees with the first."""
    first: dict[str, Claim] = {}
    for claim in split.claims:
        other = first.setdefault(text.fold(claim.text), claim)
        if other.label != claim.label:
            yield _audit_pair("contradiction", 1.0, (other, claim), (split.name, split.name))


def _audit_pair(kind: Kind, cosine: float, claims: tuple[Claim, Claim], splits: tuple[str, str]) -> AuditPair:
    left, right = claims
    return AuditPair(
        kind=kind,
        cosine=round(cosine, 6),
        left=left.id,
        right=right.id,
        left_split=splits[0],
        right_split=splits[1],
        left_text=left.text,
        right_text=right.text,
    )


def _worst_first(pair: AuditPair) -> tuple[float, str, str, str, str]:
    return (-pair.cosine, pair.left_split, pair.right_split, pair.left, pair.right)


def _row_counts(splits: Iterable[Split]) -> dict[str, int]:
    labels = {split.name: Counter(claim.label for claim in split.claims) for split in splits}
    return {f"rows {name} {label}": held[label] for name, held in labels.items() for label in get_args(Label)}


def _touched(splits: Iterable[Split], leaks: Sequence[AuditPair]) -> dict[str, int]:
    """Rows of each split that have at least one partner in another."""
    rows = {(pair.left_split, pair.left) for pair in leaks} | {(pair.right_split, pair.right) for pair in leaks}
    held = Counter(name for name, _ in rows)
    return {f"rows {split.name} leaking": held[split.name] for split in splits}


def _pair_counts(pairs: Iterable[AuditPair]) -> dict[str, int]:
    kinds = Counter(pair.kind for pair in pairs)
    return {f"pairs {kind}": kinds[kind] for kind in get_args(Kind)}


def _warnings(splits: Iterable[Split], contradictions: int) -> Iterator[str]:
    if contradictions:
        yield f"{contradictions} rows repeat a text of their own split with the other label: one of the two is wrong"
    for split in splits:
        rows = len(split.claims)
        true = sum(claim.label == "TRUE" for claim in split.claims)
        if not 1 - _IMBALANCE <= true / rows <= _IMBALANCE:
            yield f"{split.name}: {true} of {rows} rows are TRUE; accuracy alone will mislead"
        if rows < _SMALL:
            yield f"{split.name}: {rows} rows are few; its figures will have intervals wider than 20 points"
        words = [claim for claim in split.claims if LABEL_WORDS.search(claim.text)]
        if words:
            shown = f"{words[0].id}: {words[0].text[:80]!r}"
            yield f"{split.name}: {len(words)} claims seem to contain their answer, such as {shown}"


def _require_auditable(splits: Sequence[Split]) -> None:
    for name, count in Counter(split.name for split in splits).items():
        if count > 1 or name == FROZEN:
            raise DataError(f"{count} splits are called {name!r}; expected each once, and none {FROZEN!r}.")
    for split in splits:
        if not split.claims:
            raise DataError(f"the {split.name} split has no rows; there is nothing to audit.")


def _fault(audit: Audit | None, hashes: Mapping[str, str]) -> str | None:
    if audit is None:
        return "these splits have no audit"
    if audit.hashes != hashes:
        other = sorted(name for name in audit.hashes.keys() | hashes if audit.hashes.get(name) != hashes.get(name))
        return f"the audit belongs to other files ({', '.join(other)} changed since)"
    return None if audit.clean else audit_line(audit)


def _described(pair: AuditPair) -> str:
    return (
        f"  {pair.kind} {pair.cosine:.3f}\n"
        f"    {pair.left_split} {pair.left}: {pair.left_text}\n"
        f"    {pair.right_split} {pair.right}: {pair.right_text}"
    )


def _counts_table(found: Audit) -> Table:
    return table("Leak audit", ("count", "n"), ((name, f"{n:,}") for name, n in found.counts.items()))
