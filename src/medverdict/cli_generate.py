"""The commands that make claims out of knowledge files: generate kb, style, icd10, qa."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medverdict.console import result_console, say, table
from medverdict.errors import NOT_ADVICE

if TYPE_CHECKING:
    from medverdict.app.generating import Generation

Out = Annotated[Path, typer.Option(help="New folder for claims, what was left out, and the quality report.")]
Rows = Annotated[int | None, typer.Option(min=2, help="At most so many claims, half of them TRUE; by default all.")]
Seed = Annotated[int, typer.Option(help="Decides every choice; the same seed gives the same bytes.")]
Knowledge = Annotated[Path, typer.Argument(metavar="FILE", help="docs/data.md says where it comes from.")]


def kb(
    out: Out,
    vimedical: Annotated[Path | None, typer.Option(help="ViMedical_Disease.csv: questions by disease.")] = None,
    vimedner: Annotated[Path | None, typer.Option(help="ViMedNER.jsonl: sentences with marked spans.")] = None,
    rows: Annotated[int, typer.Option(min=2, help="Claims to make; the published set has 154,477.")] = 154_477,
    seed: Seed = 0,
) -> None:
    """Build a knowledge base, and balanced TRUE and FALSE claims out of it.

    Example: medverdict generate kb --vimedical ViMedical.csv --out data/kb
    """
    from medverdict.app.generating import generate_kb

    _show(generate_kb(vimedical, vimedner, out, rows, seed))


def style(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="kb.jsonl, as `generate kb` wrote it.")],
    out: Out,
    variants: Annotated[int, typer.Option(min=1, help="Further tellings of each claim.")] = 2,
    seed: Seed = 0,
) -> None:
    """Tell generated claims again, in a teacher's words.

    Example: medverdict generate style data/kb/kb.jsonl --out data/style
    """
    from medverdict.app.generating import generate_style

    _show(generate_style(file, out, variants, seed))


def icd10(file: Knowledge, out: Out, rows: Rows = None, seed: Seed = 0) -> None:
    """Make claims on the codes, names, classes and ranges of an ICD-10 list.

    Example: medverdict generate icd10 icd10.csv --out data/icd10 --rows 20000
    """
    from medverdict.app.generating import generate_icd10

    _show(generate_icd10(file, out, rows, seed))


def qa(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="JSON lines in ViMedAQA's form.")],
    out: Out,
    rows: Rows = None,
    seed: Seed = 0,
) -> None:
    """Make claims out of question-answer pairs; the false ones have another subject or number.

    Example: medverdict generate qa ViMedAQA_validation.jsonl --out data/qa
    """
    from medverdict.app.generating import generate_qa

    _show(generate_qa(files, out, rows, seed))


def _show(done: Generation) -> None:
    from medverdict.app.generating import summary_rows

    result_console.print(table(f"generate {done.origin.command}", ("", "measured"), summary_rows(done)))
    result_console.print(f"sha256 {done.origin.claims[done.file.name]}", markup=False, soft_wrap=True)
    result_console.print(f"read some rows before you train: {done.file.parent / 'report.md'}", soft_wrap=True)
    result_console.print(f"next: medverdict prepare {done.file} --out DIR", markup=False, soft_wrap=True)
    say(NOT_ADVICE)


COMMANDS = (kb, style, icd10, qa)
