"""Looking at dev while training goes on, and keeping the best weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from medverdict.console import progress, say
from medverdict.model.verifier import Verifier
from medverdict.predict.score import score_margins
from medverdict.records import Claim, HistoryRow


def is_evaluated(step: int, steps_an_epoch: int, steps: int, every: int) -> bool:
    """Every n steps, at each epoch's end and after the last step, so that small data is measured too."""
    return step == steps or step % steps_an_epoch == 0 or (every > 0 and step % every == 0)


class DevSet:
    """The rows that guide a training and are never trained on."""

    def __init__(self, verifier: Verifier, claims: Sequence[Claim]) -> None:
        self._verifier = verifier
        self._texts = [claim.text for claim in claims]
        self._signs = np.array([1.0 if claim.label == "TRUE" else -1.0 for claim in claims])

    def score(self, description: str) -> np.ndarray:
        """Margins (rows,) with the weights of this moment."""
        with progress(description, len(self._texts)) as bar:
            return score_margins(self._verifier, self._texts, bar.advance)

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


class Keeper:
    """Remembers the best evaluated weights, or only the last where the recipe keeps those."""

    def __init__(self, verifier: Verifier, keep_best: bool) -> None:
        self._verifier = verifier
        self._keep_best = keep_best
        self._rank: tuple[float, float] | None = None
        self._kept: tuple[int, np.ndarray] | None = None
        self._weights: dict[str, Tensor] = {}

    def offer(self, row: HistoryRow, margins: np.ndarray) -> None:
        """Take a step's weights if they are the best so far: dev accuracy first, then the lower dev loss."""
        assert row.dev_accuracy is not None and row.dev_loss is not None
        rank = (row.dev_accuracy, -row.dev_loss)
        if self._keep_best and self._rank is not None and rank <= self._rank:
            return
        self._rank, self._kept = rank, (row.step, margins)
        if self._keep_best:
            self._weights = {n: p.detach().cpu().clone() for n, p in self._verifier.trained_parameters()}

    def restore(self) -> tuple[int, np.ndarray]:
        """Put the kept weights back; their step and dev margins."""
        assert self._kept is not None, "the last step is always evaluated"
        for name, parameter in self._verifier.trained_parameters():
            if name in self._weights:
                parameter.data.copy_(self._weights[name])
        return self._kept
