"""FILES + PUBLIC SAMPLE -> the splits of the published v2: half of the sample in training, and a leak that shows.

Kept so that what leaked can be measured beside what did not: the audit of such a folder is dirty, training refuses it
without an override, and then every report carries the leak.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from medverdict.data.audit import TEST
from medverdict.data.group import assign_groups
from medverdict.data.prepare import Origin, Prepared, Shares, write_prepared
from medverdict.data.read import MAX_CHARS, read_claims
from medverdict.data.sieve import Sieve
from medverdict.data.split import split_by_group
from medverdict.files import new_folder, sha256_file
from medverdict.records import Claim


def prepare_merged(files: Sequence[Path], sample: Path, out: Path, *, shares: Shares, seed: int) -> Prepared:
    """The new folder `out`: a random half of `sample` among the training rows, the other half the test.

    `files` are divided into training and dev by group; rows of them that are near the sample stay where they are.

    Raises DataError for unusable files or too few rows, RunError when `out` is not new or cannot be written.
    """
    with new_folder(out) as folder:
        readings = {path.name: read_claims(path) for path in (*files, sample)}
        sieve = Sieve(readings)
        mine = sieve.drop_repeats([claim for path in files for claim in readings[path.name].claims])
        grouped = assign_groups([*mine, *readings[sample.name].claims])
        parts = split_by_group(grouped[: len(mine)], {"train": 1 - shares.dev, "dev": shares.dev}, seed)
        merged, test = _halves(grouped[len(mine) :], seed)
        origin = Origin(
            inputs={path.name: sha256_file(path) for path in files},
            test_inputs={sample.name: sha256_file(sample)},
            seed=seed,
            shares={"train": 1 - shares.dev, "dev": shares.dev},
            repair_mojibake=False,
            max_chars=MAX_CHARS,
            steps=(f"half of {sample.name} merged into training",),
        )
        parts = {"train": (*parts["train"], *merged), "dev": parts["dev"], TEST: test}
        splits, found = write_prepared(folder, parts, sieve.dropped, origin)
    return Prepared(out, splits, found, tuple(sieve.dropped), {}, False)


def _halves(sample: Sequence[Claim], seed: int) -> tuple[tuple[Claim, ...], tuple[Claim, ...]]:
    """Row by row at random, groups or no groups: that is what leaks."""
    chosen = set(random.Random(seed).sample(range(len(sample)), len(sample) // 2))
    first = tuple(claim for row, claim in enumerate(sample) if row in chosen)
    return first, tuple(claim for row, claim in enumerate(sample) if row not in chosen)
