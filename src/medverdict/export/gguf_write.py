"""Merged weights -> one .gguf file that llama.cpp, Ollama and their kin load.

The layout is llama.cpp's own, through its `gguf` library: names from its tensor map, norms and biases in fp32,
matrices in the chosen format.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, cast

import gguf
import numpy as np
from torch import Tensor

from medverdict.errors import ExportError
from medverdict.export.merged import answer_metadata
from medverdict.records import Run

Quantisation = Literal["f16", "q8_0", "q4_0"]
_FORMATS: dict[str, tuple[gguf.GGMLQuantizationType, gguf.LlamaFileType]] = {
    "f16": (gguf.GGMLQuantizationType.F16, gguf.LlamaFileType.MOSTLY_F16),
    "q8_0": (gguf.GGMLQuantizationType.Q8_0, gguf.LlamaFileType.MOSTLY_Q8_0),
    "q4_0": (gguf.GGMLQuantizationType.Q4_0, gguf.LlamaFileType.MOSTLY_Q4_0),
}
_ARCHITECTURE = "qwen2"


def write_gguf(path: Path, tensors: Mapping[str, Tensor], base: Path, run: Run, quantisation: Quantisation) -> None:
    """Write the merged model with tokenizer, prompt, label words and calibration in its metadata.

    Raises ExportError for a base of another architecture than Qwen2.
    """
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    if config.get("model_type") != _ARCHITECTURE:
        raise ExportError(
            f"GGUF export knows bases of type {_ARCHITECTURE}, this one is {config.get('model_type')}. Use "
            "--format merged and llama.cpp's convert_hf_to_gguf.py."
        )
    kind, file_type = _FORMATS[quantisation]
    writer = gguf.GGUFWriter(path, _ARCHITECTURE)
    try:
        _add_hyperparameters(writer, config, run)
        writer.add_file_type(file_type)
        _add_tokenizer(writer, base, config)
        for key, value in answer_metadata(run).items():
            (writer.add_string if isinstance(value, str) else writer.add_float32)(key, value)
        names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN2, config["num_hidden_layers"])
        for name, tensor in tensors.items():
            known = names.get_name(name, try_suffixes=(".weight", ".bias"))
            if known is None:
                raise ExportError(f"{name} has no place in a GGUF file of {_ARCHITECTURE}.")
            data = tensor.numpy()
            if data.ndim == 1:
                writer.add_tensor(known, np.ascontiguousarray(data, dtype=np.float32))
            else:
                writer.add_tensor(known, gguf.quantize(data, kind), raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()


def _add_hyperparameters(writer: gguf.GGUFWriter, config: Mapping[str, object], run: Run) -> None:
    def number(key: str) -> int:
        return int(cast(int, config[key]))

    writer.add_name(f"medverdict {run.id}")
    writer.add_block_count(number("num_hidden_layers"))
    writer.add_context_length(number("max_position_embeddings"))
    writer.add_embedding_length(number("hidden_size"))
    writer.add_feed_forward_length(number("intermediate_size"))
    writer.add_head_count(number("num_attention_heads"))
    writer.add_head_count_kv(number("num_key_value_heads"))
    writer.add_layer_norm_rms_eps(cast(float, config["rms_norm_eps"]))
    writer.add_rope_freq_base(_rope_base(config))


def _rope_base(config: Mapping[str, object]) -> float:
    """Rotary base; newer configuration files hold it one level down."""
    inner = config.get("rope_parameters")
    if isinstance(inner, dict) and "rope_theta" in inner:
        return float(inner["rope_theta"])
    return float(cast(float, config["rope_theta"]))


def _add_tokenizer(writer: gguf.GGUFWriter, base: Path, config: Mapping[str, object]) -> None:
    """Vocabulary, merges and special tokens out of tokenizer.json; unused ids up to the model's size are padded."""
    stored = json.loads((base / "tokenizer.json").read_text(encoding="utf-8"))
    size = int(cast(int, config["vocab_size"]))
    added = {entry["id"]: entry for entry in stored["added_tokens"]}
    words = {number: word for word, number in stored["model"]["vocab"].items()}
    tokens, types = [], []
    for number in range(size):
        if number in added:
            tokens.append(added[number]["content"])
            types.append(gguf.TokenType.CONTROL if added[number]["special"] else gguf.TokenType.USER_DEFINED)
        elif number in words:
            tokens.append(words[number])
            types.append(gguf.TokenType.NORMAL)
        else:
            tokens.append(f"[PAD{number}]")
            types.append(gguf.TokenType.UNUSED)
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in stored["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_ARCHITECTURE)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    writer.add_add_bos_token(False)
    for key, add in (
        ("bos_token_id", writer.add_bos_token_id),
        ("eos_token_id", writer.add_eos_token_id),
        ("pad_token_id", writer.add_pad_token_id),
    ):
        if isinstance(config.get(key), int):
            add(cast(int, config[key]))
