"""The commands that make something new out of finished runs: ensemble, average, export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from medverdict.cli_help import OverBudget
from medverdict.console import result_console, say
from medverdict.errors import NOT_ADVICE

Runs = Annotated[list[Path], typer.Argument(metavar="RUN", help="Folders of two or more runs.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def ensemble(
    runs: Runs,
    data: Annotated[Path, typer.Option(help="Labelled claims, CSV or JSONL.")],
    out: Annotated[Path, typer.Option(help="New folder for the joint predictions.")],
    rule: Annotated[Literal["mean", "vote"], typer.Option(help="Mean of calibrated margins, or vote.")] = "mean",
    over_budget: OverBudget = False,
    as_json: Json = False,
) -> None:
    """Join runs into one judge, count its parameters, and say whether it beats the best member.

    Example: medverdict ensemble runs/a runs/b --data test.jsonl --out runs/ab
    """
    from medverdict.app.ensembling import ensemble as job
    from medverdict.evaluate.wording import comparison_facts, percent, percent_interval

    found = job(runs, data, out, rule, over_budget)
    if as_json:
        typer.echo(found.model_dump_json(indent=1))
        return
    lines = (
        f"{found.name}: {percent(found.accuracy.value)} right ({percent_interval(found.accuracy)}) "
        f"on {found.accuracy.n} rows, {found.parameters:,} parameters",
        found.against_best.sentence,
        comparison_facts(found.against_best),
        f"predictions: {out}",
    )
    result_console.print("\n".join(lines), markup=False, soft_wrap=True)
    say(NOT_ADVICE)


def average(
    runs: Runs,
    data: Annotated[Path, typer.Option(help="The prepared folder they were trained on.")],
    out: Annotated[Path, typer.Option(help="New folder for the run.")],
    rank: Annotated[int | None, typer.Option(min=1, help="Keep this rank instead of the exact sum.")] = None,
) -> None:
    """Make one run whose adapter is the mean of several that differ only in their seed.

    Example: medverdict average runs/s0 runs/s1 --data data/ours --out runs/v6
    """
    from medverdict.app.averaging import average as job

    made = job(runs, data, out, rank)
    result_console.print(f"run {made.id}, the mean of {len(runs)}, is in {out}", markup=False, soft_wrap=True)


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")],
    out: Annotated[Path, typer.Option(help="New folder for the model.")],
    kind: Annotated[
        Literal["merged", "gguf"], typer.Option("--format", help="Plain safetensors, or a file for llama.cpp.")
    ] = "merged",
    quantisation: Annotated[
        Literal["f16", "q8_0", "q4_0"], typer.Option(help="How a GGUF file stores its matrices.")
    ] = "q8_0",
    data: Annotated[Path | None, typer.Option(help="500 or more labelled claims for the parity gate.")] = None,
    as_json: Json = False,
) -> None:
    """Write a run as a plain model, and keep it only if it answers as the run does (exit 3).

    Example: medverdict export runs/v6 --format gguf --out models/v6-gguf
    """
    from medverdict.app.exporting import export as job
    from medverdict.evaluate.wording import percent

    parity = job(run, out, kind, quantisation, data)
    if as_json:
        typer.echo(parity.model_dump_json(indent=1))
        return
    text = (
        f"{parity.what}: {percent(parity.agreement)} of verdicts agree on {parity.n} claims, P(TRUE) differs by "
        f"{parity.largest_difference:.3f} at most; right answers won {parity.won}, lost {parity.lost} "
        f"(McNemar p = {parity.p:.2g})\nmodel: {out}"
    )
    result_console.print(text, markup=False, soft_wrap=True)
    say(NOT_ADVICE)


COMMANDS = (ensemble, average, export)
