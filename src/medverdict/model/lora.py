"""Low-rank adapters (Hu et al. 2021, arXiv:2106.09685), stored as PEFT stores them so that other tools load them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from medverdict.errors import RecipeError, RunError
from medverdict.files import atomic_write, write_json
from medverdict.records import Recipe

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
_PREFIX = "base_model.model."


class LoraLinear(nn.Module):
    """A frozen linear layer plus (alpha / r) B A x, with dropout on x; A and B are fp32."""

    def __init__(self, base: nn.Linear, rank: int, alpha: float, dropout: float) -> None:
        super().__init__()
        self.base = base
        self.scale = alpha / rank
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.enabled = True
        device = base.weight.device
        self.lora_A = nn.Parameter(torch.empty(rank, base.in_features, dtype=torch.float32, device=device))
        self.lora_B = nn.Parameter(torch.zeros(base.out_features, rank, dtype=torch.float32, device=device))
        nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))  # as PEFT does; B = 0 makes the start exact

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        out: Tensor = self.base(x)
        if not self.enabled:
            return out
        low = nn.functional.linear(self.dropout(x), self.lora_A)
        return out + nn.functional.linear(low, self.lora_B) * self.scale


def add_lora(model: nn.Module, recipe: Recipe) -> int:
    """Freeze the model and put an adapter on every layer that the recipe targets.

    Returns the number of adapter parameters. Raises RecipeError when a target names no linear layer.
    """
    model.requires_grad_(False)
    found = _targets(model, recipe.lora_targets)
    missing = set(recipe.lora_targets) - {name.rpartition(".")[2] for name, _ in found}
    if missing:
        raise RecipeError(
            f"recipe {recipe.name}: lora_targets {', '.join(sorted(missing))} name no linear layer of this base; "
            f"it has {', '.join(sorted(_linear_names(model)))}."
        )
    for name, linear in found:
        parent, _, last = name.rpartition(".")
        adapted = LoraLinear(linear, recipe.lora_rank, recipe.lora_alpha, recipe.lora_dropout)
        setattr(model.get_submodule(parent), last, adapted)
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def lora_layers(model: nn.Module) -> Iterator[tuple[str, LoraLinear]]:
    """Name and layer of every adapted layer, in model order."""
    for name, module in model.named_modules():
        if isinstance(module, LoraLinear):
            yield name, module


def adapter_is_zero(model: nn.Module) -> bool:
    """Whether no B has moved: the adapter changes nothing."""
    return not any(bool(layer.lora_B.any()) for _, layer in lora_layers(model))


@contextmanager
def without_lora(model: nn.Module) -> Iterator[None]:
    """Answer as the untrained base for a while."""
    layers = [layer for _, layer in lora_layers(model)]
    for layer in layers:
        layer.enabled = False
    try:
        yield
    finally:
        for layer in layers:
            layer.enabled = True


def save_adapter(model: nn.Module, recipe: Recipe, folder: Path) -> None:
    """Write adapter weights and config in PEFT's format: fp32, or fp16 where that loses nothing (averaged adapters)."""
    tensors = {}
    for name, layer in lora_layers(model):
        for part in ("lora_A", "lora_B"):
            tensors[f"{_PREFIX}{name}.{part}.weight"] = getattr(layer, part).detach().cpu().contiguous()
    halves = {name: tensor.half() for name, tensor in tensors.items()}
    if all(torch.equal(halves[name].float(), tensor) for name, tensor in tensors.items()):
        tensors = halves
    with atomic_write(folder / WEIGHTS) as file:
        file.write(save(tensors, metadata={"format": "pt"}))
    write_json(folder / CONFIG, _peft_config(recipe))


def load_adapter(model: nn.Module, folder: Path) -> None:
    """Fill the adapters of `model` from a folder in PEFT's format.

    Raises RunError when names or shapes are not exactly those of the adapted model.
    """
    path = folder / WEIGHTS
    try:
        stored = load_file(path)
    except (OSError, SafetensorError) as error:
        raise RunError(f"{path}: not a readable adapter: {error}. Train it again or copy the run again.") from None
    fill_adapter(model, stored, path)


def fill_adapter(model: nn.Module, stored: Mapping[str, Tensor], where: Path) -> None:
    """Fill the adapters of `model` with tensors by PEFT's names, which came from `where`.

    Raises RunError when names or shapes are not exactly those of the adapted model.
    """
    wanted = {f"{_PREFIX}{n}.{p}.weight": getattr(m, p) for n, m in lora_layers(model) for p in ("lora_A", "lora_B")}
    wrong = sorted(set(stored) ^ set(wanted)) or [n for n, t in wanted.items() if stored[n].shape != t.shape]
    if wrong:
        raise RunError(f"{where}: does not fit this base and recipe; first difference at {wrong[0]}.")
    with torch.no_grad():
        for name, parameter in wanted.items():
            parameter.copy_(stored[name])


def _peft_config(recipe: Recipe) -> dict[str, object]:
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": recipe.base,
        "r": recipe.lora_rank,
        "lora_alpha": recipe.lora_alpha,
        "lora_dropout": recipe.lora_dropout,
        "target_modules": list(recipe.lora_targets),
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
    }


def _targets(model: nn.Module, last_names: tuple[str, ...]) -> list[tuple[str, nn.Linear]]:
    named = model.named_modules()
    return [(n, m) for n, m in named if isinstance(m, nn.Linear) and n.rpartition(".")[2] in last_names]


def _linear_names(model: nn.Module) -> set[str]:
    return {name.rpartition(".")[2] for name, module in model.named_modules() if isinstance(module, nn.Linear)}
