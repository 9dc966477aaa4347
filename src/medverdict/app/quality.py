"""CLAIMS -> how good they are to learn from, as far as their wording tells: report.json and report.md."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

import numpy as np

from medverdict.data.group import named_families
from medverdict.errors import NOT_ADVICE
from medverdict.evaluate.baselines import FEWEST_ROWS, cues_in, keyword_rule, keywords, tfidf_logistic
from medverdict.evaluate.interval import share
from medverdict.evaluate.metrics import is_right
from medverdict.evaluate.wording import percent, percent_interval
from medverdict.generate.records import CueCount, Quality, Sample
from medverdict.records import Claim, Metric, Prediction

FOLDS = 5
MOST_ROWS = 10_000
"""Rows that TF-IDF is measured on: more of them move its accuracy by less than its interval, and take minutes."""
SAMPLES = 60
"""Rows for a person to read: that many without a fault leave at most one in twenty with one (95 %)."""
_SEED = 0  # of the part, the folds and the samples: the same claims give the same report
_SHOWN = 12  # cue words in report.md


def measure_quality(claims: Sequence[Claim]) -> Quality:
    """Counts, cue words by label, what the keyword rule and TF-IDF get right on these claims, and rows to read.

    TF-IDF + logistic regression is fitted on four folds and judged on the fifth, five times; pairs and groups stay on
    one side. Whatever it gets above a half, wording gives away.
    """
    family = named_families(claims)
    part = _part(family)
    chosen = [claims[row].model_copy(update={"group": str(family[row])}) for row in part]
    samples = random.Random(_SEED).sample(range(len(claims)), min(SAMPLES, len(claims)))
    return Quality(
        rows=len(claims),
        true=sum(claim.label == "TRUE" for claim in claims),
        words=round(sum(len(claim.text.split()) for claim in claims) / len(claims), 1),
        families=len(set(family)),
        cues=_cues(claims),
        keyword_rule=_accuracy(keyword_rule(chosen)),
        tfidf=_tfidf(chosen),
        tfidf_rows=len(chosen),
        samples=tuple(Sample(label=claims[row].label, text=claims[row].text) for row in sorted(samples)),
    )


def quality_page(title: str, quality: Quality) -> str:
    """The same as Markdown, samples at the end."""
    lines = [
        f"# {title}",
        f"> {NOT_ADVICE}",
        f"{quality.rows:,} claims, {quality.true:,} TRUE, {quality.words} words each, {quality.families:,} families.",
        f"What wording gives away, on {quality.tfidf_rows:,} of them (50 % is nothing):",
        f"- keyword rule {_told(quality.keyword_rule)}\n"
        f"- TF-IDF + logistic regression, {FOLDS} folds by family: {_told(quality.tfidf)}",
        "| cue word | in TRUE | in FALSE |\n|---|---:|---:|\n"
        + "\n".join(f"| {cue.cue} | {cue.true:,} | {cue.false:,} |" for cue in quality.cues[:_SHOWN]),
        "## Rows to read before training on them",
        "\n".join(f"- {sample.label}: {sample.text}" for sample in quality.samples),
    ]
    return "\n\n".join(lines) + "\n"


def _told(metric: Metric) -> str:
    return metric.why if metric.value is None else f"{percent(metric.value)} ({percent_interval(metric)})"


def _part(family: Sequence[int]) -> list[int]:
    """Rows of whole families, in order: all, or a random part of MOST_ROWS at most."""
    size = Counter(family)
    names = list(size)
    random.Random(_SEED).shuffle(names)
    taken: set[int] = set()
    rows = 0
    for name in names:
        if rows + size[name] <= MOST_ROWS:
            taken.add(name)
            rows += size[name]
    return [row for row, name in enumerate(family) if name in taken]


def _cues(claims: Sequence[Claim]) -> tuple[CueCount, ...]:
    held = {"TRUE": Counter[str](), "FALSE": Counter[str]()}
    for claim in claims:
        held[claim.label].update(cues_in(claim.text))
    found = [CueCount(cue=cue, true=held["TRUE"][cue], false=held["FALSE"][cue]) for cue in keywords()]
    uneven = sorted(found, key=lambda cue: -abs(cue.true - cue.false))
    return tuple(cue for cue in uneven if cue.true + cue.false)


def _tfidf(claims: Sequence[Claim]) -> Metric:
    names = sorted({claim.group for claim in claims}, key=int)
    random.Random(_SEED).shuffle(names)
    fold = {name: number % FOLDS for number, name in enumerate(names)}
    judged: list[Prediction] = []
    for number in range(FOLDS):
        inside = [claim for claim in claims if fold[claim.group] == number]
        outside = [claim for claim in claims if fold[claim.group] != number]
        if len(outside) < FEWEST_ROWS or len({claim.label for claim in outside}) < 2:
            return Metric(value=None, low=None, high=None, n=0, why="too few families to learn from")
        judged += tfidf_logistic(inside, outside)
    return _accuracy(judged)


def _accuracy(predictions: Sequence[Prediction]) -> Metric:
    group = np.unique([int(p.group) for p in predictions], return_inverse=True)[1]
    return share(np.array([is_right(p) for p in predictions], dtype=np.bool_), group.astype(np.int64))
