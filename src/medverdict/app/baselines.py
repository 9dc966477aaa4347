"""What stands beside every model: its untrained base, and judges that only look at words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from medverdict.console import progress, say
from medverdict.data.read import read_split
from medverdict.errors import DataError, RunError
from medverdict.evaluate.baselines import (
    ALWAYS_TRUE,
    KEYWORD_RULE,
    MAJORITY,
    SHIPPED,
    TFIDF,
    ZERO_SHOT,
    always_true,
    keyword_rule,
    majority,
    tfidf_logistic,
)
from medverdict.evaluate.interval import with_intervals
from medverdict.evaluate.metrics import METRICS, to_sample
from medverdict.evaluate.report import TITLES
from medverdict.model.bases import cached, fetch
from medverdict.model.lora import without_lora
from medverdict.model.precision import choose_placement
from medverdict.model.verifier import Verifier
from medverdict.predict.load import LoadedRun, load_run, read_run
from medverdict.predict.score import predictions, score_margins
from medverdict.predict.shipped import shipped_run
from medverdict.recipes.recipe import load_recipe
from medverdict.records import Calibration, Claim, Metric, Prediction, Split

UNFITTED = Calibration(temperature=1.0, threshold=0.0, abstain_below=None, n=0, fitted_on="")
"""The base's own tilt, where there is no dev set to fit anything on."""


def baselines_of_run(
    loaded: LoadedRun, claims: Sequence[Claim], train: Split | None
) -> dict[str, tuple[Prediction, ...]]:
    """What stands beside the model: the untrained base, and where the training rows are at hand what they teach."""
    found: dict[str, list[Prediction]] = {}
    if loaded.run.recipe.method != "zero-shot":
        margins = untrained_margins(loaded, claims)
        found[ZERO_SHOT] = predictions(claims, margins, loaded.run.zero_shot, f"baseline:{ZERO_SHOT}")
    if train is not None:
        found[MAJORITY] = majority(claims, train.claims)
        try:
            found[TFIDF] = tfidf_logistic(claims, train.claims)
        except DataError as error:  # so few training rows that only the model was bold enough
            say(f"without the TF-IDF baseline: {error}")
    return {name: tuple(rows) for name, rows in found.items()}


def shipped_model(claims: Sequence[Claim]) -> dict[str, tuple[Prediction, ...]]:
    """Predictions of the model that comes with the package, where this copy has one and its base is at hand."""
    try:
        folder = shipped_run()
    except RunError:
        return {}
    if cached(read_run(folder).base.name) is None:  # a row for comparison is not worth half a gigabyte
        return {}
    try:
        loaded = load_run(folder, choose_placement())
    except RunError as error:  # the row is worth less than the report
        say(f"without the shipped model: {error}")
        return {}
    margins = margins_of(loaded.verifier, claims, "the shipped model")
    return {SHIPPED: tuple(predictions(claims, margins, loaded.run.calibration, loaded.run.id))}


def untrained_margins(loaded: LoadedRun, claims: Sequence[Claim]) -> np.ndarray:
    """Margins of the base with the run's prompt and none of its training."""
    verifier = loaded.verifier
    if loaded.run.recipe.method == "full":
        recipe = loaded.run.recipe.model_copy(update={"method": "zero-shot"})
        verifier = Verifier.load(fetch(loaded.run.base.name), recipe, verifier.placement)
    with without_lora(verifier.model):
        return margins_of(verifier, claims, "untrained base")


def margins_of(verifier: Verifier, claims: Sequence[Claim], who: str) -> np.ndarray:
    """Margins (rows,) under a progress bar."""
    with progress(who, len(claims)) as bar:
        return score_margins(verifier, [claim.text for claim in claims], bar.advance)


def simple_baselines(data: Path, train: Path | None, base: str | None) -> dict[str, Metric]:
    """Accuracy of every judge that needs no training run, by its title; zero-shot at threshold 0, nothing fitted."""
    claims = read_split(data, data.stem).claims
    found = {ALWAYS_TRUE: always_true(claims), KEYWORD_RULE: keyword_rule(claims)}
    if train is not None:
        rows = read_split(train, train.stem).claims
        found |= {MAJORITY: majority(claims, rows), TFIDF: tfidf_logistic(claims, rows)}
    if base is not None:
        recipe = load_recipe("zero-shot", [f"base={json.dumps(base)}"])
        verifier = Verifier.load(fetch(base), recipe, choose_placement())
        margins = margins_of(verifier, claims, "untrained base")
        found[ZERO_SHOT] = predictions(claims, margins, UNFITTED, f"baseline:{ZERO_SHOT}")
    return {TITLES[name]: with_intervals(to_sample(rows), METRICS)["accuracy"] for name, rows in found.items()}
