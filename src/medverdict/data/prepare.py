"""FILES -> a folder of splits that proves itself: read, clean, group, split by group, audit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.table import Table

from medverdict.console import result_console, table
from medverdict.data.audit import TEST, audit, audit_line
from medverdict.data.augment import augmented
from medverdict.data.balance import CuesIn, surplus_cues, surplus_labels
from medverdict.data.clean import low_quality
from medverdict.data.read import MAX_CHARS, Mojibake, read_claims, read_split, write_split
from medverdict.data.sieve import Sieve, grouped
from medverdict.data.split import MIN_ROWS, split_by_group
from medverdict.errors import DataError
from medverdict.files import new_folder, read_record, sha256_file, write_json, write_jsonl
from medverdict.records import Audit, Claim, Dropped, Record, Split

SPLITS = ("train", "dev", TEST)
AUGMENTED_OUTSIDE = "augmented row outside training"
MANIFEST = "manifest.json"
AUDIT = "audit.json"

_SHOWN = 3  # wrongly decoded rows shown of each file


class Shares(NamedTuple):
    """How the rows are divided; training gets the rest."""

    dev: float = 0.1
    """Of the rows that are split."""
    test: float = 0.1
    """Likewise; not used where the test is given as files."""


DEFAULT_SHARES = Shares()


class Steps(NamedTuple):
    """What is done to the rows that are split; a given test stays as it is."""

    max_chars: int = MAX_CHARS
    """Longest claim that is kept."""
    low_quality: bool = False
    """Leave out what a rule of `clean` speaks against."""
    balance_labels: bool = False
    """Leave out surplus rows of one label."""
    cues_in: CuesIn | None = None
    """Leave out surplus rows until these cue words stand as often in TRUE as in FALSE claims."""
    augment: int = 0
    """Further wordings of each training row."""

    def told(self) -> tuple[str, ...]:
        """As Origin keeps it."""
        names = {
            "filter": self.low_quality,
            "balance labels": self.balance_labels,
            "balance cues": self.cues_in is not None,
            f"augment {self.augment}": self.augment > 0,
        }
        return tuple(name for name, wanted in names.items() if wanted)


DEFAULT_STEPS = Steps()


class Origin(Record):
    """What splits were made of, and how."""

    inputs: dict[str, str]
    """Name of each input file to its sha256."""
    test_inputs: dict[str, str]
    """Likewise, for the files that are the test."""
    seed: int
    """Decided which groups went where."""
    shares: dict[str, float]
    """Split name to its share of the rows that were split."""
    repair_mojibake: bool
    """Whether wrongly decoded text was repaired."""
    max_chars: int
    """Longest claim that was kept."""
    steps: tuple[str, ...] = ()
    """What else was asked for: `filter`, `balance labels`, `balance cues`, `augment N`."""


class Manifest(Record):
    """What a prepared folder holds; written last, so that a folder without it is not whole."""

    origin: Origin
    """As above."""
    splits: dict[str, str]
    """Split name to sha256."""
    rows: dict[str, int]
    """Rows per split."""
    dropped: dict[str, int]
    """Rows left out, per reason."""


class Stored(NamedTuple):
    """A prepared folder, read back."""

    splits: dict[str, Split]
    """`train`, `dev`, `test`."""
    audit: Audit | None
    """None where the folder has none; `audit.require_clean` decides what that means."""


class Prepared(NamedTuple):
    """What `prepare` made."""

    folder: Path
    """Where it is."""
    splits: dict[str, Split]
    """`train`, `dev`, `test`."""
    audit: Audit
    """Of these splits."""
    dropped: tuple[Dropped, ...]
    """Every row left out."""
    mojibake: dict[str, tuple[Mojibake, ...]]
    """Input file to its wrongly decoded rows, where it has any."""
    repaired: bool
    """Whether these were repaired."""


def prepare(
    files: Sequence[Path],
    out: Path,
    *,
    shares: Shares = DEFAULT_SHARES,
    seed: int = 0,
    test_files: Sequence[Path] = (),
    repair_mojibake: bool = False,
    steps: Steps = DEFAULT_STEPS,
) -> Prepared:
    """Turn labelled files into the new folder `out`: three splits, what was dropped and why, audit and manifest.

    Dropped are rows that `read_claims` cannot use, repeats of an earlier row, all rows of a text that has both
    labels, rows that nearly repeat one of the test files or of the shipped frozen test, and what `steps` ask for.
    With `test_files` the test is exactly their usable rows. The same input gives the same bytes; on any failure `out`
    does not appear.

    Raises DataError for unusable files or too few rows, RunError when `out` is not new or cannot be written.
    """
    with new_folder(out) as folder:
        _require_names([*files, *test_files])
        inputs, tests = (
            [read_claims(path, repair_mojibake=repair_mojibake, max_chars=steps.max_chars) for path in paths]
            for paths in (files, test_files)
        )
        readings = dict(zip([path.name for path in (*files, *test_files)], [*inputs, *tests], strict=True))
        sieve = Sieve(readings)
        test = [claim for reading in tests for claim in reading.claims]
        candidates, added = _worked(sieve, [claim for reading in inputs for claim in reading.claims], test, steps, seed)
        candidates, test = grouped(candidates, test)
        sieve.require(MIN_ROWS, candidates)

        dealt = {"train": 1 - shares.dev - shares.test, "dev": shares.dev, TEST: shares.test}
        if test_files:
            dealt = {"train": 1 - shares.dev, "dev": shares.dev}
        parts = {TEST: tuple(test)} | split_by_group(candidates, dealt, seed)
        outside = dict.fromkeys(added, AUGMENTED_OUTSIDE)
        parts |= {name: tuple(sieve.drop(parts[name], outside)) for name in SPLITS[1:]}
        origin = Origin(
            inputs={path.name: sha256_file(path) for path in files},
            test_inputs={path.name: sha256_file(path) for path in test_files},
            seed=seed,
            shares=dealt,
            repair_mojibake=repair_mojibake,
            max_chars=steps.max_chars,
            steps=steps.told(),
        )
        splits, found = write_prepared(folder, parts, sieve.dropped, origin)
    mojibake = {name: reading.mojibake for name, reading in readings.items() if reading.mojibake}
    return Prepared(out, splits, found, tuple(sieve.dropped), mojibake, repair_mojibake)


def _worked(
    sieve: Sieve, claims: Sequence[Claim], test: Sequence[Claim], steps: Steps, seed: int
) -> tuple[list[Claim], set[str]]:
    """The claims that are left after all steps, and the ids of those that were made by augmentation."""
    claims = sieve.drop_repeats(claims)
    if steps.low_quality:
        claims = sieve.drop(claims, low_quality(claims))
    claims = sieve.keep_away(claims, test)
    if steps.balance_labels:
        claims = sieve.drop(claims, surplus_labels(claims, seed))
    if steps.cues_in:
        claims = sieve.drop(claims, surplus_cues(claims, steps.cues_in, seed))
    if not steps.augment:
        return claims, set()
    made = augmented(claims, steps.augment, seed)
    sieve.place_beside({claim.id: claim.id.rpartition("+")[0] for claim in made})
    roots = [claim if claim.group else claim.model_copy(update={"group": claim.id}) for claim in claims]
    return sieve.keep_away([*roots, *made], test), {claim.id for claim in made}


def write_prepared(
    folder: Path, parts: Mapping[str, Sequence[Claim]], dropped: Sequence[Dropped], origin: Origin
) -> tuple[dict[str, Split], Audit]:
    """Audit the splits and write them with audit, dropped rows and, last, the manifest, into an existing folder.

    A dirty audit is written like any other: it is training that refuses. Raises RunError when the disk refuses.
    """
    splits = {name: write_split(folder / f"{name}.jsonl", name, parts[name]) for name in SPLITS}
    found = audit(list(splits.values()))
    write_jsonl(folder / "dropped.jsonl", dropped)
    write_json(folder / AUDIT, found.model_dump(mode="json"))
    manifest = Manifest(
        origin=origin,
        splits={name: split.sha256 for name, split in splits.items()},
        rows={name: len(split.claims) for name, split in splits.items()},
        dropped=dict(sorted(Counter(row.reason for row in dropped).items())),
    )
    write_json(folder / MANIFEST, manifest.model_dump(mode="json"))
    return splits, found


def load_prepared(folder: Path) -> Stored:
    """Read a folder that `prepare` wrote. Raises DataError when it is not whole or a split was changed since."""
    if not (folder / MANIFEST).is_file():
        raise DataError(f"{folder}: has no {MANIFEST}; expected a folder that `medverdict prepare` wrote.")
    manifest = read_record(folder / MANIFEST, Manifest)
    splits = {name: read_split(folder / f"{name}.jsonl", name) for name in manifest.splits}
    for name, split in splits.items():
        if split.sha256 != manifest.splits[name]:
            raise DataError(
                f"{folder / name}.jsonl: changed since it was prepared (sha256 {split.sha256[:12]}…, expected "
                f"{manifest.splits[name][:12]}…). Change the input files and prepare them again."
            )
    found = read_record(folder / AUDIT, Audit) if (folder / AUDIT).is_file() else None
    return Stored(splits, found)


def print_summary(prepared: Prepared) -> None:
    """Show a person what was kept, what was dropped, and what the audit found."""
    result_console.print(_split_table(prepared.splits))
    result_console.print(_source_table(prepared.splits))
    reasons = Counter(row.reason for row in prepared.dropped)
    if reasons:
        result_console.print(table("Dropped", ("reason", "rows"), ((r, str(n)) for r, n in reasons.most_common())))
    lines = [f"dropped rows: {len(prepared.dropped)}, each in {prepared.folder / 'dropped.jsonl'}"]
    for name, rows in prepared.mojibake.items():
        done = "repaired" if prepared.repaired else "look wrongly decoded and were left as they are"
        lines.append(f"{name}: {len(rows)} rows {done}, such as")
        lines += [f"  line {row.line}: {row.before[:70]}\n    {row.after[:70]}" for row in rows[:_SHOWN]]
    lines += [f"warning: {warning}" for warning in prepared.audit.warnings]
    lines.append(audit_line(prepared.audit))
    for line in lines:
        result_console.print(line, markup=False, soft_wrap=True)


def _split_table(splits: Mapping[str, Split]) -> Table:
    rows = []
    for name, split in splits.items():
        labels = Counter(claim.label for claim in split.claims)
        groups = len({claim.group for claim in split.claims})
        rows.append((name, *(f"{n:,}" for n in (len(split.claims), labels["TRUE"], labels["FALSE"], groups))))
    return table("Splits", ("split", "rows", "TRUE", "FALSE", "groups"), rows)


def _source_table(splits: Mapping[str, Split]) -> Table:
    held = {name: Counter(claim.source for claim in split.claims) for name, split in splits.items()}
    sources = sorted(set().union(*held.values()))
    rows = ((source, *(f"{counts[source]:,}" for counts in held.values())) for source in sources)
    return table("Rows by source", ("source", *held), rows)


def _require_names(files: Sequence[Path]) -> None:
    for name, count in Counter(path.name for path in files).items():
        if count > 1:
            raise DataError(
                f"{count} files are called {name}; ids are made of file names. Rename one, or leave it out."
            )
