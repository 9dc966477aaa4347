"""GGUF files: what goes in comes out, and a bad header ends in an error."""

from __future__ import annotations

import json
import struct
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType, GGUFWriter
from gguf.quants import dequantize, quantize
from safetensors.torch import load_file
from tiny_gguf import through_bf16, write_tiny_gguf
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
)

from medverdict.errors import RunError
from medverdict.model.budget import count_parameters
from medverdict.model.dequantise import count_gguf, dequantise
from medverdict.model.gguf_file import read_gguf
from tiny import make_tiny_base

IDS = torch.arange(3, 60).unsqueeze(0)
TEXTS = ("Bệnh nhân bị sốt cao 39,5°C.\n\nĐáp án: Đúng", "  two  spaces\t12345 don't", "<|im_end|> Sai")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    return make_tiny_base(tmp_path_factory.mktemp("tiny"))


def logits(folder: Path) -> torch.Tensor:
    model = through_bf16(AutoModelForCausalLM.from_pretrained(folder))
    with torch.inference_mode():
        return model(IDS).logits


def converted(gguf: Path, folder: Path) -> Path:
    folder.mkdir()
    dequantise(gguf, folder)
    return folder


def test_qwen2_comes_back_with_the_same_logits(tiny, tmp_path):
    gguf = write_tiny_gguf(tiny, tmp_path / "tiny.gguf")
    folder = converted(gguf, tmp_path / "out")
    torch.testing.assert_close(logits(folder), logits(tiny), rtol=0, atol=0)
    assert count_gguf(gguf) == count_parameters(folder) == count_parameters(tiny)


def test_qwen2s_tokenizer_comes_back_with_the_same_ids(tiny, tmp_path):
    folder = converted(write_tiny_gguf(tiny, tmp_path / "tiny.gguf"), tmp_path / "out")
    ours, theirs = AutoTokenizer.from_pretrained(folder), AutoTokenizer.from_pretrained(tiny)
    plain = Tokenizer.from_file(str(folder / "tokenizer.json"))  # transformers brings a normaliser of its own
    for text in TEXTS:
        assert plain.encode(unicodedata.normalize("NFD", text)).ids == theirs(text)["input_ids"]
        assert ours(text)["input_ids"] == theirs(text)["input_ids"]
        assert ours(unicodedata.normalize("NFD", text))["input_ids"] == theirs(text)["input_ids"]
    assert (ours.eos_token, ours.pad_token) == ("<|im_end|>", "<|endoftext|>")


def small(**changes) -> dict:
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    return sizes | {"num_key_value_heads": 2, "max_position_embeddings": 512, "tie_word_embeddings": True} | changes


def save(model: torch.nn.Module, folder: Path) -> Path:
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(folder)
    return folder


def test_llama_comes_back_with_its_heads_unpermuted(tiny, tmp_path):
    torch.manual_seed(0)
    source = save(LlamaForCausalLM(LlamaConfig(vocab_size=384, rope_theta=5e4, **small())), tmp_path / "llama")
    (source / "tokenizer.json").write_bytes((tiny / "tokenizer.json").read_bytes())
    gguf = write_tiny_gguf(source, tmp_path / "llama.gguf", architecture="llama", pre="smollm")
    folder = converted(gguf, tmp_path / "out")
    torch.testing.assert_close(logits(folder), logits(source), rtol=0, atol=0)
    ids = AutoTokenizer.from_pretrained(folder)("12 34", add_special_tokens=False).tokens()
    assert ids[:2] == ["1", "2"], "every digit stands alone"


def gemma_tokenizer(folder: Path) -> None:
    letters = ["▁", "a", "b", "c", "▁a", "ab", "▁ab", "abc", "▁▁", "é"]
    tokens = ["<pad>", "<eos>", "<bos>", "<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), *letters]
    tokens += [f"<unused{number}>" for number in range(384 - len(tokens))]
    pairs = [("▁", "a"), ("a", "b"), ("▁", "ab"), ("▁a", "b"), ("ab", "c"), ("▁", "▁")]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocabulary, pairs, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens(["<pad>", "<eos>", "<bos>", "<unk>"])
    tokenizer.save(str(folder / "tokenizer.json"))


def test_gemma3_comes_back_with_its_norms_windows_and_start_token(tmp_path):
    torch.manual_seed(0)
    config = Gemma3TextConfig(
        vocab_size=384, head_dim=8, query_pre_attn_scalar=8, sliding_window=16, **small(num_hidden_layers=7)
    )
    source = save(Gemma3ForCausalLM(config), tmp_path / "gemma")
    gemma_tokenizer(source)
    gguf = write_tiny_gguf(source, tmp_path / "gemma.gguf", architecture="gemma3", pre="default")
    folder = converted(gguf, tmp_path / "out")
    torch.testing.assert_close(logits(folder), logits(source), rtol=0, atol=1e-3)
    ours, theirs = AutoTokenizer.from_pretrained(folder), Tokenizer.from_file(str(source / "tokenizer.json"))
    for text in ("ab abc  a", "éß aé"):
        assert ours(text)["input_ids"] == [2, *theirs.encode(text).ids]
        assert ours.decode(ours(text, add_special_tokens=False)["input_ids"]) == text


@pytest.mark.parametrize("kind", ["Q4_0", "Q4_1", "Q5_0", "Q8_0", "F16", "BF16"])
def test_quantised_tensors_are_read_with_the_packages_own_arithmetic(tiny, tmp_path, kind):
    packed = GGMLQuantizationType[kind]
    gguf = write_tiny_gguf(tiny, tmp_path / "tiny.gguf", kind=lambda name: packed)
    folder = converted(gguf, tmp_path / "out")
    name = "model.layers.1.mlp.down_proj.weight"
    source = load_file(tiny / "model.safetensors")[name].numpy()
    expected = torch.from_numpy(dequantize(quantize(source, packed), packed)).to(torch.bfloat16)
    assert torch.equal(load_file(folder / "model.safetensors")[name], expected)


def test_the_better_copy_of_a_tied_embedding_is_used(tiny, tmp_path):
    embedding = load_file(tiny / "model.safetensors")["model.embed_tokens.weight"].numpy()
    better = GGMLQuantizationType.Q8_0
    gguf = write_tiny_gguf(
        tiny,
        tmp_path / "tiny.gguf",
        kind=lambda name: better if name == "output.weight" else GGMLQuantizationType.Q5_0,
        extra={"output.weight": embedding},
    )
    folder = converted(gguf, tmp_path / "out")
    stored = load_file(folder / "model.safetensors")
    expected = torch.from_numpy(dequantize(quantize(embedding, better), better)).to(torch.bfloat16)
    assert torch.equal(stored["model.embed_tokens.weight"], expected)
    assert "lm_head.weight" not in stored
    assert json.loads((folder / "config.json").read_text())["tie_word_embeddings"] is True
    assert count_gguf(gguf) == count_parameters(tiny)


def test_a_head_of_its_own_is_kept_apart(tiny, tmp_path):
    head = np.random.default_rng(0).normal(size=(384, 32)).astype(np.float32)
    gguf = write_tiny_gguf(tiny, tmp_path / "tiny.gguf", extra={"output.weight": head})
    folder = converted(gguf, tmp_path / "out")
    assert torch.equal(load_file(folder / "model.safetensors")["lm_head.weight"], torch.from_numpy(head).bfloat16())
    assert json.loads((folder / "config.json").read_text())["tie_word_embeddings"] is False
    assert count_gguf(gguf) == count_parameters(folder) == count_parameters(tiny) + 384 * 32


def test_the_same_file_gives_the_same_bytes(tiny, tmp_path):
    gguf = write_tiny_gguf(tiny, tmp_path / "tiny.gguf")
    first, second = converted(gguf, tmp_path / "a"), converted(gguf, tmp_path / "b")
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes()


HEADER = b"GGUF" + struct.pack("<I", 3)
HUGE = 2**60
BAD = {
    "empty": (b"", "not a GGUF file"),
    "another format": (b"\x89PNG\r\n\x1a\n" + bytes(100), "not a GGUF file: it starts with b'.*PNG'"),
    "only the magic": (b"GGUF", "damaged GGUF file"),
    "unknown version": (b"GGUF" + struct.pack("<IQQ", 99, 0, 0) + bytes(100), "version 99"),
    "huge tensor count": (HEADER + struct.pack("<QQ", HUGE, 0) + bytes(100), "entries are announced"),
    "huge field count": (HEADER + struct.pack("<QQ", 0, HUGE) + bytes(100), "entries are announced"),
    "huge string": (HEADER + struct.pack("<QQQ", 0, 1, HUGE) + bytes(100), "entries are announced"),
    "huge array": (
        HEADER + struct.pack("<QQQ1sIIQ", 0, 1, 1, b"k", 9, 4, HUGE) + bytes(100),
        "entries are announced",
    ),
    "unknown value type": (HEADER + struct.pack("<QQQ1sI", 0, 1, 1, b"k", 77) + bytes(100), "unknown value type 77"),
    "huge shape": (
        HEADER + struct.pack("<QQQ1sIQIQ", 1, 0, 1, b"t", 1, HUGE, 0, 0) + bytes(100),
        "truncated: tensor t ends at byte",
    ),
    "unknown format": (HEADER + struct.pack("<QQQ1sIQIQ", 1, 0, 1, b"t", 1, 32, 999, 0) + bytes(100), "999"),
    "no dimensions": (HEADER + struct.pack("<QQQ1sIIQ", 1, 0, 1, b"t", 0, 0, 0) + bytes(100), "0 dimensions"),
    "broken text": (HEADER + struct.pack("<QQQ1sI", 0, 1, 1, b"\xff", 4) + bytes(100), "damaged GGUF file"),
}


@pytest.mark.parametrize("fault", BAD, ids=str)
def test_a_bad_header_is_an_error_before_anything_is_trusted(tmp_path, fault):
    content, message = BAD[fault]
    (tmp_path / "bad.gguf").write_bytes(content)
    with pytest.raises(RunError, match=message):
        read_gguf(tmp_path / "bad.gguf")


def test_a_file_cut_off_anywhere_is_an_error(tiny, tmp_path):
    whole = write_tiny_gguf(tiny, tmp_path / "whole.gguf").read_bytes()
    read_gguf(tmp_path / "whole.gguf")
    for length in range(5, len(whole) - 1, len(whole) // 40):
        (tmp_path / "cut.gguf").write_bytes(whole[:length])
        with pytest.raises(RunError, match="damaged GGUF file"):
            read_gguf(tmp_path / "cut.gguf")


def test_another_architecture_or_a_missing_field_is_named(tiny, tmp_path):
    writer = GGUFWriter(tmp_path / "mamba.gguf", "mamba")
    writer.add_tensor("x", np.zeros(4, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(RunError, match="architecture 'mamba'; known are qwen2, llama, gemma3"):
        dequantise(tmp_path / "mamba.gguf", tmp_path)
    whole = write_tiny_gguf(tiny, tmp_path / "whole.gguf").read_bytes()
    (tmp_path / "field.gguf").write_bytes(whole.replace(b"qwen2.block_count", b"qwen2.block_cXXXX"))
    with pytest.raises(RunError, match=r"qwen2\.block_count is None; expected a number"):
        dequantise(tmp_path / "field.gguf", tmp_path)
    (tmp_path / "pre.gguf").write_bytes(write_tiny_gguf(tiny, tmp_path / "x.gguf", pre="own").read_bytes())
    with pytest.raises(RunError, match="unknown tokenizer gpt2/own of qwen2"):
        dequantise(tmp_path / "pre.gguf", tmp_path)
