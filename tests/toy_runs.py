"""Small finished runs on the tiny base, for tests that start where training ends."""

from __future__ import annotations

from pathlib import Path

import torch

from medverdict.data.prepare import Shares, prepare
from medverdict.files import write_jsonl
from medverdict.model.bases import BaseFolder
from medverdict.model.precision import Placement
from medverdict.recipes.recipe import load_recipe
from medverdict.records import Claim
from medverdict.train.manifest import Job
from medverdict.train.run import train_run


def toy_rows(count: int = 80) -> list[Claim]:
    """Claims whose label hangs on one word."""
    diseases = ("hen", "lao", "sởi", "gút", "zona", "cúm", "ho gà", "bạch hầu")
    rows = []
    for number in range(count):
        label = "TRUE" if number % 2 else "FALSE"
        word = "tốt" if label == "TRUE" else "xấu"
        text = f"{number * 7919} {diseases[number % 8]} mức {number * 31}: kết quả {word} {number * 104729}."
        rows.append(Claim(id=f"toy:{number}", text=text, label=label, group=f"g{number}"))
    return rows


def prepare_toy(folder: Path) -> Path:
    """A prepared folder of toy rows."""
    write_jsonl(folder.with_suffix(".jsonl"), toy_rows())
    prepare([folder.with_suffix(".jsonl")], folder, shares=Shares(dev=0.3, test=0.2), seed=0)
    return folder


def train_toy(base: BaseFolder, out: Path, seed: int = 0, data: Path | None = None) -> Path:
    """A LoRA run of two epochs; a second call with the same `data` gives its sibling by another seed."""
    from medverdict.data.prepare import load_prepared

    data = data or prepare_toy(out.with_name(f"{out.name}-data"))
    settings = ["epochs=2", "batch_size=4", "lora_rank=4", "learning_rate=1e-2", "warmup_ratio=0", f"seed={seed}"]
    recipe = load_recipe("quickstart", [*settings, f"base={base.path}"])
    splits = load_prepared(data).splits
    job = Job(recipe, base, splits["train"], splits["dev"], str(data), ())
    train_run(job, Placement(torch.device("cpu"), "fp32"), out)
    return out
