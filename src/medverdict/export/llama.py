"""Ask llama.cpp for the margin of the two label words, through its Python binding `xllamacpp`."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from medverdict.errors import ExportError
from medverdict.model.prompt import Encoder, render
from medverdict.records import Recipe

# Lifts both label words over every other word; it is the same for both, so their difference stays.
_BIAS = 80.0
_CONTEXT = 4096


class LlamaScorer:
    """One .gguf file, loaded on the CPU. Raises ExportError without the binding, or when it cannot load the file."""

    def __init__(self, path: Path, recipe: Recipe, encoder: Encoder) -> None:
        binding = _binding()
        settings = binding.CommonParams()
        settings.model.path = str(path)
        settings.n_ctx = _CONTEXT
        settings.n_parallel = 1
        settings.cpuparams.n_threads = torch.get_num_threads()  # more than there are free cores, and they all spin
        settings.warmup = False
        settings.verbosity = -1
        try:
            self._server = binding.Server(settings)
        except Exception as error:  # the binding raises bare RuntimeError, ValueError and others
            raise ExportError(f"{path}: llama.cpp cannot load it: {error}.") from error
        self._prompt = recipe.prompt
        self._true, self._false = encoder.label_ids

    def margins(self, claims: Sequence[str], advance: Callable[[int], None] = lambda rows: None) -> np.ndarray:
        """logit(label_true) - logit(label_false) after each claim's prompt: (n,) in float64.

        The prompt goes in as text, so that llama.cpp's own tokenizer is part of what is checked.
        """
        found = []
        for claim in claims:
            found.append(self._margin(render(self._prompt, claim)))
            advance(1)
        return np.array(found)

    def _margin(self, prompt: str) -> float:
        answer = self._server.handle_completions(
            {
                "prompt": prompt,
                "n_predict": 1,
                "n_probs": 2,
                "post_sampling_probs": True,
                "samplers": ["temperature"],
                "temperature": 1.0,
                "logit_bias": [[self._true, _BIAS], [self._false, _BIAS]],
                "cache_prompt": True,
            }
        )
        shares = {word["id"]: word["prob"] for word in answer["choices"][0]["logprobs"]["content"][0]["top_probs"]}
        if set(shares) != {self._true, self._false}:
            raise ExportError(f"llama.cpp compared tokens {sorted(shares)}, expected {self._true} and {self._false}.")
        tiny = np.finfo(np.float32).tiny
        return math.log(max(shares[self._true], tiny)) - math.log(max(shares[self._false], tiny))


def _binding() -> Any:
    """The module; its types are not published."""
    try:
        return importlib.import_module("xllamacpp")
    except ImportError:
        raise ExportError(
            "GGUF export is checked against llama.cpp and needs its binding. Install it with: "
            "pip install 'medverdict[gguf]'."
        ) from None
