"""Where the time of a fast training step goes: kernels by their share, of a step as a graph and of an eager one.

python bench/train_profile.py --out profile.json        # add --tiny --device cpu to rehearse
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
from speed_arms import ROWS_A_STEP, make_examples, make_recipe, make_verifier, synchronize

from medverdict.train.fast import FastEngine, Switches
from medverdict.train.run import make_deterministic

REPEATS = 10


def profile(options: argparse.Namespace, switches: Switches) -> dict[str, Any]:
    """Milliseconds of a step by the clock, in kernels, and by kernel name."""
    recipe = make_recipe(options, 0.1)
    verifier = make_verifier(options, "fp32" if options.device == "cpu" else "bf16", recipe)
    batch = make_examples(ROWS_A_STEP, options)
    engine = FastEngine(verifier, recipe, batch, switches)
    for _ in range(4):
        engine.step(batch, 5e-6, ROWS_A_STEP)
    synchronize()
    started = time.perf_counter()
    for _ in range(REPEATS):
        engine.launch(batch, 5e-6, ROWS_A_STEP)
    synchronize()
    clock = time.perf_counter() - started
    activities = [torch.profiler.ProfilerActivity.CPU]
    if options.device == "cuda":
        activities = [torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as recorded:
        for _ in range(REPEATS):
            engine.launch(batch, 5e-6, ROWS_A_STEP)
        synchronize()
    field = "self_device_time_total" if options.device == "cuda" else "self_cpu_time_total"
    events = sorted(recorded.key_averages(), key=lambda event: -getattr(event, field))
    rows = [(e.key[:110], e.count / REPEATS, getattr(e, field) / REPEATS / 1e3) for e in events]
    shape = engine._pass(batch)[0]
    return {
        "shape": str(shape),
        "milliseconds": clock / REPEATS * 1e3,
        "kernel_milliseconds": sum(row[2] for row in rows),
        "kernels": sum(row[1] for row in rows),
        "by_kernel": [row for row in rows[:30] if row[2] > 0],
    }


def main() -> None:
    """Both ways, printed and stored."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="profile.json")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--base", default="")
    options = parser.parse_args()
    make_deterministic()
    found = {}
    for name, switches in (("graph", Switches()), ("eager", Switches(graph=False))):
        found[name] = profile(options, switches)
        Path(options.out).write_text(json.dumps(found, indent=1), encoding="utf-8")
        print(name, {k: v for k, v in found[name].items() if k != "by_kernel"})
        for key, count, milliseconds in found[name]["by_kernel"][: 22 if name == "graph" else 0]:
            print(f"{milliseconds:8.3f} ms {count:6.1f}x  {key[:100]}")


if __name__ == "__main__":
    main()
