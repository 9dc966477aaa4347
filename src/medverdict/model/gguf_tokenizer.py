"""Vocabulary and merges of a GGUF file -> tokenizer.json and tokenizer_config.json.

A GGUF file names its way of splitting text and leaves the rest to the reader. Three ways are known here, each as
its publisher's own tokenizer.json has it: `qwen2`, `smollm` (both byte-level BPE) and Gemma's (BPE over
characters with byte fallback).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from medverdict.errors import RunError
from medverdict.files import write_json
from medverdict.model.gguf_file import GgufFile

_CONTROL, _USER_DEFINED = 3, 4  # token types of llama.cpp
_QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_ADD_BOS = "tokenizer.ggml.add_bos_token"
_SPECIAL = {
    "bos_token": "tokenizer.ggml.bos_token_id",
    "eos_token": "tokenizer.ggml.eos_token_id",
    "pad_token": "tokenizer.ggml.padding_token_id",
    "unk_token": "tokenizer.ggml.unknown_token_id",
}


def write_tokenizer(file: GgufFile, folder: Path) -> None:
    """Write tokenizer.json and tokenizer_config.json into `folder`.

    Raises RunError where the file's way of splitting text is not a known one or its vocabulary is incomplete.
    """
    way = f"{file.fields.get('tokenizer.ggml.model')}/{file.fields.get('tokenizer.ggml.pre')}"
    architecture = str(file.fields.get("general.architecture"))
    build = _BUILDERS.get((architecture, way))
    if build is None:
        known = ", ".join(sorted(f"{w} of {a}" for a, w in _BUILDERS))
        raise RunError(f"{file.path}: unknown tokenizer {way} of {architecture}; known are {known}.")
    tokens = _strings(file, "tokenizer.ggml.tokens")
    tokenizer = build(file, tokens)
    tokenizer.add_special_tokens(
        [AddedToken(t, normalized=False, special=True) for t in _of_type(file, tokens, _CONTROL)]
    )
    tokenizer.add_tokens([AddedToken(t, normalized=False) for t in _of_type(file, tokens, _USER_DEFINED)])
    if tokenizer.get_vocab_size() != len(tokens):
        raise RunError(
            f"{file.path}: the tokenizer has {tokenizer.get_vocab_size():,} tokens; expected {len(tokens):,}."
        )
    if file.fields.get(_ADD_BOS):
        bos = special_ids(file)["bos_token"]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{tokens[bos]} $A", pair=f"{tokens[bos]} $A $B", special_tokens=[(tokens[bos], bos)]
        )
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(folder / "tokenizer_config.json", _settings(file, tokens))


def special_ids(file: GgufFile) -> dict[str, int]:
    """`bos_token`, `eos_token`, `pad_token` and `unk_token` to their ids, as far as the file names them."""
    ids = {}
    for name, key in _SPECIAL.items():
        value = file.fields.get(key)
        if isinstance(value, int):
            ids[name] = value
    return ids


def _settings(file: GgufFile, tokens: Sequence[str]) -> dict[str, object]:
    named: dict[str, object] = {name: tokens[token] for name, token in special_ids(file).items()}
    template = file.fields.get("tokenizer.chat_template")
    if template:
        named["chat_template"] = template
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": file.fields.get(f"{file.fields['general.architecture']}.context_length"),
        "clean_up_tokenization_spaces": False,
        "add_bos_token": bool(file.fields.get(_ADD_BOS, False)),
        **named,
    }


def _qwen2(file: GgufFile, tokens: Sequence[str]) -> Tokenizer:
    tokenizer = Tokenizer(_byte_level_bpe(file, tokens))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_QWEN2_SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _smollm(file: GgufFile, tokens: Sequence[str]) -> Tokenizer:
    tokenizer = Tokenizer(_byte_level_bpe(file, tokens))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _gemma(file: GgufFile, tokens: Sequence[str]) -> Tokenizer:
    """A GGUF file has no merges for Gemma: a longer token is any two shorter ones, the lower id winning.

    Runs of spaces are stored as spaces, while the model of the tokenizer spells a space as U+2581.
    """
    vocabulary = {_spelled(token): number for number, token in enumerate(tokens)}
    merges = []
    for token in vocabulary:
        halves = ((token[:cut], token[cut:]) for cut in range(1, len(token)))
        found = [(left, right) for left, right in halves if left in vocabulary and right in vocabulary]
        merges += sorted(found, key=lambda pair: (vocabulary[pair[0]], vocabulary[pair[1]]))
    tokenizer = Tokenizer(
        models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True, ignore_merges=False)
    )
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return tokenizer


_BUILDERS: dict[tuple[str, str], Callable[[GgufFile, Sequence[str]], Tokenizer]] = {
    ("qwen2", "gpt2/qwen2"): _qwen2,
    ("llama", "gpt2/smollm"): _smollm,
    ("gemma3", "llama/default"): _gemma,
}


def _byte_level_bpe(file: GgufFile, tokens: Sequence[str]) -> models.BPE:
    pairs = [merge.split(" ") for merge in _strings(file, "tokenizer.ggml.merges")]
    if any(len(pair) != 2 for pair in pairs):
        raise RunError(f"{file.path}: a merge of its tokenizer is not a pair of tokens. Download it again.")
    return models.BPE({token: number for number, token in enumerate(tokens)}, [(a, b) for a, b in pairs])


def _of_type(file: GgufFile, tokens: Sequence[str], kind: int) -> list[str]:
    types = file.fields.get("tokenizer.ggml.token_type")
    if not isinstance(types, list) or len(types) != len(tokens):
        raise RunError(f"{file.path}: tokenizer.ggml.token_type does not fit its {len(tokens):,} tokens.")
    return [_spelled(token) for token, found in zip(tokens, types, strict=True) if found == kind]


def _spelled(token: str) -> str:
    return "▁" * len(token) if token and not token.strip(" ") else token


def _strings(file: GgufFile, key: str) -> list[str]:
    found = file.fields.get(key)
    if not isinstance(found, list) or not found or not isinstance(found[0], str):
        raise RunError(f"{file.path}: {key} is missing; expected a list of strings. Use a file with its tokenizer.")
    return [str(item) for item in found]
