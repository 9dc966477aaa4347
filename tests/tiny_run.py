"""A run of the tiny base, for tests that use a model and don't train one."""

from __future__ import annotations

from pathlib import Path

from medverdict.files import write_jsonl
from medverdict.model.bases import BaseFolder
from medverdict.model.precision import Placement
from medverdict.recipes.recipe import load_recipe
from medverdict.records import Claim, Split
from medverdict.train.manifest import Job
from medverdict.train.run import train_run

SETTINGS = ("epochs=2", "batch_size=4", "lora_rank=4", "learning_rate=1e-2", "warmup_ratio=0")


def make_tiny_run(base: BaseFolder, placement: Placement, folder: Path) -> Path:
    """Train on sixty toy claims and return the run's folder; dev is large enough that it can abstain."""
    claims = []
    for number in range(60):
        label, word = ("TRUE", "tốt") if number % 2 else ("FALSE", "xấu")
        text = f"Thuốc {number} có tác dụng {word}{' cho người bệnh' * (number % 3)}."
        claims.append(Claim(id=f"toy:{number}", text=text, label=label, group=f"g{number}", topic="toy"))
    parts = {}
    for name, rows in (("train", claims[:30]), ("dev", claims[30:])):
        digest = write_jsonl(folder / f"{name}.jsonl", rows)
        parts[name] = Split(name=name, claims=tuple(rows), sha256=digest)
    recipe = load_recipe("quickstart", [*SETTINGS, f"base={base.path}"])
    train_run(Job(recipe, base, parts["train"], parts["dev"], str(folder), ()), placement, folder / "run")
    return folder / "run"
