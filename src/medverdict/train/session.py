"""A training in memory: begun, or put back as a checkpoint left it, and moved on step by step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medverdict.console import say
from medverdict.model.lora import without_lora
from medverdict.model.verifier import Verifier
from medverdict.records import HistoryRow
from medverdict.train.checkpoint import Checkpoint
from medverdict.train.engine import Engine
from medverdict.train.identity import Identity, drift
from medverdict.train.loop import Position, start_training
from medverdict.train.manifest import Outcome
from medverdict.train.random_state import random_state, set_random_state
from medverdict.train.schedule import Plan
from medverdict.train.watch import DevSet, Keeper, is_evaluated


@dataclass
class Session:
    """Everything that changes while a recipe is trained, and what it belongs to."""

    verifier: Verifier
    engine: Engine
    dev: DevSet
    identity: Identity
    position: Position
    """Moved by the loop."""
    keeper: Keeper
    zero_shot: np.ndarray
    """Dev margins before the first step: (rows,)."""
    history: list[HistoryRow]
    resumes: tuple[str, ...] = ()
    """As the run records them."""

    def finish_step(self, row: HistoryRow, plan: Plan) -> None:
        """Score dev where it is time to, keep the weights where they are the best, and remember the step."""
        if is_evaluated(row.step, plan, self.verifier.recipe.eval_every):
            row, margins = self.dev.evaluate(row)
            self.keeper.offer(row, margins)
        self.history.append(row)

    def snapshot(self) -> Checkpoint:
        """This moment, between two steps; tensors are not copied yet."""
        return Checkpoint(
            identity=self.identity,
            position=self.position,
            weights=dict(self.verifier.trained_parameters()),
            engine=self.engine.state(),
            random=random_state(self.verifier.placement.device),
            kept=self.keeper.kept,
            zero_shot=self.zero_shot,
            history=tuple(self.history),
            resumes=self.resumes,
        )

    def outcome(self) -> Outcome:
        """Put the weights to keep into the model; what else the training leaves."""
        kept = self.keeper.restore()
        return Outcome(tuple(self.history), self.zero_shot, kept.margins, kept.step, self.resumes)


def begin(verifier: Verifier, engine: Engine, dev: DevSet, identity: Identity) -> Session:
    """Score dev untrained, and stand before the first step."""
    with without_lora(verifier.model):  # also where training begins from another run's adapter
        zero_shot = dev.score("dev, untrained")
    recipe = verifier.recipe
    return Session(
        verifier=verifier,
        engine=engine,
        dev=dev,
        identity=identity,
        position=start_training(recipe),
        keeper=Keeper(verifier, recipe.keep_best),
        zero_shot=zero_shot,
        history=[dev.untrained_row(zero_shot)],
    )


def go_on(checkpoint: Checkpoint, verifier: Verifier, engine: Engine, dev: DevSet, identity: Identity) -> Session:
    """Stand where the checkpoint was taken: weights first, then what the engine derives from them."""
    verifier.put_back(checkpoint.weights)
    engine.load_state(checkpoint.engine)
    set_random_state(dict(checkpoint.random), verifier.placement.device)
    changed = drift(checkpoint.identity, identity)
    if changed:
        say(f"the bytes of the result may differ from those of a training never cut: {', '.join(changed)}")
    said = f"continued after step {checkpoint.position.step}" + (f"; {', '.join(changed)}" if changed else "")
    say(said)
    return Session(
        verifier=verifier,
        engine=engine,
        dev=dev,
        identity=identity,
        position=checkpoint.position,
        keeper=Keeper(verifier, verifier.recipe.keep_best, checkpoint.kept),
        zero_shot=checkpoint.zero_shot,
        history=list(checkpoint.history),
        resumes=(*checkpoint.resumes, said),
    )
