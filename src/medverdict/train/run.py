"""RECIPE + SPLITS -> RUN: a folder that proves itself, its manifest written last."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from medverdict.console import progress, say
from medverdict.errors import GateError, RunError
from medverdict.model.precision import Placement
from medverdict.model.prompt import Encoder, Example
from medverdict.model.verifier import Verifier, end_token
from medverdict.predict.load import MANIFEST, read_run
from medverdict.recipes.recipe import recipe_sha256
from medverdict.records import Claim, HistoryRow, Run
from medverdict.train.checkpoint import Checkpoint
from medverdict.train.choose import choose_engine
from medverdict.train.identity import Identity, identify
from medverdict.train.loop import train_steps
from medverdict.train.manifest import Job, Outcome, hold_to_budget, write_run
from medverdict.train.padding import fill_up
from medverdict.train.schedule import plan_steps
from medverdict.train.session import begin, go_on
from medverdict.train.starting import begin_from
from medverdict.train.watch import DevSet
from medverdict.train.work import Cadence, WorkFolder, followed_work, open_work, partial_folder
from medverdict.train.world import World, join_world

EVERY = "5m"
"""Between checkpoints: what a cut may cost at most."""


def train_run(job: Job, placement: Placement, out: Path, resume: bool = False, checkpoint_every: str = EVERY) -> Run:
    """Train, calibrate on dev and write the run folder; with `resume`, go on where a cut left it.

    Under torchrun all processes train the one run, and the first of them writes it. Raises GateError when a check of
    the training itself fails. Then, when the disk is full, and on Ctrl-C, the checkpoints written so far stay in
    OUT.partial; without one, nothing is left.
    """
    cadence = Cadence(checkpoint_every)
    with join_world(placement) as world:
        finished = world.agree(finished_run(out, job) if resume and world.first else None)
        if finished:
            return finished
        with open_work(out, resume) if world.first else followed_work(out) as work:
            make_deterministic()
            placement.reset_peak()  # before the base, whose weights count
            verifier = Verifier.load(job.base, job.recipe, placement)
            if job.start:
                begin_from(verifier, job.start)
            hold_to_budget(job, verifier)
            say(f"{job.recipe.name} on {job.base.info.name}, {placement.device_name}, {placement.precision}")
            examples = encode(verifier.encoder, job.train.claims)
            examples = fill_up(examples, job.recipe.supervised_padding, end_token(verifier.model))
            outcome = run_training(verifier, examples, job, work, cadence, world)
            outcome = replace(outcome, peak_bytes=placement.peak_bytes())
            run = write_result(work, out, job, verifier, outcome, world) if world.first else None
        run = world.agree(run)
        assert run is not None, "the first process returned one"
        return run


def write_result(work: WorkFolder, out: Path, job: Job, verifier: Verifier, outcome: Outcome, world: World) -> Run:
    """The run folder, put together in the working folder and then moved to `out`."""
    with work.result(out) as folder:
        return write_run(folder, job, verifier, outcome, world.size)


def finished_run(out: Path, job: Job) -> Run | None:
    """The run at `out`, if this training is done already. Raises RunError when it is another training's."""
    if not (out / MANIFEST).is_file():
        return None
    run = read_run(out)
    start = (job.start.run, job.start.sha256) if job.start else ()
    told = (recipe_sha256(job.recipe), job.base.info.sha256, job.train.sha256, job.dev.sha256, start)
    if told != (run.recipe_sha256, run.base.sha256, run.splits["train"], run.splits["dev"], run.started_from):
        raise RunError(f"{out}: holds {run.id}, a finished run of another recipe, base or data. Choose another --out.")
    shutil.rmtree(partial_folder(out), ignore_errors=True)  # of a process that was killed with its work done
    say(f"{out} is finished already.")
    return run


def make_deterministic() -> None:
    """Ask every operation for its deterministic form, so that a seed gives the same bytes twice.

    Matrix products on a GPU need a workspace of fixed size for it, asked for before the first of them.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    # it would be a kernel for each tensor, to fill memory that nothing reads
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False


def encode(encoder: Encoder, claims: Sequence[Claim]) -> list[Example]:
    """Training rows as tokens, checked and shown: three rows with what the loss will see of each.

    Raises GateError when what is supervised is not exactly the answer, or the claim where the recipe teaches text.
    """
    taught, examples = encoder.taught(claims), encoder.examples(claims)
    for claim, example in zip(taught, examples, strict=True):
        check_supervision(encoder, claim, example)
    for claim, example in list(zip(taught, examples, strict=True))[:3]:
        prompt, answer = example.ids[: -example.answer_length], example.ids[-example.answer_length :]
        say(f"  prompt     {encoder.decode(prompt)!r}\n  supervised {encoder.decode(answer)!r}  [{claim.label}]")
    return examples


def check_supervision(encoder: Encoder, claim: Claim, example: Example) -> None:
    """The supervised tokens must read as the label word, or as the claim where the recipe teaches text."""
    expected = encoder.supervised_texts(claim)
    supervised = encoder.decode(example.ids[-example.answer_length :]) if example.answer_length else ""
    if supervised not in expected:
        raise GateError(
            f"wrong supervision of claim {claim.id}: the loss would see {supervised!r}, expected {expected[0]!r}. "
            "The prompt template, the label words and this base's tokenizer do not fit together."
        )


def run_training(
    verifier: Verifier, examples: Sequence[Example], job: Job, work: WorkFolder, cadence: Cadence, world: World
) -> Outcome:
    """Train with evaluations and checkpoints, from the start or from a checkpoint, and leave the weights to keep."""
    dev = DevSet(verifier, job.dev.claims, world)
    if job.recipe.method == "zero-shot":
        zero_shot = dev.score("dev, untrained")
        return Outcome((dev.untrained_row(zero_shot),), zero_shot, zero_shot, best_step=0)
    engine = choose_engine(verifier, examples, job.engine, world)
    identity = identify(job, verifier, engine, world)
    stored = newest_checkpoint(work, identity, world)
    session = go_on(stored, verifier, engine, dev, identity) if stored else begin(verifier, engine, dev, identity)
    plan = plan_steps(len(examples), job.recipe)
    with progress("train", plan.rows_seen, plan.rows_after(session.position.step)) as bar:

        def after_step(row: HistoryRow) -> None:
            bar.advance(row.rows - plan.rows_after(row.step - 1))
            session.finish_step(row, plan)
            if world.first and cadence.due(row.step):
                with cadence.measured():
                    work.write(session.snapshot())

        train_steps(verifier, engine, examples, session.position, after_step, world)
    return replace(session.outcome(), engine=identity.engine)


def newest_checkpoint(work: WorkFolder, identity: Identity, world: World) -> Checkpoint | None:
    """The first process looks for the newest whole checkpoint; all others read the same."""
    stored = work.newest(identity) if world.first else None
    step = world.agree(stored.position.step if stored else None)
    return stored if world.first or step is None else work.read(step, identity)
