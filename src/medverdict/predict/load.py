"""Read a run folder back: what is used later is what was measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file

from medverdict.errors import GateError, RunError
from medverdict.files import read_record, sha256_file
from medverdict.model.bases import fetch
from medverdict.model.lora import load_adapter
from medverdict.model.precision import Placement, Precision
from medverdict.model.prompt import prompt_sha256
from medverdict.model.verifier import Verifier
from medverdict.predict.score import score_margins
from medverdict.records import Run

MANIFEST = "run.json"
WEIGHTS = "model.safetensors"
HISTORY = "history.jsonl"
DEV_PREDICTIONS = "dev.jsonl"

# Margins may move this far, in logits, between devices, thread counts and library versions. Measured on the
# untrained 0.5B base, 623 claims: fp32 CPU against GPU 0.006 at most, fp16 against fp32 0.03, bf16 against fp32 0.11
# (docs/log.md); trained margins are several times wider, and so is their rounding.
GOLDEN_TOLERANCE: dict[Precision, float] = {"fp32": 0.05, "fp16": 0.25, "bf16": 0.75}


@dataclass(frozen=True)
class LoadedRun:
    """A run that has shown that it still answers as it did."""

    run: Run
    verifier: Verifier


def read_run(folder: Path) -> Run:
    """The manifest of a finished run. Raises RunError when there is none."""
    if not (folder / MANIFEST).is_file():
        raise RunError(
            f"{folder}: not a finished run, it holds no {MANIFEST}. Name the folder that `medverdict train` "
            "wrote with --out."
        )
    return read_record(folder / MANIFEST, Run)


def load_run(folder: Path, placement: Placement) -> LoadedRun:
    """Load base and adapter, check every hash and replay the golden rows.

    Raises RunError when a file, the base or the prompt is not the one that was measured, GateError when a
    golden row is answered differently.
    """
    run = read_run(folder)
    check_files(folder, run)
    base = fetch(run.base.name, over_budget=True)  # training was the gate; the run repeats an override
    if base.info.sha256 != run.base.sha256:
        raise RunError(
            f"{folder}: was trained on base {run.base.name} with sha256 {run.base.sha256[:16]}…, here it has "
            f"{base.info.sha256[:16]}…. Use the same base, or train again."
        )
    if prompt_sha256(run.recipe) != run.prompt_sha256:
        raise RunError(f"{folder}: the prompt is not the one that was measured. Restore {MANIFEST} or train again.")
    verifier = Verifier.load(base, run.recipe, placement)
    restore_weights(verifier, folder)
    replay_golden(verifier, run)
    return LoadedRun(run, verifier)


def check_files(folder: Path, run: Run) -> None:
    """Every file of the run must be there, byte for byte. Raises RunError naming the first that is not."""
    for name, expected in run.files.items():
        path = folder / name
        found = sha256_file(path) if path.is_file() else "no such file"
        if found != expected:
            raise RunError(f"{path}: found {found[:16]}, expected sha256 {expected[:16]}…. Copy the run again.")


def restore_weights(verifier: Verifier, folder: Path) -> None:
    """Put the trained weights of a run into a freshly loaded verifier."""
    if verifier.recipe.method == "lora":
        load_adapter(verifier.model, folder)
    elif verifier.recipe.method == "full":
        stored = load_file(folder / WEIGHTS)
        with torch.no_grad():
            for name, parameter in verifier.model.named_parameters():
                parameter.copy_(stored[name])


def replay_golden(verifier: Verifier, run: Run) -> None:
    """Score the golden rows again. Raises GateError when one moved further than rounding can."""
    precision = verifier.placement.precision
    tolerance = max(GOLDEN_TOLERANCE[precision], GOLDEN_TOLERANCE[run.precision])
    margins = score_margins(verifier, [row.text for row in run.golden])
    for row, margin in zip(run.golden, margins, strict=True):
        if not abs(margin - row.margin) <= tolerance:
            raise GateError(
                f"run {run.id} does not answer as it was measured: margin {margin:.3f} instead of {row.margin:.3f} "
                f"(tolerance {tolerance}) for {row.text!r}. Weights, tokenizer or libraries differ; see {MANIFEST}."
            )
