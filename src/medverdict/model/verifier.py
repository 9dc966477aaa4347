"""CLAIM -> LOGIT: a causal language model that answers by the margin of two label words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import AutoModelForCausalLM
from transformers.utils import logging

from medverdict.errors import RunError
from medverdict.model.lora import add_lora
from medverdict.model.precision import Placement
from medverdict.model.prompt import Encoder
from medverdict.records import Recipe

if TYPE_CHECKING:
    from medverdict.model.bases import BaseFolder


logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # reading weights takes a second; only our own bars speak of rows


class Verifier:
    """A base, its adapter where the recipe has one, and the encoder: all that turns a claim into a margin."""

    def __init__(self, model: nn.Module, encoder: Encoder, placement: Placement, recipe: Recipe) -> None:
        self.model = model
        self._body = model.get_submodule("model")
        self._head = model.get_submodule("lm_head")
        self.encoder = encoder
        self.placement = placement
        self.recipe = recipe

    @classmethod
    def load(cls, base: BaseFolder, recipe: Recipe, placement: Placement) -> Verifier:
        """Read the base from its folder and prepare it for the recipe's method.

        Frozen weights are stored in the placement's format, trained ones in fp32.
        """
        torch.manual_seed(recipe.seed)  # the adapter's start
        dtype = torch.float32 if recipe.method == "full" else placement.dtype
        try:
            model: nn.Module = AutoModelForCausalLM.from_pretrained(
                base.path, dtype=dtype, attn_implementation="sdpa", local_files_only=True, trust_remote_code=False
            )
            tokenizer = Tokenizer.from_file(str(base.path / "tokenizer.json"))
        except Exception as error:  # the readers of both files raise whatever they like, bare Exception included
            raise RunError(f"{base.path}: the base cannot be loaded: {error}") from error
        model = model.to(placement.device).eval()
        if recipe.method == "lora":
            add_lora(model, recipe)
        else:
            model.requires_grad_(recipe.method == "full")
        return cls(model, Encoder(tokenizer, recipe, end_token(model)), placement, recipe)

    def parameter_count(self) -> int:
        """All parameters, tied ones once, adapter included."""
        return sum(p.numel() for p in self.model.parameters())

    def trained_parameters(self) -> list[tuple[str, nn.Parameter]]:
        """Name and parameter of all that the optimizer moves."""
        return [(name, p) for name, p in self.model.named_parameters() if p.requires_grad]

    @torch.no_grad()
    def put_back(self, weights: Mapping[str, Tensor]) -> None:
        """Copy weights of another moment, by name, into all trained parameters, in place."""
        for name, parameter in self.trained_parameters():
            parameter.copy_(weights[name])

    def hidden(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """Last hidden states (rows, longest, width) of right-padded token rows.

        No mask: attention is causal and pads stand to the right, so no real token ever sees one.
        """
        ids = pad_right(rows).to(self.placement.device)
        with self.placement.autocast():
            state: Tensor = self._body(input_ids=ids, use_cache=False).last_hidden_state
        return state

    def head(self, states: Tensor) -> Tensor:
        """Logits (..., vocabulary) of hidden states (..., width)."""
        with self.placement.autocast():
            logits: Tensor = self._head(states)
        return logits.float()

    @torch.inference_mode()
    def margins(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """`margins_with_gradient` without a gradient: (rows,) in fp32 on the CPU."""
        return self.margins_with_gradient(prompts).cpu()

    def margins_with_gradient(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """logit(label_true) - logit(label_false) at each prompt's last token: (rows,) in fp32 on the device.

        Only the difference of the two label rows of the head is multiplied, in fp32.
        """
        states = self.hidden(prompts)
        last = torch.tensor([len(p) - 1 for p in prompts], device=states.device)
        at_answer = states[torch.arange(len(prompts), device=states.device), last].float()
        return at_answer @ self.label_direction()

    def label_direction(self) -> Tensor:
        """The difference (width,) of the head's rows for the two label words, in fp32."""
        true_id, false_id = self.encoder.label_ids
        weight = self._head.get_parameter("weight")
        return weight[true_id].float() - weight[false_id].float()


def end_token(model: nn.Module) -> int | None:
    """The id with which this base ends a text, the first where its configuration names several."""
    found = getattr(model.config, "eos_token_id", None)
    return found[0] if isinstance(found, list) else found


def pad_right(rows: Sequence[Sequence[int]]) -> Tensor:
    """Token rows as one (rows, longest) tensor; token 0 fills up, and nothing looks at it."""
    width = max(map(len, rows))
    padded = torch.zeros(len(rows), width, dtype=torch.long)
    for number, row in enumerate(rows):
        padded[number, : len(row)] = torch.tensor(row, dtype=torch.long)
    return padded
