"""URL -> file whose hash is known: resumable, and whole or absent."""

from __future__ import annotations

import os
import re
import shutil
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import certifi
import httpx
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from medverdict.console import Bars
from medverdict.errors import RunError
from medverdict.files import disk_error, sha256_file

_ATTEMPTS = 4
_SPARE = 64 << 20  # bytes left free on the disk, for the small files and the file system


class UnreachableError(RunError):
    """The server could not be asked or did not have the file; another source may."""


@contextmanager
def http_client() -> Iterator[httpx.Client]:
    """A client that follows redirects, trusts the system's and the user's certificates and gives up after 10 s.

    Proxies come from the usual variables; an own certificate file from SSL_CERT_FILE, REQUESTS_CA_BUNDLE or
    PIP_CERT.
    """
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    for variable in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT"):
        path = os.environ.get(variable)
        if path and Path(path).is_file():
            context.load_verify_locations(path)
    timeout = httpx.Timeout(60, connect=10)
    with httpx.Client(follow_redirects=True, verify=context, timeout=timeout) as client:
        yield client


def public_url(url: str) -> str:
    """The address without the user name and password that it may carry, for messages."""
    return re.sub(r"//[^/@]*@", "//", url)


def require_space(folder: Path, needed: int, what: str) -> None:
    """Raise RunError when the disk under `folder` has fewer than `needed` bytes free."""
    existing = next(p for p in (folder, *folder.parents) if p.exists())
    free = shutil.disk_usage(existing).free
    if free < needed + _SPARE:
        raise RunError(
            f"{folder}: {what} needs {(needed + _SPARE) / 1e9:.1f} GB and the disk has {free / 1e9:.1f} GB free. Free "
            "some, or name another folder in the variable MEDVERDICT_CACHE."
        )


def download(
    client: httpx.Client,
    url: str,
    target: Path,
    *,
    sha256: str | None,
    size: int | None = None,
    headers: Mapping[str, str] | None = None,
    what: str = "",
) -> Path:
    """Fetch `url` into `target` under a progress bar named `what`, and check its hash.

    A `.part` file that an earlier try left is continued; a file that is already there with the right hash is
    kept. Returns `target`. Raises UnreachableError when the server does not answer or refuses, RunError on a wrong
    hash (nothing stays in place) or a full disk.
    """
    if sha256 and target.is_file() and sha256_file(target) == sha256:
        return target
    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if size is not None:
            require_space(target.parent, size - (part.stat().st_size if part.exists() else 0), target.name)
        _fill(client, url, part, headers or {}, what or target.name)
        if sha256:
            check_sha256(part, sha256, public_url(url))
        part.replace(target)
    except OSError as error:
        raise disk_error(error, target) from error
    return target


def check_sha256(path: Path, expected: str, source: str) -> None:
    """Raise RunError and delete the file when its sha256 is not the expected one."""
    found = sha256_file(path)
    if found != expected:
        path.unlink()
        raise RunError(
            f"{source}: wrong sha256: expected {expected}, found {found}. The file was deleted; run again, and if the "
            "hash is wrong again do not trust this source."
        )


def _fill(client: httpx.Client, url: str, part: Path, headers: Mapping[str, str], what: str) -> None:
    """Bring `part` to its full length; a broken connection is continued where it broke."""
    failure: Exception | None = None
    for _ in range(_ATTEMPTS):
        try:
            if _continue(client, url, part, headers, what):
                return
        except httpx.HTTPStatusError as error:
            status = error.response.status_code
            raise UnreachableError(
                f"{public_url(url)}: the server answered {status} {error.response.reason_phrase}."
            ) from error
        except httpx.ConnectError as error:
            raise UnreachableError(
                f"{public_url(url)}: no connection ({error}). Check the network and run again."
            ) from error
        except httpx.TransportError as error:
            failure = error
    raise UnreachableError(
        f"{public_url(url)}: broken off {_ATTEMPTS} times ({failure}). What has arrived is kept; run again to continue."
    ) from failure


def _continue(client: httpx.Client, url: str, part: Path, headers: Mapping[str, str], what: str) -> bool:
    """One request from the end of `part`; True when the file is complete."""
    start = part.stat().st_size if part.exists() else 0
    asked = {**headers, "Accept-Encoding": "identity"}  # ranges and lengths count bytes as stored
    if start:
        asked["Range"] = f"bytes={start}-"
    with client.stream("GET", url, headers=asked) as response:
        if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE and start:
            if response.headers.get("Content-Range", "").endswith(f"/{start}"):
                return True
            part.unlink()
            return False
        response.raise_for_status()
        if response.status_code != httpx.codes.PARTIAL_CONTENT:
            start = 0  # the server sends everything again
        length = response.headers.get("Content-Length")
        total = start + int(length) if length else None
        with part.open("ab" if start else "wb") as file, _bar(what, start, total) as bar:
            for piece in response.iter_raw():
                file.write(piece)
                bar.advance(bar.task_ids[0], len(piece))
    return True


@contextmanager
def _bar(name: str, start: int, total: int | None) -> Iterator[Bars]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        DownloadColumn(),
        TransferSpeedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Bars(*columns) as bar:
        bar.add_task(name, total=total, completed=start)
        yield bar
