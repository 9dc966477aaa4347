"""Writes a tiny base as a GGUF file, with the names, layouts and norms that llama.cpp's converter gives them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from gguf import GGMLQuantizationType, GGUFWriter
from gguf.quants import quantize
from safetensors.torch import load_file

F32 = GGMLQuantizationType.F32
_TOP = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
_LAYER = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_GEMMA = _LAYER | {
    "post_attention_layernorm": "post_attention_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}


def write_tiny_gguf(
    folder: Path,
    path: Path,
    *,
    architecture: str = "qwen2",
    kind: Callable[[str], GGMLQuantizationType] = lambda name: F32,
    extra: Mapping[str, np.ndarray] | None = None,
    pre: str = "qwen2",
) -> Path:
    """Write the model in `folder`; `kind` chooses each tensor's format by its GGUF name."""
    config = json.loads((folder / "config.json").read_text())
    writer = GGUFWriter(path, architecture)
    _write_fields(writer, config)
    _write_tokenizer(writer, json.loads((folder / "tokenizer.json").read_text()), pre)
    for name, tensor in load_file(folder / "model.safetensors").items():
        array, gguf_name = tensor.float().numpy(), _gguf_name(name, architecture)
        if architecture == "llama" and name.endswith(("q_proj.weight", "k_proj.weight")):
            heads = config["num_attention_heads" if "q_proj" in name else "num_key_value_heads"]
            array = array.reshape(heads, 2, -1, array.shape[1]).swapaxes(1, 2).reshape(array.shape)
        if architecture == "gemma3" and name.endswith("norm.weight"):
            array = array + 1
        add(writer, gguf_name, array, kind(gguf_name))
    for gguf_name, array in (extra or {}).items():
        add(writer, gguf_name, array, kind(gguf_name))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def add(writer: GGUFWriter, name: str, array: np.ndarray, kind: GGMLQuantizationType) -> None:
    if kind == F32 or array.ndim == 1:
        writer.add_tensor(name, np.ascontiguousarray(array, np.float32))
    else:
        writer.add_tensor(name, quantize(np.ascontiguousarray(array, np.float32), kind), raw_dtype=kind)


def through_bf16(model: torch.nn.Module) -> torch.nn.Module:
    """The same model with its weights rounded to bf16, as a de-quantised folder stores them."""
    return model.to(torch.bfloat16).float()


def _gguf_name(name: str, architecture: str) -> str:
    stem, _, kind = name.rpartition(".")
    if stem in _TOP:
        return f"{_TOP[stem]}.{kind}"
    _, _, layer, module = stem.split(".", 3)
    return f"blk.{layer}.{(_GEMMA if architecture == 'gemma3' else _LAYER)[module]}.{kind}"


def _write_fields(writer: GGUFWriter, config: Mapping) -> None:
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    rope = config["rope_parameters"]
    writer.add_rope_freq_base(rope.get("full_attention", rope)["rope_theta"])
    if config.get("sliding_window"):
        writer.add_key_length(config["head_dim"])
        writer.add_sliding_window(config["sliding_window"])


def _write_tokenizer(writer: GGUFWriter, tokenizer: Mapping, pre: str) -> None:
    vocabulary = tokenizer["model"]["vocab"]
    added = {token["content"] for token in tokenizer["added_tokens"]}
    tokens = sorted(vocabulary, key=vocabulary.get)
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in added else 1 for token in tokens])
    if pre == "default":
        writer.add_tokenizer_model("llama")
        writer.add_bos_token_id(vocabulary["<bos>"])
        writer.add_eos_token_id(vocabulary["<eos>"])
        writer.add_add_bos_token(True)
        return
    writer.add_tokenizer_model("gpt2")
    writer.add_token_merges([" ".join(pair) for pair in tokenizer["model"]["merges"]])
    writer.add_eos_token_id(vocabulary["<|im_end|>"])
    writer.add_pad_token_id(vocabulary["<|endoftext|>"])
