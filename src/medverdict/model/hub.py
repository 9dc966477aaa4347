"""Model hub -> files at a pinned revision."""

from __future__ import annotations

import os
import re
from pathlib import Path

import httpx
from huggingface_hub import constants, get_token, hf_hub_url

from medverdict.errors import RunError
from medverdict.model.download import UnreachableError, download, http_client, require_space

_NEEDED = ("config.json", "tokenizer.json")
_OPTIONAL = ("tokenizer_config.json", "generation_config.json")
WEIGHTS = "model.safetensors"
_SHA256 = re.compile(r"[0-9a-f]{64}")


def fetch_hub_file(hub: str, revision: str, file: str, target: Path, *, sha256: str = "", size: int = 0) -> Path:
    """Fetch one file of a hub repository.

    Without a known `sha256` the hub's own is checked where it gives one (it does for large files). Raises
    UnreachableError when the hub does not answer or does not have the file, RunError on a wrong hash or a full disk.
    """
    if _offline():
        raise UnreachableError(f"{hub}: HF_HUB_OFFLINE is set, so the hub is not asked. Unset it to download.")
    url = hf_hub_url(hub, file, revision=revision, endpoint=_endpoint())
    token = get_token()
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with http_client() as client:
        announced, given = _announced(client, url, headers)
        return download(client, url, target, sha256=sha256 or given, size=size or announced, headers=headers, what=file)


def fetch_hub_config(hub: str, revision: str, folder: Path) -> None:
    """Fetch config.json and the tokenizer's files, which are small, into `folder`. Raises as above."""
    for file in _NEEDED:
        fetch_hub_file(hub, revision, file, folder / file)
    for file in _OPTIONAL:
        try:
            fetch_hub_file(hub, revision, file, folder / file)
        except UnreachableError:
            continue


def fetch_hub_weights(hub: str, revision: str, target: Path, parameters: int) -> Path:
    """Fetch model.safetensors. Raises RunError as above, and where the repository has none of that name."""
    require_space(target.parent, 2 * parameters, WEIGHTS)
    try:
        return fetch_hub_file(hub, revision, WEIGHTS, target)
    except UnreachableError as error:
        raise RunError(
            f"{hub}@{revision}: {error} If the repository has pickle files or several shards in place of one "
            f"{WEIGHTS}: these are not read; save the model into a folder with save_pretrained and name that."
        ) from error


def _announced(client: httpx.Client, url: str, headers: dict[str, str]) -> tuple[int | None, str | None]:
    """Size and sha256 that the hub announces for a large file; its redirect to the storage is not followed."""
    try:
        response = client.head(url, headers=headers | {"Accept-Encoding": "identity"}, follow_redirects=False)
    except httpx.HTTPError as error:
        raise UnreachableError(f"{url}: no connection ({error}). Check the network and run again.") from error
    if response.is_error:
        raise UnreachableError(f"{url}: the hub answered {response.status_code} {response.reason_phrase}.")
    tag = response.headers.get("X-Linked-ETag", "").strip('W/"')
    size = response.headers.get("X-Linked-Size", "")
    return (int(size) if size.isdigit() else None), (tag if _SHA256.fullmatch(tag) else None)


def _endpoint() -> str:
    return os.environ.get("HF_ENDPOINT") or constants.ENDPOINT


def _offline() -> bool:
    return constants.HF_HUB_OFFLINE
