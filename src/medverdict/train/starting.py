"""Begin from the adapter of a finished run instead of from zero: a last stage, or a subdomain."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from medverdict.data.where import select
from medverdict.errors import DataError, LeakError, RunError
from medverdict.model.lora import WEIGHTS, load_adapter
from medverdict.model.prompt import prompt_sha256
from medverdict.model.verifier import Verifier
from medverdict.predict.load import check_files, read_run
from medverdict.records import BaseInfo, Recipe, Record, Run, Split

_ALIKE = ("method", "lora_rank", "lora_alpha", "lora_targets")


class Start(Record):
    """The run whose adapter a training begins from."""

    run: str
    """Its id."""
    folder: str
    """As the user named it."""
    sha256: str
    """Of its adapter."""


def read_start(folder: Path, recipe: Recipe) -> tuple[Start, Run]:
    """A run to begin from. Raises RunError when it is no whole LoRA run, or has another adapter or prompt."""
    run = read_run(folder)
    check_files(folder, run)
    differing = [name for name in _ALIKE if getattr(run.recipe, name) != getattr(recipe, name)]
    if recipe.method != "lora" or differing:
        named = ", ".join(differing) or "method"
        raise RunError(f"{folder}: its adapter cannot begin this recipe's: {named} differ. Change them with --set.")
    if prompt_sha256(run.recipe) != prompt_sha256(recipe):
        raise RunError(f"{folder}: it was trained with another prompt or other label words. Use the same.")
    return Start(run=run.id, folder=str(folder), sha256=run.files[WEIGHTS]), run


def require_same_splits(run: Run, splits: Mapping[str, Split], override: bool) -> list[str]:
    """A run may only begin another on the folder it was trained on: else its rows may be dev or test rows here.

    What was overridden, or nothing. Raises LeakError.
    """
    with suppress(DataError):  # conditions that fit no row of these splits: they are others
        if all(run.splits[name] == select(splits[name], run.where).sha256 for name in ("train", "dev")):
            return []
    told = f"it begins from {run.id}, which was trained on other splits, whose rows may be dev or test rows here"
    if override:
        return [told]
    raise LeakError(f"refused: {told}. Prepare both from one folder, or add --despite-leak, which is reported.")


def require_same_base(run: Run, base: BaseInfo) -> None:
    """An adapter answers with the base it was trained on only. Raises RunError for another."""
    if run.base.sha256 != base.sha256:
        raise RunError(
            f"{run.id} was trained on {run.base.name}, this is {base.name}. Use the same base, or leave --init."
        )


def begin_from(verifier: Verifier, start: Start) -> None:
    """Fill the adapter of `verifier`. Raises RunError when it does not fit."""
    load_adapter(verifier.model, Path(start.folder))
