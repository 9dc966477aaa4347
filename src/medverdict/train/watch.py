"""Looking at dev while training goes on, and keeping the best weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from medverdict.console import progress, say
from medverdict.model.verifier import Verifier
from medverdict.predict.score import score_margins
from medverdict.records import Claim, HistoryRow
from medverdict.train.schedule import Plan
from medverdict.train.world import ALONE, World


def is_evaluated(step: int, plan: Plan, every: int) -> bool:
    """Every n steps, at each epoch's end and after the last step, so that small data is measured too."""
    return plan.ends_epoch(step) or (every > 0 and step % every == 0)


class DevSet:
    """The rows that guide a training and are never trained on."""

    def __init__(self, verifier: Verifier, claims: Sequence[Claim], world: World = ALONE) -> None:
        self._verifier, self._world = verifier, world
        self._texts = [claim.text for claim in claims]
        self._signs = np.array([1.0 if claim.label == "TRUE" else -1.0 for claim in claims])

    def score(self, description: str) -> np.ndarray:
        """Margins (rows,) with the weights of this moment; the first process scores for all."""
        if not self._world.first:
            return self._world.margins(None, len(self._texts))
        with progress(description, len(self._texts)) as bar:
            margins = score_margins(self._verifier, self._texts, bar.advance)
        return self._world.margins(margins, len(self._texts))

    def measure(self, margins: np.ndarray) -> tuple[float, float]:
        """Accuracy at margin 0, and mean log loss between the two label words in nats."""
        signed = margins * self._signs
        return float((signed > 0).mean()), float(np.logaddexp(0.0, -signed).mean())

    def untrained_row(self, margins: np.ndarray) -> HistoryRow:
        """Step 0 of the history."""
        accuracy, loss = self.measure(margins)
        return HistoryRow(
            step=0,
            epoch=0.0,
            rows=0,
            loss=None,
            learning_rate=0.0,
            gradient_norm=None,
            skipped=False,
            seconds=0.0,
            dev_accuracy=accuracy,
            dev_loss=loss,
        )

    def evaluate(self, row: HistoryRow) -> tuple[HistoryRow, np.ndarray]:
        """Score dev after a step: the step's row with the result in it, and the margins."""
        margins = self.score("dev")
        accuracy, loss = self.measure(margins)
        say(f"step {row.step}: loss {row.loss:.4f}, dev accuracy {accuracy:.3f}, dev loss {loss:.4f}")
        return row.model_copy(update={"dev_accuracy": accuracy, "dev_loss": loss}), margins


@dataclass(frozen=True)
class Kept:
    """The best evaluated weights so far, or the last evaluated where the recipe keeps those."""

    step: int
    """After which they stood."""
    rank: tuple[float, float]
    """Dev accuracy, and dev loss with a minus: more is better."""
    margins: np.ndarray
    """Of dev: (rows,)."""
    weights: dict[str, Tensor]
    """On the CPU, by name; empty where the last weights are kept, which the model still has at the end."""


class Keeper:
    """Remembers what to keep."""

    def __init__(self, verifier: Verifier, keep_best: bool, kept: Kept | None = None) -> None:
        self._verifier = verifier
        self._keep_best = keep_best
        self.kept = kept

    def offer(self, row: HistoryRow, margins: np.ndarray) -> None:
        """Take a step's weights if they are the best so far: dev accuracy first, then the lower dev loss."""
        assert row.dev_accuracy is not None and row.dev_loss is not None
        rank = (row.dev_accuracy, -row.dev_loss)
        if self._keep_best and self.kept and rank <= self.kept.rank:
            return
        trained = self._verifier.trained_parameters() if self._keep_best else []
        self.kept = Kept(row.step, rank, margins, {name: p.detach().cpu().clone() for name, p in trained})

    def restore(self) -> Kept:
        """Put the kept weights back into the model."""
        assert self.kept is not None, "the last step is always evaluated"
        if self.kept.weights:
            self._verifier.put_back(self.kept.weights)
        return self.kept
