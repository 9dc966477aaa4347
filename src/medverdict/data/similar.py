"""Near-duplicates, exactly: cosine of character 3-5-gram TF-IDF, without comparing all rows with all.

Definition, the same everywhere in medverdict: the text is normalised and lowered; n-grams of 3 to 5 characters
inside words padded by a space (scikit-learn's `char_wb`); weight = count * (ln((1 + n) / (1 + df)) + 1), rows of
length 1; `df` is counted over *all rows that are being compared*, so a pair's cosine shifts a little with its
company. Grouping and auditing the same rows give the same numbers.

Exactness: the n-grams are ordered from rare to common, and of each left row only a head of rare ones is multiplied
with all right rows. By Cauchy-Schwarz the tail adds at most its own length, so a pair whose head product plus tail
length stays below the threshold cannot reach it; all other pairs are computed in full. Nothing is estimated.
(Bayardo, Ma, Srikant, "Scaling Up All Pairs Similarity Search", WWW 2007.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer

from medverdict import text
from medverdict.console import progress

NEAR = 0.8
"""Cosine from which two claims count as near-duplicates: closes the audit's gate, and binds groups."""
RELATED = 0.5
"""Cosine that is only counted, to show how sensitive the answer is to the threshold."""

_ROUNDING = 1e-9  # cosines are sums of some hundred products; equality with the threshold must not hang on the last bit
_TAIL = 0.6  # a tail is cut at this share of the threshold: fastest of .2 to .95 on templated rows, at .8 and at .5
_PRODUCTS = 20_000_000  # multiplications in one block: bounds memory at about 0.5 GB
_VERIFIED = 100_000  # pairs computed in full at once
_STRIPS = 8  # a list is compared with itself in so many strips
_LONG = 200_000_000  # comparisons from which a person wants to see a progress bar: some seconds


class Pairs(NamedTuple):
    """Pairs of row numbers with their cosine; three arrays of one length."""

    left: NDArray[np.int64]
    right: NDArray[np.int64]
    cosine: NDArray[np.float64]


class Similarity:
    """TF-IDF vectors of some texts, and the exact pairs among them."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.vectors = _vectors(texts)

    def between(self, left: NDArray[np.int64], right: NDArray[np.int64], threshold: float) -> Pairs:
        """Pairs (a row of `left`, a row of `right`) at or above the threshold, by left row, then right row."""
        with _bar(len(left), len(right)) as advance:
            return self._between(left, right, threshold, advance)

    def within(self, threshold: float) -> Pairs:
        """Pairs (i, j) with i < j at or above the threshold, by i, then j."""
        rows = self.vectors.shape[0]
        every = np.arange(rows)
        strips = range(0, rows, max(1, -(-rows // _STRIPS)))
        with _bar(rows, rows) as advance:
            # A strip meets only the rows from its own start on, which halves the work.
            found = join(
                self._between(every[start : start + strips.step], every[start:], threshold, advance) for start in strips
            )
        once = found.left < found.right
        return Pairs(found.left[once], found.right[once], found.cosine[once])

    def _between(
        self, left: NDArray[np.int64], right: NDArray[np.int64], threshold: float, advance: Callable[[int], None]
    ) -> Pairs:
        a, b = self.vectors[left], self.vectors[right]
        parts = []
        for rows, candidates in _candidates(a, b, threshold):
            parts.append(_verify(a, b, candidates, threshold))
            advance(rows)
        found = join(parts)
        return Pairs(left[found.left], right[found.right], found.cosine)

    def cosine(self, left: int, right: int) -> float:
        """Of two rows."""
        return float(self.vectors[left].multiply(self.vectors[right]).sum())


def near_pairs(left: Sequence[str], right: Sequence[str], threshold: float = NEAR) -> Pairs:
    """Every pair of a left and a right text with cosine >= threshold; row numbers count from 0 in each list."""
    similarity = Similarity([*left, *right])
    first, second = np.arange(len(left)), np.arange(len(left), len(left) + len(right))
    pairs = similarity.between(first, second, threshold)
    return Pairs(pairs.left, pairs.right - len(left), pairs.cosine)


def join(parts: Iterable[Pairs]) -> Pairs:
    """Several sets of pairs, one after the other."""
    all_parts = [Pairs(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)), *parts]
    return Pairs(*(np.concatenate(columns) for columns in zip(*all_parts, strict=True)))


@contextmanager
def _bar(left: int, right: int) -> Iterator[Callable[[int], None]]:
    """Advances a progress bar by left rows where the search will take long."""
    if left * right < _LONG:
        yield lambda rows: None
        return
    with progress("near-duplicates", left) as bar:
        yield bar.advance


def _vectors(texts: Sequence[str]) -> csr_matrix:
    """TF-IDF rows of length 1 (0 for an empty text), columns from the rarest n-gram to the most common."""
    if not any(text.normalise(t) for t in texts):
        return csr_matrix((len(texts), 1), dtype=np.float64)
    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), preprocessor=_lowered)
    rows = vectorizer.fit_transform(texts)
    rank = np.empty(rows.shape[1], dtype=rows.indices.dtype)
    rank[np.argsort(-vectorizer.idf_, kind="stable")] = np.arange(rows.shape[1])
    ordered = csr_matrix((rows.data, rank[rows.indices], rows.indptr), shape=rows.shape)
    ordered.sort_indices()
    return ordered


def _lowered(claim: str) -> str:
    return text.normalise(claim).lower()


def _heads(rows: csr_matrix, longest_tail: float) -> tuple[csr_matrix, NDArray[np.float64]]:
    """The leading n-grams of each row, up to where the rest is shorter than `longest_tail`; and that rest's length."""
    running = np.concatenate([[0.0], np.cumsum(rows.data**2)])
    rest = np.repeat(running[rows.indptr[1:]], np.diff(rows.indptr)) - running[:-1]
    keep = rest >= longest_tail**2
    kept_before = np.concatenate([[0], np.cumsum(keep)])
    heads = csr_matrix((rows.data[keep], rows.indices[keep], kept_before[rows.indptr]), shape=rows.shape)
    head_squared = np.asarray(heads.multiply(heads).sum(axis=1)).ravel()
    return heads, np.sqrt(np.maximum(0.0, 1.0 - head_squared))


def _candidates(left: csr_matrix, right: csr_matrix, threshold: float) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Blocks of left rows: how many, and row pairs [k, 2] among which is every pair that reaches the threshold."""
    heads, tails = _heads(left, _TAIL * threshold)
    by_ngram = right.T.tocsr()
    work = heads.astype(bool) @ np.diff(by_ngram.indptr).astype(np.float64)
    block = (np.cumsum(work) // _PRODUCTS).astype(np.int64)
    for number in np.unique(block):
        start, stop = np.searchsorted(block, [number, number + 1])
        head = (heads[start:stop] @ by_ngram).tocoo()
        possible = head.data + tails[start:stop][head.row] >= threshold - 2 * _ROUNDING
        pairs = np.column_stack([head.row[possible].astype(np.int64) + start, head.col[possible].astype(np.int64)])
        yield stop - start, pairs


def _verify(left: csr_matrix, right: csr_matrix, candidates: NDArray[np.int64], threshold: float) -> Pairs:
    """The candidates whose full cosine reaches the threshold, in order."""
    cosine = np.empty(len(candidates))
    for start in range(0, len(candidates), _VERIFIED):
        i, j = candidates[start : start + _VERIFIED].T
        cosine[start : start + _VERIFIED] = np.asarray(left[i].multiply(right[j]).sum(axis=1)).ravel()
    near = cosine >= threshold - _ROUNDING
    i, j = candidates[near].T
    order = np.lexsort((j, i))
    return Pairs(i[order], j[order], np.minimum(cosine[near][order], 1.0))
