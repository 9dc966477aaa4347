"""Which engine a training gets: the fast one where it applies, unless a person asks for another."""

from __future__ import annotations

from collections.abc import Sequence

from medverdict.console import say
from medverdict.errors import RunError
from medverdict.model.prompt import Example
from medverdict.model.verifier import Verifier
from medverdict.train.engine import Engine, EngineChoice
from medverdict.train.fast import FastEngine, why_not_fast
from medverdict.train.plain import PlainEngine
from medverdict.train.world import ALONE, World


def choose_engine(
    verifier: Verifier, examples: Sequence[Example], choice: EngineChoice = "auto", world: World = ALONE
) -> Engine:
    """The engine for this training, and a word about why; `examples` are all its rows.

    Raises RunError when the fast engine is asked for and cannot do it.
    """
    recipe = verifier.recipe
    problem = why_not_fast(verifier, recipe)
    if choice == "fast" and problem:
        raise RunError(f"--engine fast: {problem}. Leave --engine out, or say --engine plain.")
    if choice == "plain" or problem:
        say(f"plain engine: {problem or 'as asked for'}")
        return PlainEngine(verifier, recipe, world)
    say("fast engine")
    return FastEngine(verifier, recipe, examples, world=world)
