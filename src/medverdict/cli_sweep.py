"""The command that trains many runs: sweep."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from medverdict.cli_help import BaseName, RecipeName
from medverdict.console import result_console, table


def sweep(
    recipe: RecipeName,
    data: Annotated[Path, typer.Option(help="Folder that `prepare` wrote.")],
    out: Annotated[Path, typer.Option(help="Folder of the sweep, shared by all its workers.")],
    vary: Annotated[list[str], typer.Option(help="field=value,value,…; repeatable, every combination is trained.")],
    settings: Annotated[list[str] | None, typer.Option("--set", help="Change a field for all of them.")] = None,
    base: BaseName = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Train one recipe with many settings, and list the runs by dev accuracy.

    Start the same command again to continue after a cut, or several times at once to share the work.

    Example: medverdict sweep v6 --data data/ours --out runs/s --vary seed=0,1
    """
    from medverdict.app.sweeping import Work
    from medverdict.app.sweeping import sweep as job
    from medverdict.app.training import TrainOptions
    from medverdict.evaluate.wording import percent

    changes = [*(settings or ()), *([f"base={json.dumps(base)}"] if base is not None else [])]
    found = job(Work(recipe, data, out, TrainOptions(changes)), vary)
    if as_json:
        typer.echo(json.dumps([trial.model_dump(mode="json") for trial in found], ensure_ascii=False, indent=1))
        return
    rows = [(t.run, percent(t.dev_accuracy) if t.dev_accuracy is not None else t.why.split(".")[0]) for t in found]
    result_console.print(table(f"{len(found)} runs in {out}", ("run", "dev accuracy"), rows))


COMMANDS = (sweep,)
