"""What the words alone give away: three judges that know no medicine, to stand beside every model.

`p_true` of the first two is a form, not a probability: rules have none. Their margins carry the sign of the verdict.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from importlib import resources

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline

from medverdict.errors import DataError
from medverdict.records import Claim, Label, Prediction
from medverdict.text import normalise

ALWAYS_TRUE = "always-true"
MAJORITY = "majority"
KEYWORD_RULE = "keyword-rule"
TFIDF = "tfidf-logistic"
SHIPPED = "shipped"
"""Not a baseline: the model that comes with the package, shown beside for comparison."""
ZERO_SHOT = "zero-shot"
"""Names under which a report knows the baselines; their `run` is `baseline:NAME`."""

TFIDF_FEATURES = "word 1- and 2-grams, lower case, sublinear TF-IDF; L2-regularised logistic regression, C = 1"
"""Said in reports. Vocabulary, weights and coefficients come from the training rows alone; nothing was tuned."""

FEWEST_ROWS = 20
"""Training rows below which a fitted baseline would be noise."""


def always_true(claims: Sequence[Claim]) -> list[Prediction]:
    """Says TRUE to everything."""
    return predictions(claims, [1.0] * len(claims), ALWAYS_TRUE)


def majority(claims: Sequence[Claim], train: Sequence[Claim]) -> list[Prediction]:
    """Says what most training rows say (TRUE on a tie); its margin is their log-odds, plus one row of each label.

    Raises DataError when there are no training rows.
    """
    if not train:
        raise DataError("the majority baseline got no training rows; expected at least one. Give it --train FILE.")
    true_rows = sum(c.label == "TRUE" for c in train)
    odds = float(logit((true_rows + 1) / (len(train) + 2)))
    return predictions(claims, [odds or np.nextafter(0.0, 1.0)] * len(claims), MAJORITY)


def keyword_rule(claims: Sequence[Claim]) -> list[Prediction]:
    """Says FALSE when the claim holds a cue of keywords.txt; its margin is a half minus the number of cues."""
    return predictions(claims, [0.5 - len(cues_in(c.text)) for c in claims], KEYWORD_RULE)


def tfidf_logistic(claims: Sequence[Claim], train: Sequence[Claim]) -> list[Prediction]:
    """Judges by a linear model over word 1- and 2-grams, fitted on the training rows and nothing else.

    Features: lower case, sublinear term frequency, smoothed idf; L2 logistic regression, C = 1, deterministic
    (lbfgs from zero, so there is no seed to choose). Its margin is the log-odds of TRUE. Whether training rows
    also stand among `claims` is the audit's question, not asked here.
    Raises DataError when there are fewer than 20 training rows or they hold one label only.
    """
    texts, labels = [c.text for c in train], [c.label for c in train]
    check_trainable(labels, "the TF-IDF baseline")
    if not claims:
        return []
    model = tfidf_model().fit([normalise(t) for t in texts], [label == "TRUE" for label in labels])
    margins: npt.NDArray[np.float64] = model.decision_function([normalise(c.text) for c in claims])
    return predictions(claims, margins.tolist(), TFIDF)


def tfidf_model() -> Pipeline:
    """The untrained TF-IDF baseline."""
    features = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\w+")
    return make_pipeline(features, LogisticRegression(C=1.0, max_iter=1000))


def check_trainable(labels: Sequence[Label], who: str) -> None:
    """Raise DataError unless there are enough rows of both labels."""
    if len(labels) < FEWEST_ROWS:
        raise DataError(f"{who} got {len(labels)} training rows; expected at least {FEWEST_ROWS}. Give it more rows.")
    if len(set(labels)) < 2:
        raise DataError(
            f"{who} got {len(labels)} training rows that are all {labels[0]}; expected rows of both labels. "
            "Check the label column of the training file."
        )


def predictions(claims: Sequence[Claim], margins: Sequence[float], name: str) -> list[Prediction]:
    """A baseline's margins as stored predictions: TRUE above zero, p_true by the logistic function."""
    return [
        Prediction.of(claim, margin, float(expit(margin)), "TRUE" if margin > 0 else "FALSE", f"baseline:{name}")
        for claim, margin in zip(claims, margins, strict=True)
    ]


@cache
def keywords() -> tuple[str, ...]:
    """The cues of keywords.txt, in its order."""
    lines = resources.files(__package__).joinpath("keywords.txt").read_text(encoding="utf-8").splitlines()
    return tuple(normalise(line) for line in lines if line.strip() and not line.startswith("#"))


def cues_in(text: str) -> list[str]:
    """The cues that a text holds as whole words, in any case, each once, in the file's order."""
    found = {match.casefold() for match in _cue_pattern().findall(normalise(text))}
    return [cue for cue in keywords() if cue in found]


@cache
def _cue_pattern() -> re.Pattern[str]:
    longest_first = sorted(keywords(), key=len, reverse=True)
    return re.compile(rf"(?<!\w)({'|'.join(map(re.escape, longest_first))})(?!\w)", re.IGNORECASE)
