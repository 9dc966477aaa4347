"""A random Qwen2 of a few thousand weights in a folder, for tests that need a base but not its knowledge."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import Qwen2Config, Qwen2ForCausalLM

VOCABULARY = 384
END_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
# The four label words lead, so that each has merges of its own and thus its own first token.
_CORPUS = [" Đúng", " Sai", " TRUE", " FALSE"] * 50 + [
    "Bạn là một trợ lý y tế. Hãy trả lời Đúng hoặc Sai.\nNhận định: ",
    "\nĐáp án:",
    "Bệnh nhân bị sốt cao kéo dài nên đi khám bác sĩ để được điều trị.",
    "Thuốc kháng sinh không có tác dụng với bệnh do vi rút gây ra.",
]
_QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def make_tiny_base(folder: Path, seed: int = 0) -> Path:
    """Write config.json, model.safetensors and tokenizer files of a tiny random Qwen2; the same seed, the same bytes.

    Two layers of width 32, four heads on two key-value heads, tied embedding, byte-level BPE that covers
    Vietnamese; " Đúng", " Sai", " TRUE" and " FALSE" start with four different tokens.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _train_tokenizer()
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=1), encoding="utf-8")
    config = Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.token_to_id("<|im_end|>"),
        pad_token_id=tokenizer.token_to_id("<|endoftext|>"),
        dtype="float32",
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Qwen2ForCausalLM(config)
        for name, parameter in model.named_parameters():
            if not name.endswith("norm.weight"):
                torch.nn.init.normal_(parameter, std=0.2)  # far enough from zero that margins differ
    model.save_pretrained(folder)
    return folder


def _train_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_QWEN2_SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(END_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_CORPUS, trainer)
    return tokenizer
