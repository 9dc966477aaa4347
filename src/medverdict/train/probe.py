"""A training foretold from a few of its own steps: how long, how much memory, and how that splits up."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic

import torch

from medverdict.console import progress
from medverdict.model.prompt import Example
from medverdict.model.verifier import Verifier
from medverdict.predict.score import score_margins
from medverdict.records import Claim
from medverdict.train.engine import Engine
from medverdict.train.fast import FastEngine
from medverdict.train.loop import Position, step_within_memory
from medverdict.train.schedule import Plan, plan_steps, step_rows
from medverdict.train.watch import is_evaluated

PROBED_STEPS = 20
SCORED = {"cpu": 64, "cuda": 20_000}
"""Most dev rows that are scored to see how fast that is."""


@dataclass(frozen=True)
class StepTimes:
    """Seconds of one step on the same rows."""

    first: float
    """Where its shape occurs for the first time."""
    capture: float
    """Where it occurs again and becomes a CUDA graph; a steady step where there are no graphs."""
    steady: float
    """From then on."""


@dataclass(frozen=True)
class Shapes:
    """How many sizes of steps a training has."""

    seen: int
    """Different ones."""
    repeated: int
    """Those that come twice or more, each captured once."""


@dataclass(frozen=True)
class Forecast:
    """What a training will cost, as its probe foretells."""

    plan: Plan
    shapes: Shapes
    times: StepTimes
    """Means over the probed steps."""
    evaluations: int
    """Of dev while training, besides the untrained one."""
    evaluation_seconds: float
    """Each."""
    micro_batch: int
    """Rows in one pass, less than the recipe's where memory ran out."""
    peak_bytes: int | None
    """Memory that torch held at most, the longest step and dev included; None on a CPU."""

    @property
    def step_seconds(self) -> float:
        """All steps, first times and captures included."""
        times, shapes = self.times, self.shapes
        starts = shapes.seen * (times.first - times.steady) + shapes.repeated * (times.capture - times.steady)
        return self.plan.steps * times.steady + max(0.0, starts)

    @property
    def seconds(self) -> float:
        """Steps and all evaluations, the untrained one included."""
        return self.step_seconds + (self.evaluations + 1) * self.evaluation_seconds


def probe_training(
    verifier: Verifier, engine: Engine, examples: Sequence[Example], dev: Sequence[Claim], probed: int = PROBED_STEPS
) -> Forecast:
    """Run steps spread evenly over the whole training, the longest first; the weights do not outlive it.

    Raises RunError when a single row does not fit into memory.
    """
    recipe = verifier.recipe
    plan = plan_steps(len(examples), recipe)
    verifier.placement.reset_peak()
    position = Position(recipe.batch_size)
    batches = [[examples[row] for row in step_rows(n, plan, recipe.seed)] for n in probed_steps(plan, probed)]
    batches.sort(key=lambda batch: -sum(len(example.ids) for example in batch))
    timed = []
    with progress(f"probe, {len(batches)} steps", sum(map(len, batches))) as bar:
        for batch in batches:
            timed.append(time_step(verifier, engine, batch, position))
            bar.advance(len(batch))
    if len(timed) > 1:
        timed = timed[1:]  # the very first also pays for what a device does once
    mean = [statistics.fmean(getattr(t, name) for t in timed) for name in ("first", "capture", "steady")]
    scored = time_scoring(verifier, dev)
    return Forecast(
        plan=plan,
        shapes=count_shapes(engine, examples, plan, recipe.seed),
        times=StepTimes(*mean),
        evaluations=sum(is_evaluated(step, plan, recipe.eval_every) for step in range(1, plan.steps + 1)),
        evaluation_seconds=scored,
        micro_batch=position.micro_batch,
        peak_bytes=verifier.placement.peak_bytes(),
    )


def probed_steps(plan: Plan, probed: int) -> list[int]:
    """Step numbers spread evenly, all where there are fewer."""
    count = min(probed, plan.steps)
    return [number * plan.steps // count for number in range(count)]


def time_step(verifier: Verifier, engine: Engine, batch: Sequence[Example], position: Position) -> StepTimes:
    """The same step until it is in its steady state; where nothing is captured, that is the second time."""
    graphs = isinstance(engine, FastEngine) and engine.uses_graphs
    seconds = []
    for _ in range(4 if graphs else 2):
        started = monotonic()
        step_within_memory(verifier, engine, batch, verifier.recipe.learning_rate, position)
        synchronize(verifier)
        seconds.append(monotonic() - started)
    return StepTimes(seconds[0], seconds[1], seconds[-1])


def count_shapes(engine: Engine, examples: Sequence[Example], plan: Plan, seed: int) -> Shapes:
    """Sizes of all steps to come, found without running them; none for an engine whose steps have no start."""
    if not (isinstance(engine, FastEngine) and engine.uses_graphs):
        return Shapes(0, 0)
    steps = ([examples[row] for row in step_rows(step, plan, seed)] for step in range(plan.steps))
    counts = Counter(engine.shape_of(batch) for batch in steps)
    return Shapes(len(counts), sum(count > 1 for count in counts.values()))


def time_scoring(verifier: Verifier, dev: Sequence[Claim]) -> float:
    """Seconds for all of dev, from rows spread over it; scored twice where kernels must be chosen first."""
    cuda = verifier.placement.device.type == "cuda"
    every = max(1, -(-len(dev) // SCORED[verifier.placement.device.type]))
    texts = [claim.text for claim in dev[::every]]
    seconds = 0.0
    for _ in range(2 if cuda else 1):
        started = monotonic()
        score_margins(verifier, texts)
        seconds = monotonic() - started
    return seconds * len(dev) / max(1, len(texts))


def synchronize(verifier: Verifier) -> None:
    """Wait for the device."""
    if verifier.placement.device.type == "cuda":
        torch.cuda.synchronize(verifier.placement.device)
