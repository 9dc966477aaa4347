"""Downloads: whole with the right hash, or absent; interrupted ones continue."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from toy_server import ToyServer, toy_server

from medverdict.errors import RunError
from medverdict.model.download import UnreachableError, download, http_client, public_url, require_space

CONTENT = os.urandom(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server():
    with toy_server() as toy:
        toy.files["/model.bin"] = CONTENT
        yield toy


def fetch(server: ToyServer, target: Path, **options) -> Path:
    with http_client() as client:
        return download(client, server.address + "/model.bin", target, **({"sha256": SHA256} | options))


def test_a_file_arrives_whole_and_leaves_no_part_behind(server, tmp_path):
    assert fetch(server, tmp_path / "new" / "model.bin").read_bytes() == CONTENT
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["model.bin"]


def test_a_file_with_the_right_hash_is_not_asked_for_again(server, tmp_path):
    fetch(server, tmp_path / "model.bin")
    server.requests.clear()
    fetch(server, tmp_path / "model.bin")
    assert server.requests == []


def test_a_part_that_an_interruption_left_is_continued(server, tmp_path):
    (tmp_path / "model.bin.part").write_bytes(CONTENT[:123_456])
    assert fetch(server, tmp_path / "model.bin").read_bytes() == CONTENT
    assert server.downloads("/model.bin") == ["bytes=123456-"]


def test_a_connection_that_breaks_is_taken_up_where_it_broke(server, tmp_path):
    server.cut["/model.bin"] = 100_000
    assert fetch(server, tmp_path / "model.bin").read_bytes() == CONTENT
    assert server.downloads("/model.bin")[0] == ""
    assert server.downloads("/model.bin")[1].startswith("bytes=")


def test_a_part_that_was_already_complete_is_taken(server, tmp_path):
    (tmp_path / "model.bin.part").write_bytes(CONTENT)
    assert fetch(server, tmp_path / "model.bin").read_bytes() == CONTENT


def test_a_part_longer_than_the_file_is_thrown_away(server, tmp_path):
    (tmp_path / "model.bin.part").write_bytes(CONTENT + b"too much")
    assert fetch(server, tmp_path / "model.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("left", [b"", b"x" * 1000], ids=["fresh", "resumed from a wrong part"])
def test_a_wrong_hash_names_both_and_leaves_no_file(server, tmp_path, left):
    server.files["/model.bin"] = b"something else" * 1000
    if left:
        (tmp_path / "model.bin.part").write_bytes(left)
    with pytest.raises(RunError, match="wrong sha256: expected") as caught:
        fetch(server, tmp_path / "model.bin")
    assert SHA256 in str(caught.value)
    assert not isinstance(caught.value, UnreachableError), "another source must not hide a wrong hash"
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_the_server_does_not_have_is_unreachable(server, tmp_path):
    del server.files["/model.bin"]
    with pytest.raises(UnreachableError, match="404"):
        fetch(server, tmp_path / "model.bin")
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_not_there_is_unreachable(tmp_path):
    with http_client() as client, pytest.raises(UnreachableError, match="no connection"):
        download(client, "http://127.0.0.1:9/x", tmp_path / "x", sha256=None)


def test_too_little_disk_is_said_before_anything_is_asked_for(server, tmp_path):
    with pytest.raises(RunError, match=r"needs 1000000\.1 GB and the disk has .* GB free"):
        fetch(server, tmp_path / "model.bin", size=10**15)
    assert server.requests == []
    with pytest.raises(RunError, match="MEDVERDICT_CACHE"):
        require_space(tmp_path / "not" / "there" / "yet", 10**15, "base")


def test_a_folder_that_cannot_be_written_is_an_error_a_user_can_act_on(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="could not be written"):
        fetch(server, tmp_path / "file" / "model.bin")


def test_messages_never_show_a_password():
    assert public_url("https://user:secret@index.example/simple/x") == "https://index.example/simple/x"
