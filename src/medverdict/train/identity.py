"""What must be the same for a training to be continued, and what may only be said when it is not."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from pathlib import Path

from pydantic import JsonValue

import medverdict
from medverdict.files import sha256_file
from medverdict.model.verifier import Verifier
from medverdict.records import Record
from medverdict.train.engine import Engine
from medverdict.train.manifest import Job, library_versions
from medverdict.train.world import World

_DECISIVE = ("records.py", "text.py", "model/*.py", "predict/score.py", "evaluate/calibrate.py", "train/*.py")


class Identity(Record):
    """All that decides the bytes of a training's outcome."""

    recipe: dict[str, JsonValue]
    """Every field, resolved."""
    base: str
    """sha256 of its weights."""
    train: str
    """sha256 of the training rows' file."""
    dev: str
    """sha256 of the dev rows' file."""
    code: str
    """Version of this package and sha256 of its source."""
    precision: str
    """Number format of the forward pass."""
    engine: str
    """Which arithmetic of a step."""
    start: str
    """sha256 of the adapter it began from; empty: from zero."""
    processes: int
    """That share the rows of a step."""
    device: str
    """Name of the processor or GPU."""
    versions: dict[str, str]
    """Of the libraries that compute."""


def identify(job: Job, verifier: Verifier, engine: Engine, world: World) -> Identity:
    """The identity of a training that is about to begin or to go on."""
    return Identity(
        recipe=job.recipe.model_dump(mode="json"),
        base=job.base.info.sha256,
        train=job.train.sha256,
        dev=job.dev.sha256,
        code=f"{medverdict.__version__} {source_sha256()}",
        precision=verifier.placement.precision,
        engine=type(engine).__name__,
        start=job.start.sha256 if job.start else "",
        processes=world.size,
        device=verifier.placement.device_name,
        versions=library_versions(),
    )


def differences(then: Identity, now: Identity) -> list[str]:
    """Why a training cannot be continued: what was told to it, or tells it, is not the same."""
    fields = sorted(then.recipe.keys() | now.recipe.keys())
    found = [
        f"recipe: {field} was {then.recipe.get(field)!r} and is {now.recipe.get(field)!r}"
        for field in fields
        if then.recipe.get(field) != now.recipe.get(field)
    ]
    named = {
        "base": "base",
        "start": "adapter to begin from",
        "train": "training rows",
        "dev": "dev rows",
        "code": "medverdict's own code",
    }
    found += [
        f"{words}: sha256 was {_short(getattr(then, field))} and is {_short(getattr(now, field))}"
        for field, words in named.items()
        if getattr(then, field) != getattr(now, field)
    ]
    return found + [
        f"{field}: was {getattr(then, field)} and is {getattr(now, field)}"
        for field in ("precision", "engine", "processes")
        if getattr(then, field) != getattr(now, field)
    ]


def drift(then: Identity, now: Identity) -> list[str]:
    """What a training survives, but no longer with the bytes of one that was never cut: device and libraries."""
    found = [f"device {then.device} -> {now.device}"] if then.device != now.device else []
    names = sorted(then.versions.keys() | now.versions.keys())
    pairs = [(name, then.versions.get(name), now.versions.get(name)) for name in names]
    return found + [f"{name} {old} -> {new}" for name, old, new in pairs if old != new]


@cache
def source_sha256() -> str:
    """Of the Python files that decide what a training computes, names included."""
    package = Path(medverdict.__file__).parent
    digest = sha256()
    for path in sorted(path for pattern in _DECISIVE for path in package.glob(pattern)):
        digest.update(f"{path.relative_to(package).as_posix()} {sha256_file(path)}\n".encode())
    return digest.hexdigest()


def _short(value: str) -> str:
    """A hash as a person compares it; the version before it, where there is one, stays."""
    *before, digest = value.split(" ")
    return " ".join([*before, digest[:12]])
