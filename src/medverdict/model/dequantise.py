"""GGUF file -> folder that transformers loads: de-quantised once, tensor by tensor.

Stored as bf16, for three reasons: the original checkpoints are bf16, so what GGUF keeps whole (norms, biases)
comes back exactly; a de-quantised 4 to 6 bit weight is coarser than bf16's rounding; and bf16 values are values of
fp32 and, in the range that weights have, of fp16, so that every device computes on the same weights.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from gguf.quants import dequantize
from numpy.typing import NDArray

from medverdict.errors import MedverdictError, RunError
from medverdict.files import atomic_write, write_json
from medverdict.model.gguf_file import GgufFile, GgufTensor, read_gguf
from medverdict.model.gguf_tokenizer import special_ids, write_tokenizer

_EMBEDDING, _HEAD = "token_embd.weight", "output.weight"
_TOP = {
    _EMBEDDING: "model.embed_tokens.weight",
    _HEAD: "lm_head.weight",
    "output_norm.weight": "model.norm.weight",
}
_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_GEMMA3_LAYER = _LAYER | {
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}
_LAYERS = {"qwen2": _LAYER, "llama": _LAYER, "gemma3": _GEMMA3_LAYER}
_LAYOUT = "4.57.0"  # whose keys config.json has; without it transformers 5.17 warns of an unfixed Mistral tokenizer
_BLOCK = 1 << 22  # weights de-quantised at a time: 16 MiB in fp32
_COMPARED_ROWS = 256  # of the two embeddings, to tell a second copy from a head of its own


def dequantise(path: Path, folder: Path) -> None:
    """Write config.json, model.safetensors, tokenizer.json and tokenizer_config.json of a GGUF file into `folder`.

    Holds one block of weights in memory at a time. Raises RunError where the file is damaged or of an unknown
    architecture.
    """
    file = read_gguf(path)
    with _consistent(path):
        names = _kept_tensors(file)
        write_json(folder / "config.json", _config(file, tied=_TOP[_HEAD] not in names))
        write_tokenizer(file, folder)
        _write_safetensors(file, names, folder / "model.safetensors")


def count_gguf(path: Path) -> int:
    """Parameters of a GGUF file, a second copy of the tied embedding not counted. Raises RunError as above."""
    file = read_gguf(path)
    with _consistent(path):
        return sum(file.tensors[source].parameters for source in _kept_tensors(file).values())


@contextmanager
def _consistent(path: Path) -> Iterator[None]:
    """A header that is sound by itself can still say things that do not go together. Raises RunError then."""
    try:
        yield
    except (MedverdictError, OSError):
        raise
    except Exception as error:  # the tokenizers package raises bare Exception
        raise RunError(f"{path}: contradicts itself: {error}. Download it again.") from error


def _kept_tensors(file: GgufFile) -> dict[str, str]:
    """transformers' name to GGUF name of every tensor to write, in a fixed order."""
    architecture = str(file.fields.get("general.architecture"))
    if architecture not in _LAYERS:
        raise RunError(
            f"{file.path}: architecture {architecture!r}; known are {', '.join(_LAYERS)}. Use the model's safetensors "
            "folder instead."
        )
    names = {_transformers_name(file, name): name for name in file.tensors}
    if _EMBEDDING not in file.tensors:
        raise RunError(f"{file.path}: has no tensor {_EMBEDDING}; expected a whole language model.")
    if _HEAD in file.tensors and _is_second_copy(file):
        del names[_TOP[_HEAD]]
        names[_TOP[_EMBEDDING]] = max(_EMBEDDING, _HEAD, key=lambda name: file.tensors[name].nbytes)
    return dict(sorted(names.items()))


def _is_second_copy(file: GgufFile) -> bool:
    """Whether head and embedding are one matrix, stored twice at different precision.

    Quantisation moves a row by a few per cent of its length; two matrices of their own differ by its whole length.
    """
    head, embedding = file.tensors[_HEAD], file.tensors[_EMBEDDING]
    if head.shape != embedding.shape:
        return False
    picked = np.linspace(0, head.shape[0] - 1, _COMPARED_ROWS).astype(int)
    a, b = (dequantize(file.packed_rows(t)[picked], t.type) for t in (head, embedding))
    return bool(np.linalg.norm(a - b) < 0.5 * np.linalg.norm(a))


def _transformers_name(file: GgufFile, name: str) -> str:
    if name in _TOP:
        return _TOP[name]
    parts = name.split(".")
    layers = _LAYERS[str(file.fields["general.architecture"])]
    if len(parts) != 4 or parts[0] != "blk" or not parts[1].isdigit() or parts[2] not in layers:
        raise RunError(f"{file.path}: unknown tensor {name}; this variant of the architecture is not supported.")
    return f"model.layers.{parts[1]}.{layers[parts[2]]}.{parts[3]}"


def _config(file: GgufFile, tied: bool) -> dict[str, object]:
    """config.json with the keys that the publishers' own files have."""
    architecture = str(file.fields["general.architecture"])
    width, heads = _whole(file, "embedding_length"), _whole(file, "attention.head_count")
    ids = {f"{name}_id": number for name, number in special_ids(file).items() if name != "unk_token"}
    scaling = file.fields.get(f"{architecture}.rope.scaling.type", "none")
    if scaling != "none":
        raise RunError(f"{file.path}: scales its rope ({scaling}); that is not supported.")
    common: dict[str, object] = {
        "vocab_size": file.tensors[_EMBEDDING].shape[0],
        "hidden_size": width,
        "intermediate_size": _whole(file, "feed_forward_length"),
        "num_hidden_layers": _whole(file, "block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": _whole(file, "attention.head_count_kv"),
        "max_position_embeddings": _whole(file, "context_length"),
        "rms_norm_eps": _shortest(file, "attention.layer_norm_rms_epsilon"),
        "rope_theta": _shortest(file, "rope.freq_base"),
        "tie_word_embeddings": tied,
        "dtype": "bfloat16",
        "transformers_version": _LAYOUT,
        **ids,
    }
    if architecture == "qwen2":
        return {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_act": "silu"} | common
    if architecture == "llama":
        own = {"hidden_act": "silu", "head_dim": width // heads, "attention_bias": False, "mlp_bias": False}
        return {"architectures": ["LlamaForCausalLM"], "model_type": "llama"} | own | common
    return {"architectures": ["Gemma3ForCausalLM"], "model_type": "gemma3_text"} | _gemma3(file) | common


def _gemma3(file: GgufFile) -> dict[str, object]:
    """What a GGUF file leaves out is the same for all of Gemma 3: every sixth layer sees the whole text, the others
    a window with a rope base of 10,000 (https://arxiv.org/abs/2503.19786, section 2)."""
    head = _whole(file, "attention.key_length")
    return {
        "hidden_activation": "gelu_pytorch_tanh",
        "head_dim": head,
        "query_pre_attn_scalar": head,
        "sliding_window": _whole(file, "attention.sliding_window"),
        "sliding_window_pattern": 6,
        "rope_local_base_freq": 10_000.0,
        "attention_bias": False,
    }


def _write_safetensors(file: GgufFile, names: dict[str, str], path: Path) -> None:
    """The safetensors format: length of a JSON header, the header, then the tensors one after another."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, source in names.items():
        tensor = file.tensors[source]
        start, end = end, end + 2 * tensor.parameters
        header[name] = {"dtype": "BF16", "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % 8)
    with atomic_write(path) as out:
        out.write(struct.pack("<Q", len(text)))
        out.write(text)
        for name, source in names.items():
            for block in _weights(file, file.tensors[source], name):
                out.write(torch.from_numpy(block).to(torch.bfloat16).view(torch.int16).numpy().tobytes())


def _weights(file: GgufFile, tensor: GgufTensor, name: str) -> Iterator[NDArray[np.float32]]:
    """fp32 blocks of whole rows, in transformers' order."""
    rows = file.packed_rows(tensor)
    architecture = file.fields["general.architecture"]
    if architecture == "llama" and name.endswith(("q_proj.weight", "k_proj.weight")):
        heads = _whole(file, "attention.head_count" if "q_proj" in name else "attention.head_count_kv")
        rows = rows[_unpermuted(len(rows), heads)]
    step = max(1, _BLOCK * len(rows) // tensor.parameters)
    for start in range(0, len(rows), step):
        block = dequantize(np.ascontiguousarray(rows[start : start + step]), tensor.type).astype(np.float32)
        # llama.cpp stores Gemma's norms as 1 + w, the factor that is multiplied; transformers stores w
        yield block - 1 if architecture == "gemma3" and name.endswith("norm.weight") else block


def _unpermuted(rows: int, heads: int) -> NDArray[np.intp]:
    """Row order that undoes llama.cpp's interleaving of each head's two rope halves.

    convert_hf_to_gguf.py, LlamaModel.permute: `w.reshape(heads, 2, half, -1).swapaxes(1, 2)`.
    """
    return np.arange(rows).reshape(heads, rows // heads // 2, 2).swapaxes(1, 2).ravel()


def _whole(file: GgufFile, key: str) -> int:
    return int(_number(file, key))


def _shortest(file: GgufFile, key: str) -> float:
    """An fp32 number as the shortest decimal that means it: 1e-06 and not 9.999999974752427e-07."""
    return float(str(np.float32(_number(file, key))))


def _number(file: GgufFile, key: str) -> int | float:
    key = f"{file.fields['general.architecture']}.{key}"
    value = file.fields.get(key)
    if not isinstance(value, int | float):
        raise RunError(f"{file.path}: {key} is {value!r}; expected a number. Use another file of this model.")
    return value
