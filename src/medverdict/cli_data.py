"""The commands between a file and a training: prepare, audit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medverdict.errors import GATE_CLOSED, DataError


def prepare(  # noqa: PLR0913 - each option of a command is an argument
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="CSV or JSONL files with claims and labels.")],
    out: Annotated[Path, typer.Option(help="New folder for the splits.")],
    test_file: Annotated[list[Path] | None, typer.Option(help="Rows that are the test, whole; repeatable.")] = None,
    dev_share: Annotated[float, typer.Option(help="Share of rows for dev.")] = 0.1,
    test_share: Annotated[float, typer.Option(help="Share of rows for test, without --test-file.")] = 0.1,
    seed: Annotated[int, typer.Option(help="Decides which groups go where.")] = 0,
    repair_mojibake: Annotated[
        bool, typer.Option("--repair-mojibake", help="Mend text read with a wrong code page.")
    ] = False,
    low_quality: Annotated[bool, typer.Option("--filter", help="Leave out questions, fragments, noise.")] = False,
    balance_labels: Annotated[bool, typer.Option("--balance-labels", help="As many TRUE as FALSE.")] = False,
    balance_cues: Annotated[bool, typer.Option("--balance-cues", help="So for each cue word.")] = False,
    augment: Annotated[int, typer.Option(min=0, help="Further wordings of each training row, by synonyms.")] = 0,
    merge_sample: Annotated[Path | None, typer.Option(help="As the published v2: half trained on. Leaks.")] = None,
) -> None:
    """Read, clean, group, split by group and audit.

    Example: medverdict prepare claims.csv --out data/mine --balance-labels
    """
    from medverdict.data import prepare as room
    from medverdict.data.merge import prepare_merged
    from medverdict.evaluate.baselines import cues_in

    shares = room.Shares(dev=dev_share, test=0.0 if test_file else test_share)
    if merge_sample and (test_file or repair_mojibake or low_quality or balance_labels or balance_cues or augment):
        raise DataError(
            "--merge-sample repeats the published v2: expected no option beside it but --dev-share, --seed."
        )
    if merge_sample:
        room.print_summary(prepare_merged(files, merge_sample, out, shares=shares, seed=seed))
        return
    steps = room.Steps(
        low_quality=low_quality,
        balance_labels=balance_labels,
        cues_in=cues_in if balance_cues else None,
        augment=augment,
    )
    prepared = room.prepare(
        files, out, shares=shares, seed=seed, test_files=test_file or (), repair_mojibake=repair_mojibake, steps=steps
    )
    room.print_summary(prepared)


def audit(
    train_file: Annotated[Path, typer.Argument(metavar="TRAIN", help="Training rows, CSV or JSONL.")],
    test_file: Annotated[Path, typer.Argument(metavar="TEST", help="Held-out rows, CSV or JSONL.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Search two files for leaks; exit 3 when there is one.

    Example: medverdict audit train.jsonl test.jsonl
    """
    from medverdict.data import audit as room
    from medverdict.data.read import read_split

    found = room.audit([read_split(train_file, "train"), read_split(test_file, "test")])
    if as_json:
        typer.echo(found.model_dump_json(indent=1))
    else:
        room.print_audit(found)
    if not found.clean:
        raise typer.Exit(GATE_CLOSED)


COMMANDS = (prepare, audit)
