"""RECIPE + SPLITS -> RUN: a folder that proves itself, its manifest written last."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from medverdict.console import progress, say
from medverdict.errors import GateError
from medverdict.files import new_folder
from medverdict.model.precision import Placement
from medverdict.model.prompt import Encoder, Example
from medverdict.model.verifier import Verifier
from medverdict.records import Claim, HistoryRow, Run
from medverdict.train.manifest import Job, Outcome, hold_to_budget, write_run
from medverdict.train.plain import plan_steps, train_plain
from medverdict.train.watch import DevSet, Keeper, is_evaluated


def train_run(job: Job, placement: Placement, out: Path) -> Run:
    """Train, calibrate on dev and write the run folder.

    Raises GateError when a check of the training itself fails; then, and on Ctrl-C, no folder is left.
    """
    with new_folder(out) as folder:
        make_deterministic()
        verifier = Verifier.load(job.base, job.recipe, placement)
        hold_to_budget(job, verifier)
        say(f"{job.recipe.name} on {job.base.info.name}, {placement.device_name}, {placement.precision}")
        examples = encode(verifier.encoder, job.train.claims)
        outcome = run_training(verifier, examples, job)
        return write_run(folder, job, verifier, outcome)


def make_deterministic() -> None:
    """Ask every operation for its deterministic form, so that a seed gives the same bytes twice."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False


def encode(encoder: Encoder, claims: Sequence[Claim]) -> list[Example]:
    """Training rows as tokens, checked and shown: three rows with what the loss will see of each.

    Raises GateError when what is supervised is not exactly the answer.
    """
    examples = [encoder.example(claim.text, claim.label) for claim in claims]
    for claim, example in zip(claims, examples, strict=True):
        check_supervision(encoder, claim, example)
    for claim, example in list(zip(claims, examples, strict=True))[:3]:
        prompt, answer = example.ids[: -example.answer_length], example.ids[-example.answer_length :]
        say(f"  prompt     {encoder.decode(prompt)!r}\n  supervised {encoder.decode(answer)!r}  [{claim.label}]")
    return examples


def check_supervision(encoder: Encoder, claim: Claim, example: Example) -> None:
    """The supervised tokens must read as the label word, and the rest must hold the claim."""
    word = encoder.label_word(claim.label)
    supervised = encoder.decode(example.ids[-example.answer_length :]) if example.answer_length else ""
    if supervised != word:
        raise GateError(
            f"wrong supervision of claim {claim.id}: the loss would see {supervised!r}, expected {word!r}. "
            "The prompt template, the label words and this base's tokenizer do not fit together."
        )


def run_training(verifier: Verifier, examples: Sequence[Example], job: Job) -> Outcome:
    """Score dev untrained, train with evaluations, and leave the weights to keep in the model."""
    recipe, dev = job.recipe, DevSet(verifier, job.dev.claims)
    zero_shot = dev.score("dev, untrained")
    history = [dev.untrained_row(zero_shot)]
    if recipe.method == "zero-shot":
        return Outcome(tuple(history), zero_shot, zero_shot, best_step=0)
    plan = plan_steps(len(examples), recipe)
    keeper = Keeper(verifier, recipe.keep_best)
    with progress("train", plan.rows_seen) as bar:

        def after_step(row: HistoryRow) -> None:
            bar.advance(row.rows - history[-1].rows)
            if is_evaluated(row.step, plan.steps_an_epoch, plan.steps, recipe.eval_every):
                row, margins = dev.evaluate(row)
                keeper.offer(row, margins)
            history.append(row)

        train_plain(verifier, examples, recipe, after_step)
    best_step, margins = keeper.restore()
    return Outcome(tuple(history), zero_shot, margins, best_step)
