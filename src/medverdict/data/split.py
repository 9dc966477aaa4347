"""CLAIMS -> SPLITS: whole groups, with labels and sources in the same proportion everywhere."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from medverdict.errors import DataError
from medverdict.records import Claim

MIN_ROWS = 20
"""Fewer rows cannot be split: a tenth of them would hold two."""

Strata = Counter[tuple[str, ...]]


def split_by_group(claims: Sequence[Claim], shares: Mapping[str, float], seed: int) -> dict[str, tuple[Claim, ...]]:
    """Divide claims into named splits by share (of rows; they add up to 1), never cutting a group.

    Groups are dealt from large to small, in seeded order among equals, each to the split that is furthest behind
    in the group's strata: all rows, its labels, its sources' labels. "Behind" is (have + need / 2) / wanted, the
    Sainte-Laguë rule, which is fair to small shares. Inside a split the claims keep their order.

    Raises DataError for fewer than MIN_ROWS rows, one class only, or a split that ends without both labels.
    """
    _require_splittable(claims, shares)
    groups: dict[str, list[Claim]] = defaultdict(list)
    for claim in claims:
        groups[claim.group or claim.id].append(claim)
    names = list(groups)
    random.Random(seed).shuffle(names)
    names.sort(key=lambda name: -len(groups[name]))

    total = _strata(claims)
    have: dict[str, Strata] = {split: Counter() for split in shares}
    home: dict[str, str] = {}
    for name in names:
        need = _strata(groups[name])
        split = min(shares, key=lambda s: sum(n * (have[s][k] + n / 2) / total[k] for k, n in need.items()) / shares[s])
        have[split] += need
        home[name] = split
    parts = {split: tuple(c for c in claims if home[c.group or c.id] == split) for split in shares}
    _require_both_labels(parts)
    return parts


def _strata(claims: Sequence[Claim]) -> Strata:
    """How many rows there are of each kind that should be spread evenly."""
    rows: Strata = Counter()
    for claim in claims:
        rows[()] += 1
        rows[(claim.label,)] += 1
        rows[(claim.label, claim.source)] += 1
    return rows


def _require_splittable(claims: Sequence[Claim], shares: Mapping[str, float]) -> None:
    if len(claims) < MIN_ROWS:
        raise DataError(f"{len(claims)} rows are too few to split; expected at least {MIN_ROWS}. Add rows.")
    labels = {claim.label for claim in claims}
    if len(labels) < 2:
        raise DataError(f"all {len(claims)} rows are {labels.pop()}; expected both TRUE and FALSE rows.")
    if any(share <= 0 for share in shares.values()) or abs(sum(shares.values()) - 1) > 1e-9:
        shown = ", ".join(f"{name} {share:g}" for name, share in shares.items())
        raise DataError(f"shares {shown}; expected positive shares that add up to 1.")


def _require_both_labels(parts: Mapping[str, Sequence[Claim]]) -> None:
    for split, claims in parts.items():
        labels = {claim.label for claim in claims}
        if len(labels) < 2:
            held = f"only {labels.pop()} rows" if labels else "no rows"
            groups = len({claim.group for part in parts.values() for claim in part})
            raise DataError(
                f"the {split} split would hold {held}: {groups} groups of near-duplicates and pairs are too few, "
                "or one of them is too large. Add more varied rows, or enlarge the share."
            )
