"""The whole job of `average`: several adapters of one recipe become one run whose update is their mean.

The mean of updates (alpha / r) B_i A_i is itself one adapter: the A_i stacked, the B_i side by side, over k times
the rank. That is exact; a smaller rank keeps the largest singular values of each layer's update, which is the nearest
adapter of that rank (Eckart and Young 1936). Averaging weights of models trained alike: Wortsman et al. 2022,
arXiv:2203.05482.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from medverdict.console import say
from medverdict.data.audit import TEST
from medverdict.data.prepare import load_prepared
from medverdict.data.where import select
from medverdict.errors import RunError
from medverdict.files import new_folder, read_records, require_new
from medverdict.model.bases import fetch
from medverdict.model.lora import WEIGHTS, fill_adapter
from medverdict.model.precision import Precision, choose_placement
from medverdict.model.verifier import Verifier
from medverdict.predict.load import HISTORY, check_files, read_run
from medverdict.predict.score import score_margins
from medverdict.records import HistoryRow, Prediction, Recipe, Run
from medverdict.train.manifest import Job, Outcome, write_run


def average(
    folders: Sequence[Path], data: Path, out: Path, rank: int | None = None, precision: Precision | None = None
) -> Run:
    """Write the run whose adapter is the mean of those in `folders`, calibrated anew on the dev split of `data`.

    Exact without `rank`, else the nearest adapter of that rank. Raises RunError unless there are two or more LoRA
    runs that differ in nothing but their seed, and for a rank above the sum of theirs.
    """
    require_new(out)
    runs = [read_run(folder) for folder in folders]
    for folder, run in zip(folders, runs, strict=True):
        check_files(folder, run)
    recipe = _joint_recipe(runs, rank)
    splits = {name: select(split, runs[0].where) for name, split in load_prepared(data).splits.items() if name != TEST}
    for name in ("train", "dev"):
        if splits[name].sha256 != runs[0].splits[name]:
            raise RunError(
                f"{data}: its {name} split is not the one of {runs[0].id}. Name the folder it was trained on."
            )
    job = Job(recipe, fetch(recipe.base), splits["train"], splits["dev"], str(data), runs[0].overrides)
    with new_folder(out) as folder:
        verifier = Verifier.load(job.base, recipe, choose_placement(precision))
        joined = stacked([load_file(f / WEIGHTS) for f in folders])
        fill_adapter(verifier.model, rounded(reduced(joined, rank) if rank else joined), out)
        say(f"scoring {len(job.dev.claims)} dev rows with the mean of {len(runs)} adapters")
        margins = score_margins(verifier, [claim.text for claim in job.dev.claims])
        history = tuple(read_records(folders[0] / HISTORY, HistoryRow))
        untrained = _margins(read_records(folders[0] / "dev-zero-shot.jsonl", Prediction))
        started = tuple(part for run in runs for part in run.started_from)
        averaged = tuple(run.id for run in runs)
        outcome = Outcome(history, untrained, margins, runs[0].best_step, averaged=averaged, started_from=started)
        return write_run(folder, job, verifier, outcome)


def stacked(adapters: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """One adapter in PEFT's names: A (k r, in) and B (out, k r); scaled by alpha / (k r), each B A counts a k-th."""
    joined = {}
    for name in adapters[0]:
        dimension = 0 if ".lora_A." in name else 1
        joined[name] = torch.cat([adapter[name] for adapter in adapters], dim=dimension)
    return joined


def reduced(adapter: dict[str, Tensor], rank: int) -> dict[str, Tensor]:
    """The nearest adapter of a smaller rank: scaled by alpha / rank, it gives what was scaled by alpha / (k r).

    Singular values of B A come from the small matrix R_B R_A^T of two QR decompositions, shared evenly by both sides.
    """
    smaller = {}
    for a_name in (name for name in adapter if ".lora_A." in name):
        b_name = a_name.replace(".lora_A.", ".lora_B.")
        a, b = adapter[a_name].double(), adapter[b_name].double()
        (q_b, r_b), (q_a, r_a) = torch.linalg.qr(b), torch.linalg.qr(a.T)
        left, values, right = torch.linalg.svd(r_b @ r_a.T)
        root = (values[:rank] * rank / a.shape[0]).sqrt()
        smaller[b_name] = ((q_b @ left[:, :rank]) * root).float()
        smaller[a_name] = (root[:, None] * (right[:rank] @ q_a.T)).float()
    return smaller


def rounded(adapter: dict[str, Tensor]) -> dict[str, Tensor]:
    """In fp16, so that it is small to ship; it is measured after the rounding."""
    return {name: tensor.half() for name, tensor in adapter.items()}


def _joint_recipe(runs: Sequence[Run], rank: int | None) -> Recipe:
    """The members' recipe with the sum of their ranks, or the rank asked for; alpha stays, which makes it a mean."""
    first = runs[0]
    if len(runs) < 2 or first.recipe.method != "lora":
        raise RunError(f"{len(runs)} run(s) of method {first.recipe.method}; expected two or more LoRA runs.")
    for run in runs[1:]:
        same_recipe = run.recipe.model_copy(update={"seed": first.recipe.seed}) == first.recipe
        same_start = _starts_recipe(run) == _starts_recipe(first)
        if not (same_recipe and same_start) or run.base.sha256 != first.base.sha256 or run.splits != first.splits:
            raise RunError(f"{run.id} and {first.id} differ in more than their seed: recipe, start, base or data.")
    whole = first.recipe.lora_rank * len(runs)
    if rank and rank > whole:
        raise RunError(f"--rank {rank}: the exact mean of these runs has rank {whole} already. Leave --rank out.")
    return first.recipe.model_copy(update={"lora_rank": rank or whole})


def _starts_recipe(run: Run) -> str:
    """Name of the recipe whose run it began from, as its id has it (`v6-text-s0-77fe603b`); empty: from zero."""
    return run.started_from[0].rpartition("-s")[0] if run.started_from else ""


def _margins(rows: Sequence[Prediction]) -> np.ndarray:
    return np.array([row.margin for row in rows])
