"""Is the fast engine right on this device? Compared with the plain engine, its graphs with eager, itself with itself.

python bench/fast_check.py --out fast_check.json        # add --tiny --device cpu to rehearse
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from speed_arms import ROWS_A_STEP, T4_GIB, cap_memory, make_examples, make_recipe, make_verifier, memory

from medverdict.model.prompt import Example
from medverdict.model.verifier import Verifier
from medverdict.train.fast import FastEngine, Switches
from medverdict.train.plain import PlainEngine
from medverdict.train.random_state import random_state, set_random_state
from medverdict.train.run import make_deterministic

STEPS = 20
T4_STEPS = 63
"""1,008 prompts."""
RATE = 1e-3
CALM_RATE = 2e-4
"""At which a real base's losses go down and do not jump."""
CALM_SCALE = 1024.0
"""Of the losses in fp16, low enough that no step overflows."""


def build(options: argparse.Namespace, precision: str, recipe: Any) -> Verifier:
    """A verifier whose adapters are not at their zero start."""
    verifier = make_verifier(options, precision, recipe)  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(1)
    start_of_b = 0.001 if options.base else 0.02  # .02 throws a real base off: its loss then begins at 20
    with torch.no_grad():
        for name, parameter in verifier.trained_parameters():
            std = start_of_b if "lora_B" in name else 0.03
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * std)
    return verifier


def gradient(engine: Any, verifier: Verifier, batch: list[Example]) -> tuple[float, torch.Tensor]:
    """Loss and whole gradient of a step at rate 0, from AdamW's first moment; the loss scale is lowered for fp16."""
    before = [p.detach().clone() for _, p in verifier.trained_parameters()]
    result = engine.step(batch, 0.0, 16)
    while result.skipped:
        result = engine.step(batch, 0.0, 16)
    averages = {k: t for k, t in engine.state().tensors.items() if k.endswith("exp_avg")}
    assert all(torch.equal(a, p) for a, (_, p) in zip(before, verifier.trained_parameters(), strict=True))
    if isinstance(engine, FastEngine):
        (flat,) = averages.values()
        parts = engine.pieces(flat)
    else:
        parts = [averages[f"{n}.exp_avg"] for n in range(len(averages))]
    return result.loss, torch.cat([p.flatten() for p in parts]).double() / 0.1


def weights(verifier: Verifier) -> torch.Tensor:
    """All trained weights in one vector."""
    return torch.cat([p.detach().flatten() for _, p in verifier.trained_parameters()])


def train(engine: Any, batches: list[list[Example]]) -> list[float]:
    """Losses of some steps, after the fp16 scaler has found its scale, so that all engines move at the same steps."""
    while engine.step(batches[0], 0.0, 16).skipped:
        pass
    return [engine.step(batch, RATE, 16).loss for batch in batches]


def rms_norm(norm: Any, states: torch.Tensor) -> torch.Tensor:
    """Root-mean-square norm in the format that the states come in; apart from the fast body's, which is checked."""
    return torch.nn.functional.rms_norm(states, norm.weight.shape, norm.weight, norm.variance_epsilon)


def check_gradients(options: argparse.Namespace, examples: list[Example]) -> dict[str, Any]:
    """Distance to the plain gradient in fp32, and to that in fp64, for either engine in each precision.

    The fp64 one has its norms in fp64 too, and only its logits and rotary angles in fp32.
    """
    recipe = make_recipe(options, 0.0).model_copy(update={"clip_norm": 0.0})
    batch = examples[:ROWS_A_STEP]
    verifier = build(options, "fp32", recipe)
    loss, exact = gradient(PlainEngine(verifier, recipe), verifier, batch)
    verifier = build(options, "fp32", recipe)
    for module in verifier.model.double().modules():
        if hasattr(module, "variance_epsilon"):  # transformers' norm goes through fp32
            module.forward = partial(rms_norm, module)
    _, truth = gradient(PlainEngine(verifier, recipe), verifier, batch)
    found: dict[str, Any] = {"loss": loss}
    for precision in options.precisions.split(","):
        for name, switches in (("plain", None), ("fast", Switches()), ("fast, no flash", Switches(flash=False))):
            verifier = build(options, precision, recipe)
            engine = FastEngine(verifier, recipe, examples, switches) if switches else PlainEngine(verifier, recipe)
            loss, own = gradient(engine, verifier, batch)
            apart = {k: float((own - g).norm() / g.norm()) for k, g in (("apart", exact), ("apart_from_fp64", truth))}
            found[f"{precision} {name}"] = {"loss": loss, **apart}
    return found


def check_curves(options: argparse.Namespace, examples: list[Example], precision: str) -> dict[str, Any]:
    """Twenty steps over few shapes, so that graphs replay: against plain, against eager, again, and resumed."""
    few = [examples[n % 4 * ROWS_A_STEP : (n % 4 + 1) * ROWS_A_STEP] for n in range(STEPS)]
    recipe = make_recipe(options, 0.0)
    runs: dict[str, tuple[list[float], torch.Tensor]] = {}
    for name, switches in (("plain", None), ("eager", Switches(graph=False)), ("graph", Switches())):
        verifier = build(options, precision, recipe)
        engine = FastEngine(verifier, recipe, examples, switches) if switches else PlainEngine(verifier, recipe)
        runs[name] = train(engine, few), weights(verifier)
    dropped = make_recipe(options, 0.1)
    for name in ("dropout", "dropout again", "dropout resumed", "dropout eager"):
        torch.manual_seed(3)
        verifier = build(options, precision, dropped)
        torch.manual_seed(3)
        engine = FastEngine(verifier, dropped, examples, Switches(graph="eager" not in name))
        if name == "dropout resumed":
            losses = train(engine, few[:10])
            state, chance = engine.state(), random_state(verifier.placement.device)
            kept = {k: t.clone() for k, t in state.tensors.items()}
            old = [p.detach().clone() for _, p in verifier.trained_parameters()]
            verifier = build(options, precision, dropped)
            engine = FastEngine(verifier, dropped, examples, Switches())
            with torch.no_grad():
                for value, (_, parameter) in zip(old, verifier.trained_parameters(), strict=True):
                    parameter.copy_(value)
            engine.load_state(type(state)(kept, state.numbers))
            set_random_state(chance, verifier.placement.device)
            runs[name] = losses + [engine.step(batch, RATE, 16).loss for batch in few[10:]], weights(verifier)
        else:
            runs[name] = train(engine, few), weights(verifier)
    pairs = [("eager", "plain"), ("graph", "eager"), ("dropout again", "dropout"), ("dropout resumed", "dropout")]
    pairs.append(("dropout eager", "dropout"))
    return {
        "losses": {name: losses[:4] + losses[-2:] for name, (losses, _) in runs.items()},
        **{
            f"{a} against {b}": distances(runs[a], runs[b]) | {"same bytes": torch.equal(runs[a][1], runs[b][1])}
            for a, b in pairs
        },
    }


def check_spread(options: argparse.Namespace, examples: list[Example], precision: str) -> dict[str, Any]:
    """Twenty steps from an adapter's usual start: how far apart rounding brings plain itself, and how far fast.

    Plain's own runs differ in their micro-batches alone. Distances are from plain in one pass and from plain in fp32.
    """
    batches = [examples[n * ROWS_A_STEP : (n + 1) * ROWS_A_STEP] for n in range(STEPS)]
    recipe = make_recipe(options, 0.0)
    runs: dict[str, tuple[list[float], torch.Tensor]] = {}
    for name, of, micro_batch, switches in (
        ("plain fp32", "fp32", ROWS_A_STEP, None),
        ("plain", precision, ROWS_A_STEP, None),
        ("plain in two", precision, ROWS_A_STEP // 2, None),
        ("plain in four", precision, ROWS_A_STEP // 4, None),
        ("plain in eight", precision, ROWS_A_STEP // 8, None),
        ("fast", precision, ROWS_A_STEP, Switches()),
        ("fast, no flash", precision, ROWS_A_STEP, Switches(flash=False)),
    ):
        torch.manual_seed(0)
        verifier = make_verifier(options, of, recipe)  # type: ignore[arg-type]
        engine: Any = FastEngine(verifier, recipe, examples, switches) if switches else PlainEngine(verifier, recipe)
        if of == "fp16":  # a scale at which none skips a step, or they would differ by whole steps
            state = engine.state()
            engine.load_state(type(state)(state.tensors, state.numbers | {"scale": CALM_SCALE}))
        steps = [engine.step(batch, CALM_RATE, micro_batch) for batch in batches]
        if any(step.skipped for step in steps):
            raise RuntimeError(f"{name} skipped a step, so losses cannot be compared step by step")
        runs[name] = [step.loss for step in steps], weights(verifier)
    references = ("plain", "plain fp32")
    found = {name: {f"from {other}": distances(run, runs[other]) for other in references} for name, run in runs.items()}
    own = [run for name, run in runs.items() if name.startswith("plain") and name != "plain fp32"]
    pairs = [distances(a, b) for a, b in itertools.combinations(own, 2)]
    return found | {"plain's own, at most": {key: max(pair[key] for pair in pairs) for key in pairs[0]}}


def distances(run: tuple[list[float], torch.Tensor], other: tuple[list[float], torch.Tensor]) -> dict[str, float]:
    """How far a run is from another: largest and mean difference of a loss, relative distance of the final weights."""
    gaps = [abs(a - b) for a, b in zip(run[0], other[0], strict=True)]
    weights_apart = float((run[1] - other[1]).norm() / other[1].norm())
    return {
        "largest loss difference": max(gaps),
        "mean loss difference": statistics.mean(gaps),
        "weights apart": weights_apart,
    }


def check_t4(options: argparse.Namespace, examples: list[Example]) -> dict[str, Any]:
    """A thousand prompts on the path a T4 takes (fp16 with scaler, no FlashAttention, 15 GiB), beside bf16."""
    options = argparse.Namespace(**vars(options) | {"layers": 24})
    found: dict[str, Any] = {}
    losses: dict[str, list[float]] = {}
    for precision, flash in (("bf16", True), ("fp16", False)):
        if precision == "fp16":
            cap_memory(T4_GIB)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        recipe = make_recipe(options, 0.0)
        verifier = build(options, precision, recipe)
        engine = FastEngine(verifier, recipe, examples, Switches(flash=flash))
        batches = [examples[n : n + ROWS_A_STEP] for n in range(0, len(examples), ROWS_A_STEP)]
        results = [engine.step(batch, RATE / 20, ROWS_A_STEP) for batch in batches]
        losses[precision] = [result.loss for result in results]
        found[precision] = {
            "steps": len(results),
            "overflows_at": [n + 1 for n, result in enumerate(results) if result.skipped],
            "scale": engine.state().numbers["scale"],
            "first_losses": losses[precision][:3],
            "last_losses": losses[precision][-3:],
            **memory(),
        }
    pairs = zip(losses["bf16"], losses["fp16"], strict=True)
    return found | {"largest_loss_difference": max(abs(a - b) for a, b in pairs)}


def main() -> None:
    """All checks, as JSON; one that fails does not stop the others."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="fast_check.json")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--precisions", default="fp32,bf16,fp16")
    parser.add_argument("--base", default="", help="folder of a base: real weights, and claims as rows")
    options = parser.parse_args()
    make_deterministic()
    examples = make_examples(ROWS_A_STEP * T4_STEPS, options)
    checks: dict[str, Callable[[], dict[str, Any]]] = {
        "gradients": lambda: check_gradients(options, examples[: ROWS_A_STEP * 4])
    }
    for precision in options.precisions.split(","):
        checks[f"curves {precision}"] = lambda of=precision: check_curves(options, examples[: ROWS_A_STEP * 4], of)
        checks[f"spread {precision}"] = lambda of=precision: check_spread(options, examples, of)
    checks["t4 path"] = lambda: check_t4(options, examples)
    found: dict[str, Any] = {}
    for name, check in checks.items():
        started = time.monotonic()
        try:
            found[name] = check()
        except Exception:
            found[name] = traceback.format_exc()
        found[f"seconds of {name}"] = time.monotonic() - started
        Path(options.out).write_text(json.dumps(found, indent=1), encoding="utf-8")
        print(f"{name}: {json.dumps(found[name], indent=1)}", flush=True)


if __name__ == "__main__":
    main()
