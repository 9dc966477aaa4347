"""What a base's name may be, and what is said when it is none."""

from __future__ import annotations

import subprocess
import sys

import pytest

from medverdict.errors import RunError
from medverdict.model.registry import known_bases, resolve
from tiny import make_tiny_base

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_the_registry_says_what_is_refused():
    assert {known.name: known.within_budget for known in known_bases()} == {
        "qwen2.5-0.5b-instruct": True,
        "qwen2.5-coder-0.5b": True,
        "smollm2-135m": True,
        "gemma-3-270m": True,
        "tinyllama-1.1b": False,
        "qwen2.5-1.5b": False,
    }


def test_every_usable_base_has_a_pinned_source():
    for known in known_bases():
        if known.within_budget:
            assert known.revision or (known.mirror and known.sha256), known.name
            assert known.sources != "not offered"
            assert not known.file or (known.sha256 and known.bytes), known.name


def test_names_resolve(tmp_path):
    folder = make_tiny_base(tmp_path / "tiny")
    gguf = tmp_path / "model.gguf"
    gguf.write_bytes(b"GGUF")
    assert resolve("qwen2.5-coder-0.5b").kind == "registry"
    assert resolve(str(folder)).kind == "folder"
    assert resolve(str(gguf)).kind == "gguf"
    spec = resolve(f"org/model@{COMMIT}")
    assert (spec.kind, spec.hub, spec.revision) == ("hub", "org/model", COMMIT)


@pytest.mark.parametrize("name", ["org/model", "org/model@main", "org/model@", f"org/model@{COMMIT[:12]}"])
def test_a_hub_id_without_a_commit_is_told_how_to_pin(name):
    with pytest.raises(RunError, match="org/model@<40 hex digits>"):
        resolve(name)


def test_a_hub_id_of_the_registry_is_told_the_pinned_name():
    with pytest.raises(RunError, match=r"name it qwen2\.5-0\.5b-instruct"):
        resolve("Qwen/Qwen2.5-0.5B-Instruct")


def test_an_unknown_name_is_told_the_known_ones_and_the_nearest():
    with pytest.raises(RunError) as caught:
        resolve("qwen2.5-coder")
    assert "Did you mean qwen2.5-coder-0.5b" in str(caught.value)
    assert all(known.name in str(caught.value) for known in known_bases())


def test_a_missing_gguf_is_not_taken_for_a_name(tmp_path):
    with pytest.raises(RunError, match="no such file"):
        resolve(str(tmp_path / "absent.gguf"))


@pytest.mark.parametrize(
    ("rename", "hint"),
    [
        (("tokenizer.json", "tokenizer.model"), r"tokenizer\.json not found"),
        (("model.safetensors", "pytorch_model.bin"), "pickle"),
        (("model.safetensors", "model-00001-of-00002.safetensors"), "Merge the shards"),
    ],
)
def test_a_folder_without_a_part_is_told_which(tmp_path, rename, hint):
    folder = make_tiny_base(tmp_path)
    (folder / rename[0]).rename(folder / rename[1])
    with pytest.raises(RunError, match=hint):
        resolve(str(folder))


def test_listing_bases_loads_no_torch():
    script = (
        "import sys; from medverdict.model.bases import known_bases; known_bases(); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
