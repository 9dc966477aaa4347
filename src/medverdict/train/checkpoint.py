"""A training, stopped between two steps, as a folder of safetensors and JSON that is either whole or not there."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from medverdict.errors import RunError
from medverdict.files import disk_error, read_record, read_records, sha256_bytes, sha256_file, write_json, write_jsonl
from medverdict.records import HistoryRow, Record
from medverdict.train.engine import EngineState
from medverdict.train.identity import Identity, differences
from medverdict.train.loop import Position
from medverdict.train.watch import Kept

MANIFEST = "manifest.json"
_WEIGHTS, _KEPT, _ENGINE, _SMALL = (f"{n}.safetensors" for n in ("weights", "kept", "engine", "small"))
_STATE, _HISTORY = "state.json", "history.jsonl"
_RANDOM = "random."
_OS_ERROR = re.compile(r"os error (\d+)")


class DamagedError(RunError):
    """A checkpoint is not what was written: an older one has to do."""


@dataclass(frozen=True)
class Checkpoint:
    """All that the rest of a training hangs on."""

    identity: Identity
    position: Position
    weights: Mapping[str, Tensor]
    """The trained ones by name; on reading, on the CPU."""
    engine: EngineState
    random: Mapping[str, Tensor]
    """Of every generator that training draws from (`random_state`)."""
    kept: Kept | None
    """The best so far, once dev was scored."""
    zero_shot: np.ndarray
    """Dev margins before the first step: (rows,)."""
    history: tuple[HistoryRow, ...]
    """From step 0 on."""
    resumes: tuple[str, ...]
    """Earlier continuations, as the run records them."""


class _State(Record):
    """The small change of a checkpoint."""

    step: int
    micro_batch: int
    seconds: float
    engine: dict[str, int | float]
    kept_step: int | None
    kept_rank: tuple[float, float] | None
    resumes: tuple[str, ...]


class _Manifest(Record):
    """Written last inside the folder: whose checkpoint it is, and what its files must hash to."""

    identity: Identity
    files: dict[str, str]


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write into a folder beside, sync every file, seal it with hashes, and rename.

    A process may be killed anywhere in here: `folder` is then absent, or whole. Raises RunError when the disk is
    full or refuses; what was written so far is gone then.
    """
    staging = folder.with_name(f".{folder.name}")
    try:
        shutil.rmtree(staging, ignore_errors=True)  # of a process that was killed here
        staging.mkdir(parents=True)
        _write_parts(staging, checkpoint)
        files = {path.name: sha256_file(path) for path in sorted(staging.iterdir())}
        manifest = _Manifest(identity=checkpoint.identity, files=files).model_dump(mode="json")
        write_json(staging / MANIFEST, {"manifest": manifest, "sha256": _seal(manifest)})
        _sync(staging)
        staging.rename(folder)
        _sync(folder.parent)
    except OSError as error:
        raise disk_error(error, folder) from error
    except SafetensorError as error:
        raise disk_error(_as_os_error(error), folder) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def read_checkpoint(folder: Path, now: Identity) -> Checkpoint:
    """Read a checkpoint of the training that `now` identifies, after every byte of it was checked.

    Raises DamagedError naming what is not as written, and RunError naming what is told otherwise than then.
    """
    manifest = _checked_manifest(folder)
    refuse_differences(folder, manifest.identity, now)
    state = read_record(folder / _STATE, _State)
    small = load_file(folder / _SMALL)
    kept = None
    if state.kept_step is not None and state.kept_rank is not None:
        kept = Kept(state.kept_step, state.kept_rank, small["kept_margins"].numpy(), load_file(folder / _KEPT))
    return Checkpoint(
        identity=manifest.identity,
        position=Position(state.micro_batch, state.step, state.seconds),
        weights=load_file(folder / _WEIGHTS),
        engine=EngineState(load_file(folder / _ENGINE), state.engine),
        random={name.removeprefix(_RANDOM): t for name, t in small.items() if name.startswith(_RANDOM)},
        kept=kept,
        zero_shot=small["zero_shot"].numpy(),
        history=tuple(read_records(folder / _HISTORY, HistoryRow)),
        resumes=state.resumes,
    )


def refuse_differences(folder: Path, then: Identity, now: Identity) -> None:
    """A training is continued as it was begun, or not at all. Raises RunError with every difference."""
    found = differences(then, now)
    if found:
        raise RunError(
            f"{folder}: this training was begun otherwise and cannot be continued:\n"
            + "".join(f"  - {difference}\n" for difference in found)
            + "Restore what it was begun with, or delete the folder to begin anew."
        )


def _write_parts(staging: Path, checkpoint: Checkpoint) -> None:
    kept = checkpoint.kept
    small = {f"{_RANDOM}{name}": tensor for name, tensor in checkpoint.random.items()}
    small["zero_shot"] = torch.from_numpy(checkpoint.zero_shot)
    if kept:
        small["kept_margins"] = torch.from_numpy(kept.margins)
    _write_tensors(staging / _WEIGHTS, checkpoint.weights)
    _write_tensors(staging / _ENGINE, checkpoint.engine.tensors)
    _write_tensors(staging / _KEPT, kept.weights if kept else {})
    _write_tensors(staging / _SMALL, small)
    write_jsonl(staging / _HISTORY, checkpoint.history)
    state = _State(
        step=checkpoint.position.step,
        micro_batch=checkpoint.position.micro_batch,
        seconds=checkpoint.position.seconds,
        engine=checkpoint.engine.numbers,
        kept_step=kept.step if kept else None,
        kept_rank=kept.rank if kept else None,
        resumes=checkpoint.resumes,
    )
    write_json(staging / _STATE, state.model_dump(mode="json"))


def _write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Copies, because an engine's tensors may be views of one flat buffer, which safetensors refuses."""
    save_file({name: t.detach().to("cpu", copy=True).contiguous() for name, t in tensors.items()}, path)
    _sync(path)


def _checked_manifest(folder: Path) -> _Manifest:
    path = folder / MANIFEST
    try:
        stored = json.loads(path.read_bytes())
        sound = stored["sha256"] == _seal(stored["manifest"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DamagedError(f"{path}: not a readable manifest ({error})") from None
    if not sound:
        raise DamagedError(f"{path}: was changed after it was written")
    try:
        manifest = _Manifest.model_validate(stored["manifest"])
    except ValidationError:
        raise RunError(f"{path}: written by another version of medverdict, which alone can continue it.") from None
    for name, expected in manifest.files.items():
        file = folder / name
        found = sha256_file(file) if file.is_file() else "no such file"
        if found != expected:
            raise DamagedError(f"{file}: found {found[:16]}, expected sha256 {expected[:16]}…")
    return manifest


def _seal(manifest: object) -> str:
    return sha256_bytes(json.dumps(manifest, sort_keys=True).encode("utf-8"))


def _sync(path: Path) -> None:
    """Ask the disk to really hold a file or a folder's entries."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _as_os_error(error: SafetensorError) -> OSError:
    """Safetensors tells the disk's refusals as text only."""
    found = _OS_ERROR.search(str(error))
    number = int(found[1]) if found else 0
    return OSError(number, os.strerror(number) if number else str(error))
