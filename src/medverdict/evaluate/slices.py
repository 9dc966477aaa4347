"""Kinds of rows, told apart by what a row is and never by how it was judged, and how each fares."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
from scipy.sparse import csr_array

from medverdict.evaluate.baselines import cues_in, keyword_rule
from medverdict.evaluate.interval import Counts, all_or_none, group_counts, share, to_metric
from medverdict.evaluate.metrics import Bools, Floats, Ints, Sample, group_index, is_right, to_sample
from medverdict.evaluate.records import Slice, Twins
from medverdict.records import Metric, Prediction

FEWEST_ROWS = 10
"""Rows below which a slice says nothing."""

NEGATIONS = re.compile(r"(?<!\w)(không|chưa|chẳng|chả|đừng|hiếm khi)(?!\w)", re.IGNORECASE)
ICD_CODE = re.compile(r"(?<!\w)(?!B12|Q10)(?:[A-Z]\d{2}(?:\.\d{1,2})?|ICD)(?!\w)")
"""Vitamin B12 and coenzyme Q10 look like codes and are none."""
NUMBER = re.compile(r"\d")

Masks = dict[tuple[str, str], Bools]


def slice_masks(predictions: Sequence[Prediction], tfidf: Sequence[Prediction] | None = None) -> Masks:
    """(family, name) to the mask [n] of its rows; `tfidf` are the words-only baseline's verdicts on the same rows.

    Of a yes-or-no trait only the rows that have it are a slice: the others are what it is measured against.
    """
    masks: Masks = {}
    for family, value in _TRAITS.items():
        values = [value(p) for p in predictions]
        for name in sorted(set(values) - {""}):
            masks[family, name] = np.array([v == name for v in values], dtype=np.bool_)
    masks["words alone", "keyword rule wrong (hard rows)"] = hard_rows(predictions)
    if tfidf:
        masks["words alone", "TF-IDF wrong"] = np.array([not is_right(p) for p in tfidf], dtype=np.bool_)
    return masks


def hard_rows(predictions: Sequence[Prediction]) -> Bools:
    """[n] rows that the keyword rule gets wrong: cues there mislead, so only knowledge helps."""
    return np.array([not is_right(p) for p in keyword_rule([p.claim() for p in predictions])], dtype=np.bool_)


def slice_table(
    predictions: Sequence[Prediction], tfidf: Sequence[Prediction] | None = None
) -> tuple[list[Slice], int]:
    """Slices of at least 10 rows that aren't all rows, the largest excess error first, and how many were smaller."""
    masks = slice_masks(predictions, tfidf)
    big = {key: mask for key, mask in masks.items() if FEWEST_ROWS <= mask.sum() < len(predictions)}
    small = sum(0 < mask.sum() < FEWEST_ROWS for mask in masks.values())
    slices = measure(to_sample(predictions), big) if big else []
    return sorted(slices, key=lambda s: (-(s.excess.value or 0.0), s.family, s.name)), small


def measure(sample: Sample, masks: Masks) -> list[Slice]:
    """Accuracy of each slice, and its error minus that of all other rows, from one set of resamples."""
    members = np.stack(list(masks.values()), axis=1)
    sums = _sums_by_group(sample, members)
    drawn = [_rates(*(counts @ part for part in sums)) for counts in group_counts(sample.groups)]
    accuracy, excess = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
    whole = _rates(*(part.sum(axis=0)[None, :] for part in sums))
    found = []
    for i, ((family, name), mask) in enumerate(masks.items()):
        plain, size = float(whole[0][0, i]), (int(mask.sum()), len(np.unique(sample.group[mask])))
        right = all_or_none(plain, *size) if plain in (0.0, 1.0) else to_metric(plain, accuracy[:, i], size, "")
        more = to_metric(float(whole[1][0, i]), excess[:, i], size, "no other rows")
        found.append(Slice(family=family, name=name, accuracy=right, excess=more))
    return found


def twin_pairs(predictions: Sequence[Prediction]) -> dict[str, list[Prediction]]:
    """Members of each named pair of at least two rows, in file order."""
    pairs: dict[str, list[Prediction]] = {}
    for p in predictions:
        if p.pair:
            pairs.setdefault(p.pair, []).append(p)
    return {name: members for name, members in pairs.items() if len(members) > 1}


def measure_twins(predictions: Sequence[Prediction]) -> Twins | None:
    """How pairs with opposite labels fare; None where there are none."""
    pairs = [m for m in twin_pairs(predictions).values() if len({p.label for p in m}) == 2]
    if not pairs:
        return None
    group = group_index([members[0] for members in pairs])
    both = np.array([all(map(is_right, members)) for members in pairs], dtype=np.bool_)
    ranked = np.array([_is_ranked(members) for members in pairs], dtype=np.bool_)
    return Twins(pairs=len(pairs), both_right=share(both, group), ranked=share(ranked, group))


def accuracy_on(predictions: Sequence[Prediction], rows: Bools, group: Ints) -> Metric:
    """Share right among the rows that a mask [n] keeps."""
    return share(np.array([is_right(p) for p in predictions], dtype=np.bool_), group, rows)


def _is_ranked(members: Sequence[Prediction]) -> bool:
    lowest_true = min(p.margin for p in members if p.label == "TRUE")
    return lowest_true > max(p.margin for p in members if p.label == "FALSE")


def _sums_by_group(sample: Sample, members: Bools) -> tuple[csr_array, csr_array, Counts, Counts]:
    """Rows and errors by group: of each slice [groups, slices], then of all rows [groups, 1]."""
    n, wrong = len(sample), ~sample.correct
    of_group = csr_array((np.ones(n, np.float32), (sample.group, np.arange(n))))
    parts = [csr_array((columns).astype(np.float32)) for columns in (members, members & wrong[:, None])]
    everyone = np.stack([np.ones(n), wrong], axis=1).astype(np.float32)
    totals = of_group @ everyone
    return of_group @ parts[0], of_group @ parts[1], totals[:, :1], totals[:, 1:]


def _rates(rows: Counts, errors: Counts, all_rows: Counts, all_errors: Counts) -> tuple[Floats, Floats]:
    """[r, slices] accuracy and excess error; nan where a resample holds nothing of a slice or of its rest."""
    with np.errstate(invalid="ignore", divide="ignore"):
        inside: Floats = np.divide(errors, rows, dtype=np.float64)
        outside: Floats = np.divide(all_errors - errors, all_rows - rows, dtype=np.float64)
    return 1 - inside, inside - outside


def _length(p: Prediction) -> str:
    words = len(p.text.split())
    return "up to 15 words" if words <= 15 else "16 to 25 words" if words <= 25 else "more than 25 words"


def _cues(p: Prediction) -> str:
    count = len(cues_in(p.text))
    return "no cue word" if not count else "one cue word" if count == 1 else "several cue words"


_TRAITS: dict[str, Callable[[Prediction], str]] = {
    "source": lambda p: p.source,
    "topic": lambda p: p.topic,
    "length": _length,
    "cue words": _cues,
    "numbers": lambda p: "holds a number" if NUMBER.search(p.text) else "",
    "ICD": lambda p: "holds an ICD code" if ICD_CODE.search(p.text) else "",
    "negation": lambda p: "holds a negation" if NEGATIONS.search(p.text) else "",
}
