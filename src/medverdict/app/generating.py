"""The whole jobs of `generate`: knowledge files in, a folder of claims with its quality report out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from medverdict.app.quality import measure_quality, quality_page
from medverdict.data.prepare import MANIFEST
from medverdict.errors import DataError
from medverdict.files import new_folder, read_records, sha256_file, write_json, write_jsonl, write_text
from medverdict.generate.icd10 import claims_of_icd10
from medverdict.generate.kb import claims_of
from medverdict.generate.knowledge import join_knowledge
from medverdict.generate.qa import claims_of_qa
from medverdict.generate.records import Quality
from medverdict.generate.style import styled
from medverdict.generate.vimedical import read_vimedical
from medverdict.generate.vimedner import read_vimedner
from medverdict.records import Claim, Dropped, Record

KNOWLEDGE = "knowledge.jsonl"
DROPPED = "dropped.jsonl"
REPORT = "report"


class Origin(Record):
    """What a folder of generated claims was made of; written last, so that a folder without it is not whole."""

    command: str
    """`kb`, `style`, `icd10` or `qa`."""
    inputs: dict[str, str]
    """Name of each input file to its sha256."""
    seed: int
    """Decided every choice."""
    claims: dict[str, str]
    """The file of claims, and its sha256."""
    rows: int
    """Claims."""
    dropped: dict[str, int]
    """Rows and phrases of the inputs that gave no claim, per reason; each is in dropped.jsonl."""


class Generation(NamedTuple):
    """What a job made."""

    file: Path
    """The claims."""
    quality: Quality
    """Of these claims."""
    origin: Origin
    """As stored."""


class _Inputs(NamedTuple):
    command: str
    files: Sequence[Path]
    seed: int


def generate_kb(vimedical: Path | None, vimedner: Path | None, out: Path, rows: int, seed: int) -> Generation:
    """Knowledge base (knowledge.jsonl) and exactly `rows` balanced claims (kb.jsonl) in the new folder `out`.

    Raises DataError for files that cannot be used or give too few rows, RunError when `out` is not new.
    """
    files = [path for path in (vimedical, vimedner) if path]
    if not files:
        raise DataError("no knowledge file was given; expected --vimedical FILE, --vimedner FILE, or both.")
    with new_folder(out) as folder:
        parts = [read_vimedical(vimedical)] if vimedical else []
        parts += [read_vimedner(vimedner)] if vimedner else []
        knowledge = join_knowledge(parts)
        write_jsonl(folder / KNOWLEDGE, knowledge.facts)
        claims = claims_of(knowledge.facts, rows, seed)
        done = _store(folder, _Inputs("kb", files, seed), claims, knowledge.dropped)
    return done._replace(file=out / done.file.name)


def generate_style(file: Path, out: Path, variants: int, seed: int) -> Generation:
    """Up to `variants` further tellings of every claim that `generate kb` wrote, in the new folder `out` (style.jsonl).

    Raises DataError for claims that were not generated from facts, RunError when `out` is not new.
    """
    with new_folder(out) as folder:
        claims = styled(read_records(file, Claim), variants, seed)
        done = _store(folder, _Inputs("style", [file], seed), claims, ())
    return done._replace(file=out / done.file.name)


def generate_icd10(file: Path, out: Path, rows: int | None, seed: int) -> Generation:
    """Claims on codes, names, membership and ranges, all or at most `rows`, in the new folder `out` (icd10.jsonl).

    Raises DataError for a file that cannot be used, RunError when `out` is not new.
    """
    with new_folder(out) as folder:
        made = claims_of_icd10(file, rows, seed)
        done = _store(folder, _Inputs("icd10", [file], seed), made.claims, made.dropped)
    return done._replace(file=out / done.file.name)


def generate_qa(files: Sequence[Path], out: Path, rows: int | None, seed: int) -> Generation:
    """Claims out of question-answer pairs, all or at most `rows`, in the new folder `out` (qa.jsonl).

    Raises DataError for a file that cannot be used, RunError when `out` is not new.
    """
    with new_folder(out) as folder:
        made = claims_of_qa(files, rows, seed)
        done = _store(folder, _Inputs("qa", files, seed), made.claims, made.dropped)
    return done._replace(file=out / done.file.name)


def summary_rows(done: Generation) -> list[tuple[str, str]]:
    """What a person should know of a generated set, as a table's rows."""
    quality = done.quality
    rows = [("rows", f"{quality.rows:,}"), ("TRUE", f"{quality.true:,}"), ("families", f"{quality.families:,}")]
    rows += [
        ("words a claim", f"{quality.words}"),
        ("left out of the inputs", f"{sum(done.origin.dropped.values()):,}"),
    ]
    found: Mapping[str, float | None] = {"keyword rule": quality.keyword_rule.value, "TF-IDF": quality.tfidf.value}
    return rows + [
        (f"{name}, right", "–" if value is None else f"{100 * value:.1f} %") for name, value in found.items()
    ]


def _store(folder: Path, inputs: _Inputs, claims: Sequence[Claim], dropped: Sequence[Dropped]) -> Generation:
    """Write claims, what was left out, the quality report and, last, the origin."""
    if not claims:
        why = ", ".join(f"{count} {reason}" for reason, count in Counter(row.reason for row in dropped).most_common())
        names = ", ".join(str(path) for path in inputs.files)
        raise DataError(f"{names}: no row gave a claim ({why or 'no rows'}). docs/data.md says what is expected.")
    file = folder / f"{inputs.command}.jsonl"
    sha256 = write_jsonl(file, claims)
    write_jsonl(folder / DROPPED, dropped)
    quality = measure_quality(claims)
    write_json(folder / f"{REPORT}.json", quality.model_dump(mode="json"))
    write_text(folder / f"{REPORT}.md", quality_page(f"{len(claims):,} claims of generate {inputs.command}", quality))
    origin = Origin(
        command=inputs.command,
        inputs={path.name: sha256_file(path) for path in inputs.files},
        seed=inputs.seed,
        claims={file.name: sha256},
        rows=len(claims),
        dropped=dict(Counter(row.reason for row in dropped).most_common()),
    )
    write_json(folder / MANIFEST, origin.model_dump(mode="json"))
    return Generation(file, quality, origin)
