"""Where a judge goes wrong: slices, confident mistakes, twins judged apart, labels to read again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from medverdict.errors import DataError
from medverdict.evaluate.baselines import TFIDF, cues_in, tfidf_model
from medverdict.evaluate.compare import by_id, in_order
from medverdict.evaluate.metrics import Floats, group_index, is_right, says_true
from medverdict.evaluate.records import Mistake, Mistakes, Suspect, TwinFault, TwinMistake
from medverdict.evaluate.slices import slice_table, twin_pairs
from medverdict.records import Label, Prediction
from medverdict.text import normalise

SHOWN = 25
"""Longest list of rows; the counts beside it are whole."""
FOLDS = 5
FEWEST_ROWS_FOR_FOLDS = 100


def find_mistakes(
    predictions: Sequence[Prediction], baselines: Mapping[str, Sequence[Prediction]] | None = None
) -> Mistakes:
    """All about the rows judged wrong. With the TF-IDF baseline's predictions its errors are a slice too.

    Raises DataError when there are no rows or the baseline was scored on others.
    """
    if not predictions:
        raise DataError("no predictions to look for mistakes in; expected at least one row. Evaluate the run first.")
    tfidf = (baselines or {}).get(TFIDF)
    aligned = in_order(tfidf, by_id(predictions)) if tfidf else None
    slices, hidden = slice_table(predictions, aligned)
    wrong = [p for p in predictions if not is_right(p)]
    twins = twin_mistakes(predictions)
    return Mistakes(
        wrong=len(wrong),
        n=len(predictions),
        slices=tuple(slices),
        hidden_slices=hidden,
        confident=tuple(map(_mistake, sorted(wrong, key=_surest_first)[:SHOWN])),
        twins=tuple(twins[:SHOWN]),
        twins_wrong=len(twins),
        suspects=tuple(suspect_labels(predictions)[:SHOWN]),
    )


def twin_mistakes(predictions: Sequence[Prediction]) -> list[TwinMistake]:
    """Pairs whose members are not all right, those with the surest wrong verdict first."""
    pairs = [(name, m) for name, m in twin_pairs(predictions).items() if not all(map(is_right, m))]
    pairs.sort(key=lambda pair: min(_surest_first(p) for p in pair[1] if not is_right(p)))
    return [TwinMistake(pair=name, kind=_kind(m), members=tuple(map(_mistake, m))) for name, m in pairs]


def suspect_labels(predictions: Sequence[Prediction]) -> list[Suspect]:
    """Rows whose label both the model and the words of the other groups speak against, the least believed first.

    A hint to read again, not a finding: a hard claim looks the same. Confidence in the label as in confident
    learning (Northcutt et al. 2021, JAIR 70:1373), out of fold, so that no row vouches for itself.
    """
    words = out_of_fold(predictions)
    suspects = []
    for i, p in enumerate(predictions):
        by_model = p.p_true if p.label == "TRUE" else 1 - p.p_true
        by_words = None if words is None else float(words[i]) if p.label == "TRUE" else 1 - float(words[i])
        if by_model < 0.5 and (by_words is None or by_words < 0.5):
            suspects.append(
                Suspect(
                    claim_id=p.claim_id,
                    text=p.text,
                    label=p.label,
                    p_label_model=round(by_model, 4),
                    p_label_words=None if by_words is None else round(by_words, 4),
                )
            )
    return sorted(suspects, key=lambda s: (s.p_label_model + (s.p_label_words or 0.0), s.claim_id))


def out_of_fold(predictions: Sequence[Prediction]) -> Floats | None:
    """[n] probability of TRUE by TF-IDF fitted on the other four fifths, cut between groups.

    None with fewer than 100 rows, or where some fold would lack a label or a group to itself.
    """
    group = group_index(predictions)
    truth = np.array([p.label == "TRUE" for p in predictions])
    if (
        len(truth) < FEWEST_ROWS_FOR_FOLDS
        or int(group.max()) + 1 < 2 * FOLDS
        or min(truth.sum(), (~truth).sum()) < FOLDS
    ):
        return None
    texts = np.array([normalise(p.text) for p in predictions], dtype=object)
    p_true = np.zeros(len(truth))
    for fit, held in StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0).split(texts, truth, group):
        if len(set(truth[fit])) < 2 or not len(held):
            return None
        p_true[held] = tfidf_model().fit(texts[fit], truth[fit]).predict_proba(texts[held])[:, 1]
    return p_true


def _surest_first(p: Prediction) -> tuple[float, str]:
    return -abs(p.p_true - 0.5), p.claim_id


def _mistake(p: Prediction) -> Mistake:
    return Mistake(
        claim_id=p.claim_id,
        text=p.text,
        label=p.label,
        verdict="TRUE" if says_true(p) else "FALSE",
        p_true=round(p.p_true, 4),
        topic=p.topic,
        cues=tuple(cues_in(p.text)),
    )


def _kind(members: Sequence[Prediction]) -> TwinFault:
    labels: set[Label] = {p.label for p in members}
    if len({says_true(p) for p in members}) == 1:
        return "one answer for both" if len(labels) == 2 else "both wrong"
    if not any(map(is_right, members)):
        return "the wrong way round"
    return "different answers to one label"
