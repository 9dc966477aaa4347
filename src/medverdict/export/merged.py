"""Base and adapter as one model: plain safetensors that transformers loads without medverdict."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from medverdict.errors import ExportError
from medverdict.files import atomic_write, write_json
from medverdict.model.lora import lora_layers
from medverdict.model.verifier import Verifier
from medverdict.records import Run

WEIGHTS = "model.safetensors"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "generation_config.json")
STORED = torch.bfloat16


def merged_weights(verifier: Verifier) -> dict[str, Tensor]:
    """Every weight by its name in the plain architecture, fp32 on the CPU, with (alpha / r) B A added where adapted.

    A tied head is left out, as the library's own files do.
    """
    tensors = {name: p.detach().float().cpu() for name, p in verifier.model.named_parameters() if "lora_" not in name}
    for name, layer in lora_layers(verifier.model):
        update = (layer.lora_B.detach() @ layer.lora_A.detach()) * layer.scale
        tensors[f"{name}.weight"] = tensors.pop(f"{name}.base.weight") + update.float().cpu()
        if layer.base.bias is not None:
            tensors[f"{name}.bias"] = tensors.pop(f"{name}.base.bias")
    return tensors


def answer_metadata(run: Run) -> dict[str, str | float]:
    """What turns a model's logits into the measured verdict; every format carries it."""
    recipe = run.recipe
    return {
        "medverdict.run": run.id,
        "medverdict.prompt": recipe.prompt,
        "medverdict.label_true": recipe.label_true,
        "medverdict.label_false": recipe.label_false,
        "medverdict.threshold": run.calibration.threshold,
        "medverdict.temperature": run.calibration.temperature,
    }


def write_merged(verifier: Verifier, base: Path, folder: Path, run: Run) -> None:
    """Write weights (bf16) with what a verdict needs in their metadata, configuration and tokenizer into `folder`.

    Raises ExportError when a merged weight is not finite.
    """
    tensors = {name: tensor.to(STORED).contiguous() for name, tensor in merged_weights(verifier).items()}
    broken = [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise ExportError(f"{broken[0]} is not finite after merging. The run is damaged; train it again.")
    with atomic_write(folder / WEIGHTS) as file:
        file.write(
            save(tensors, metadata={"format": "pt"} | {key: str(value) for key, value in answer_metadata(run).items()})
        )
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    write_json(folder / "config.json", config | {"dtype": "bfloat16"})
    for name in TOKENIZER_FILES:
        if (base / name).is_file():
            shutil.copy(base / name, folder / name)
