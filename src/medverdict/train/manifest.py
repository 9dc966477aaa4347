"""What a run folder holds, and the manifest that is written last."""

from __future__ import annotations

import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors.torch import save

import medverdict
from medverdict.evaluate.calibrate import fit_calibration
from medverdict.files import atomic_write, sha256_bytes, sha256_file, write_json, write_jsonl
from medverdict.model.bases import BaseFolder
from medverdict.model.budget import check_budget
from medverdict.model.lora import save_adapter
from medverdict.model.prompt import prompt_sha256
from medverdict.model.verifier import Verifier
from medverdict.predict.load import DEV_PREDICTIONS, HISTORY, MANIFEST, WEIGHTS
from medverdict.predict.score import predictions
from medverdict.recipes.recipe import recipe_sha256
from medverdict.records import Calibration, Claim, GoldenRow, HistoryRow, Recipe, Run, Split
from medverdict.train.engine import EngineChoice
from medverdict.train.starting import Start

GOLDEN_ROWS = 20


@dataclass(frozen=True)
class Job:
    """All that decides the outcome of a training."""

    recipe: Recipe
    base: BaseFolder
    train: Split
    dev: Split
    data: str
    """Folder of the splits, as the user named it."""
    overrides: tuple[str, ...]
    """Gates that were opened by hand before training."""
    over_budget: bool = False
    """Whether more than the budget of parameters is allowed."""
    engine: EngineChoice = "auto"
    """Which arithmetic of a step is asked for."""
    start: Start | None = None
    """The run whose adapter training begins from; None: from zero."""


@dataclass(frozen=True)
class Outcome:
    """What a training leaves in memory besides the weights."""

    history: tuple[HistoryRow, ...]
    zero_shot_margins: np.ndarray
    """Of dev, before the first step: (rows,)."""
    dev_margins: np.ndarray
    """Of dev, with the weights that were kept: (rows,)."""
    best_step: int
    """Step of those weights."""
    resumes: tuple[str, ...] = ()
    """Where training was continued after a cut."""
    averaged: tuple[str, ...] = ()
    """Runs whose adapters were averaged into this one."""
    started_from: tuple[str, ...] = ()
    """Where those began: id, sha256, id, sha256, … in their order."""
    engine: str = ""
    """Which arithmetic of a step was used; empty where nothing was trained."""
    peak_bytes: int | None = None
    """Memory that torch held at most, the base included; None on a CPU."""


def write_run(folder: Path, job: Job, verifier: Verifier, outcome: Outcome, processes: int = 1) -> Run:
    """Write weights, history, dev predictions and, last, the manifest."""
    calibration = calibrate(outcome.dev_margins, job.dev)
    zero_shot = calibrate(outcome.zero_shot_margins, job.dev)
    run_id = name_run(job, outcome.averaged)
    save_weights(verifier, folder)
    write_jsonl(folder / HISTORY, outcome.history)
    dev = job.dev.claims
    write_jsonl(folder / DEV_PREDICTIONS, predictions(dev, outcome.dev_margins, calibration, run_id))
    write_jsonl(folder / "dev-zero-shot.jsonl", predictions(dev, outcome.zero_shot_margins, zero_shot, "zero-shot"))
    last = outcome.history[-1]
    run = Run(
        id=run_id,
        recipe=job.recipe,
        recipe_sha256=recipe_sha256(job.recipe),
        base=job.base.info,
        code=code_version(),
        splits={split.name: split.sha256 for split in (job.train, job.dev)},
        rows={"train": len(verifier.encoder.taught(job.train.claims)), "dev": len(job.dev.claims)},
        data=job.data,
        where=job.train.where,
        started_from=(job.start.run, job.start.sha256) if job.start else outcome.started_from,
        device=verifier.placement.device_name,
        precision=verifier.placement.precision,
        processes=processes,
        versions=library_versions(),
        parameters=verifier.parameter_count(),
        trained_parameters=sum(p.numel() for _, p in verifier.trained_parameters()),
        steps=last.step,
        best_step=outcome.best_step,
        seconds=last.seconds,
        peak_bytes=outcome.peak_bytes,
        calibration=calibration,
        zero_shot=zero_shot,
        prompt_sha256=prompt_sha256(job.recipe),
        golden=golden_rows(dev, outcome.dev_margins),
        resumes=outcome.resumes,
        averaged=outcome.averaged,
        engine=outcome.engine,
        overrides=job.overrides + hold_to_budget(job, verifier),
        files={p.relative_to(folder).as_posix(): sha256_file(p) for p in sorted(folder.rglob("*")) if p.is_file()},
    )
    write_json(folder / MANIFEST, run.model_dump(mode="json"))
    return run


def hold_to_budget(job: Job, verifier: Verifier) -> tuple[str, ...]:
    """What the budget says of base and adapter together: nothing, or what was overridden. Raises GateError."""
    adapter = verifier.parameter_count() - job.base.info.parameters
    overridden = check_budget(job.base.info.parameters, adapter, job.over_budget)
    return (overridden,) if overridden else ()


def calibrate(margins: np.ndarray, dev: Split) -> Calibration:
    """Temperature and threshold from dev margins."""
    return fit_calibration(margins, [claim.label for claim in dev.claims], dev.sha256)


def name_run(job: Job, averaged: tuple[str, ...] = ()) -> str:
    """Recipe, seed and a digest of recipe, base, data, code and averaged runs: what decides the outcome."""
    decisive = (
        recipe_sha256(job.recipe),
        job.base.info.sha256,
        job.train.sha256,
        job.dev.sha256,
        medverdict.__version__,
        *((job.start.sha256,) if job.start else ()),
        *averaged,
    )
    return f"{job.recipe.name}-s{job.recipe.seed}-{sha256_bytes(' '.join(decisive).encode())[:8]}"


def save_weights(verifier: Verifier, folder: Path) -> None:
    """The adapter in PEFT's format, or every weight after full fine-tuning; nothing for zero-shot."""
    if verifier.recipe.method == "lora":
        save_adapter(verifier.model, verifier.recipe, folder)
    elif verifier.recipe.method == "full":
        tensors = {name: p.detach().cpu().contiguous() for name, p in verifier.model.named_parameters()}
        with atomic_write(folder / WEIGHTS) as file:
            file.write(save(tensors, metadata={"format": "pt"}))


def golden_rows(dev: tuple[Claim, ...], margins: np.ndarray) -> tuple[GoldenRow, ...]:
    """Rows spread evenly over dev, with the margins just measured."""
    chosen = np.unique(np.linspace(0, len(dev) - 1, GOLDEN_ROWS).round().astype(int))
    return tuple(GoldenRow(text=dev[i].text, margin=float(margins[i])) for i in chosen)


def code_version() -> dict[str, str]:
    """Package version, and of a checkout its commit and whether it had changes."""
    commit = _git("rev-parse", "HEAD")
    changes = _git("status", "--porcelain")
    return {
        "version": medverdict.__version__,
        "commit": commit or "unknown",
        "dirty": "unknown" if changes is None else ("yes" if changes else "no"),
    }


def library_versions() -> dict[str, str]:
    """Of what computes."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "numpy": np.__version__,
    }


def _git(*words: str) -> str | None:
    """Output of a git command on this package's own checkout, or None where it stands in none."""
    package = Path(medverdict.__file__).resolve().parent
    if not (package.parent.parent / ".git").exists():
        return None
    try:
        done = subprocess.run(["git", *words], cwd=package, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
