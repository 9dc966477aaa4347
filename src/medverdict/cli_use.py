"""The commands that use a trained model: verify, predict, serve."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from medverdict.console import result_console, say
from medverdict.errors import NOT_ADVICE, DataError

Run = Annotated[Path | None, typer.Option(help="Folder of a run; by default the model in this package.")]
Abstain = Annotated[bool, typer.Option("--abstain", help="Answer ABSTAIN where the model is not sure enough.")]


def verify(
    claims: Annotated[
        list[str] | None, typer.Argument(metavar="CLAIM", help="Claims; - or none: one a line from stdin.")
    ] = None,
    run: Run = None,
    abstain: Abstain = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list instead of lines.")] = False,
) -> None:
    """Judge one claim or several.

    Example: medverdict verify "Bệnh lao lây qua đường hô hấp."
    """
    asked = claims if claims and claims != ["-"] else claims_of_stdin()
    from medverdict.app.verify import verify as job

    answers = job(asked, run, abstain)
    if as_json:
        typer.echo(json.dumps([a.model_dump(mode="json") for a in answers], ensure_ascii=False, indent=1))
    else:
        for a in answers:
            line = f"{a.verdict:<7}  P(TRUE) {a.p_true:.2f}  {a.claim}"
            result_console.print(line, markup=False, soft_wrap=True)
    say(NOT_ADVICE)


def predict(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV, XLSX or JSONL with a column of claims.")],
    out: Annotated[Path | None, typer.Option(help="File to write; by default beside FILE.")] = None,
    run: Run = None,
    layout: Annotated[
        Literal["columns", "submission"],
        typer.Option("--format", help="Add verdict and p_true, or fill the answer column of a test sheet."),
    ] = "columns",
    abstain: Abstain = False,
    devices: Annotated[
        str | None,
        typer.Option(help="Devices that share the rows: cuda:0,cuda:1 or all; by default all for a large file."),
    ] = None,
) -> None:
    """Judge a file of any size; every column stays, and a cut run goes on where it was.

    Example: medverdict predict test.xlsx --format submission
    """
    from medverdict.app.predict import PredictOptions
    from medverdict.app.predict import predict as job

    done = job(file, PredictOptions(run, out, layout, abstain, devices))
    counts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(done.verdicts.items()))
    result_console.print(f"{done.rows} rows judged ({counts}): {done.out}", markup=False, soft_wrap=True)
    say(NOT_ADVICE)


def serve(
    run: Run = None,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 opens it to your network.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.", min=0, max=65_535)] = 8000,
    waiting: Annotated[int | None, typer.Option(help="Claims that may wait for the model.", min=1)] = None,
    seconds: Annotated[float | None, typer.Option(help="Longest wait for an answer.", min=0.1)] = None,
) -> None:
    """Answer over HTTP: a page for people, an API for programs. Nothing of a claim is logged or kept.

    Example: medverdict serve --run runs/v6
    """
    from medverdict.app.serving import ServeOptions
    from medverdict.app.serving import serve as job

    job(ServeOptions(run, host, port, waiting, seconds))


def claims_of_stdin() -> list[str]:
    """The lines of stdin that hold text. Raises DataError when there are none, or stdin is a terminal."""
    if sys.stdin.isatty():
        raise DataError('no claim given; expected medverdict verify "…", or claims on stdin, one a line.')
    try:
        lines = sys.stdin.buffer.read().decode("utf-8-sig").split("\n")
    except UnicodeDecodeError:
        raise DataError("stdin: not UTF-8; expected claims in UTF-8, one a line.") from None
    claims = [line for line in lines if line.strip()]
    if not claims:
        raise DataError('stdin: no claim in it; expected one a line, or medverdict verify "…".')
    return claims


COMMANDS = (verify, predict, serve)
