"""CLAIMS -> CLAIMS with their group: the family of pairs, repeats and near-duplicates that stays together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from medverdict import text
from medverdict.data.similar import NEAR, Similarity
from medverdict.records import Claim


def assign_groups(claims: Sequence[Claim], threshold: float = NEAR) -> tuple[Claim, ...]:
    """The same claims, in the same order, each with the name of its group: the id of the group's first claim.

    Two claims are bound when they share a pair or a group that was given, are the same text (`text.fold`), or have
    a cosine >= threshold; groups are the connected components, so a chain of near-duplicates is one group.
    """
    near = Similarity([claim.text for claim in claims]).within(threshold)
    left, right = [near.left], [near.right]
    for names in ([c.pair for c in claims], [c.group for c in claims], [text.fold(c.text) for c in claims]):
        rows, first_with_same_name = _bound_by_name(names)
        left.append(rows)
        right.append(first_with_same_name)
    family = _components(np.concatenate(left), np.concatenate(right), len(claims))
    first: dict[int, str] = {}
    names = [first.setdefault(member, claim.id) for member, claim in zip(family, claims, strict=True)]
    return tuple(claim.model_copy(update={"group": name}) for claim, name in zip(claims, names, strict=True))


def named_families(claims: Sequence[Claim]) -> list[int]:
    """Number of each claim's family by the pairs and groups that were given alone: no search for near-duplicates."""
    bound = [_bound_by_name(names) for names in ([c.pair for c in claims], [c.group for c in claims])]
    left, right = (np.concatenate(side) for side in zip(*bound, strict=True))
    return _components(left, right, len(claims))


def _bound_by_name(names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Edges from each row with a name to the first row of that name."""
    first: dict[str, int] = {}
    edges = [(row, first.setdefault(name, row)) for row, name in enumerate(names) if name]
    rows, firsts = np.array(edges, dtype=np.int64).reshape(-1, 2).T
    return rows, firsts


def _components(left: np.ndarray, right: np.ndarray, rows: int) -> list[int]:
    graph = coo_matrix((np.ones(len(left), dtype=bool), (left, right)), shape=(rows, rows))
    labels: list[int] = connected_components(graph, directed=False)[1].tolist()
    return labels
