"""What the command line shows of itself: the list of commands by purpose, and names to complete with Tab."""

from __future__ import annotations

from typing import Annotated

import typer.core
from typer import Context

from medverdict.errors import without_mark

SECTIONS = {
    "start": {"quickstart": "the whole job on this machine, end to end"},
    "data": {
        "generate": "make claims out of knowledge files",
        "prepare": "read, clean, group, split by group, audit",
        "audit": "search two files for leaks; exit 3 on one",
    },
    "train": {
        "bases": "list the known bases, or fetch one",
        "recipes": "list the recipes, or show one",
        "plan": "memory, steps and time, before any is spent",
        "train": "train one recipe; continue after a cut",
        "sweep": "train one recipe with many settings",
    },
    "measure": {
        "evaluate": "score a set, beside the baselines; report",
        "report": "compute a report again, offline",
        "baselines": "what words alone give away",
        "compare": "two runs on the same rows: who is better?",
        "mistakes": "where a run goes wrong",
    },
    "combine": {
        "ensemble": "several runs as one judge",
        "average": "one run out of several seeds",
        "export": "a plain model or GGUF file, checked",
    },
    "use": {
        "verify": "judge one claim or several",
        "predict": "judge a file of claims",
        "serve": "a web page and an API",
    },
}
"""Purpose to commands, each with its line in `medverdict --help`."""


class SectionedGroup(typer.core.TyperGroup):
    """Lists commands by purpose, one line each, so that the list fits one screen."""

    def invoke(self, ctx: Context) -> object:  # type: ignore[override]  # typer keeps its own click
        """Run a command; what typer has against an option is said in plain words."""
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            error.message = without_mark(error.message)
            raise

    def list_commands(self, ctx: Context) -> list[str]:  # type: ignore[override]  # typer keeps its own click
        """In the order of `SECTIONS`; what stands in none of them comes last."""
        known = [name for commands in SECTIONS.values() for name in commands]
        return sorted(self.commands, key=lambda name: known.index(name) if name in known else len(known))

    def format_commands(self, ctx, formatter):  # type: ignore[no-untyped-def]  # types of typer's own click
        """Purpose, command, what it does."""
        formatter.write("\n")
        for purpose, commands in SECTIONS.items():
            for place, (name, told) in enumerate((n, t) for n, t in commands.items() if n in self.commands):
                formatter.write(f"  {'' if place else purpose:<9}{name:<12}{told}\n")


def known_recipes(incomplete: str) -> list[str]:
    """Recipes that begin so, for the shell to complete."""
    from medverdict.recipes.recipe import recipe_names

    return [name for name in recipe_names() if name.startswith(incomplete)]


def known_base_names(incomplete: str) -> list[str]:
    """Bases within the budget that begin so, for the shell to complete."""
    from medverdict.model.registry import known_bases

    return [base.name for base in known_bases() if base.within_budget and base.name.startswith(incomplete)]


RecipeName = Annotated[
    str, typer.Argument(metavar="RECIPE", help="Name of a recipe, or a .toml file.", autocompletion=known_recipes)
]
BaseName = Annotated[
    str | None, typer.Option(help="Name, hub id@revision, folder or .gguf file.", autocompletion=known_base_names)
]
OverBudget = Annotated[bool, typer.Option("--over-budget", help="Allow over 1,000,000,000 parameters; reported.")]
