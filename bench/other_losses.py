"""Losses that recipes do not have, for experiments: each is the plain engine's with a term added.

The first part is always the plain loss, the mean over a step's supervised tokens; a term is a mean over its rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, softplus

from medverdict.model.prompt import Encoder, Example
from medverdict.model.verifier import Verifier
from medverdict.records import Claim, Recipe
from medverdict.train.plain import PlainEngine, answer_logits, summed_loss

Loss = Callable[[Verifier, Sequence[Example]], Tensor]
Twins = Mapping[tuple[int, ...], tuple[tuple[int, ...], tuple[int, ...]]]
"""Tokens of a training row to the prompts of its pair, the TRUE one first."""
NAMES = ("smoothing", "r-drop", "twin")


class OtherLossEngine(PlainEngine):
    """The plain engine with another loss, all rows of a step in one pass."""

    def __init__(self, verifier: Verifier, recipe: Recipe, loss: Loss) -> None:
        super().__init__(verifier, recipe)
        self._loss = loss

    def _accumulate(self, batch: Sequence[Example], micro_batch: int) -> float:
        loss = self._loss(self._verifier, batch)
        torch.autograd.backward(self._scaler.scale(loss))
        return float(loss.detach())


def named_loss(name: str, weight: float, verifier: Verifier, claims: Sequence[Claim]) -> Loss:
    """One of NAMES with its weight, for a training on `claims`."""
    if name == "twin":
        return partial(twin_loss, weight=weight, twins=prompts_of_pairs(verifier.encoder, claims))
    return partial({"smoothing": smoothed_loss, "r-drop": r_drop_loss}[name], weight=weight)


def plain_loss(verifier: Verifier, batch: Sequence[Example]) -> Tensor:
    """Mean cross-entropy of the step's supervised tokens, as the plain engine has it."""
    return summed_loss(verifier, batch) / sum(example.answer_length for example in batch)


def smoothed_loss(verifier: Verifier, batch: Sequence[Example], weight: float) -> Tensor:
    """Label smoothing between the two answers (Szegedy et al. 2016, arXiv:1512.00567, for two classes): at an
    answer's first token, `weight` of the target goes to the other answer's. Other tokens keep their target.

    -(1 - w) log p(own) - w log p(other) is the cross-entropy plus w times the difference of the two logits. The paper's
    epsilon is shared by all classes, so for two it is 2 w.
    """
    logits, targets = answer_logits(verifier, batch)
    ids = torch.tensor(verifier.encoder.label_ids, device=targets.device)
    first = torch.isin(targets, ids) & is_first(batch, targets.device)
    own, other = targets[first], ids.sum() - targets[first]
    rows = logits[first]
    difference = rows.gather(1, own[:, None]) - rows.gather(1, other[:, None])
    return (cross_entropy(logits, targets, reduction="sum") + weight * difference.sum()) / len(targets)


def r_drop_loss(verifier: Verifier, batch: Sequence[Example], weight: float) -> Tensor:
    """R-Drop (Liang et al. 2021, arXiv:2106.14448): two passes with other dropout masks, the mean of their
    cross-entropies plus `weight` times the mean of the two Kullback-Leibler divergences, as in its authors' code.
    """
    (one, targets), (two, _) = answer_logits(verifier, batch), answer_logits(verifier, batch)
    entropy = (cross_entropy(one, targets) + cross_entropy(two, targets)) / 2
    p, q = one.log_softmax(-1), two.log_softmax(-1)
    divergence = ((p.exp() - q.exp()) * (p - q)).sum(-1).mean() / 2  # KL(p, q) + KL(q, p), halved
    return entropy + weight * divergence


def twin_loss(verifier: Verifier, batch: Sequence[Example], weight: float, twins: Twins) -> Tensor:
    """Each row that has a twin also pays for the order of the pair: softplus(margin of FALSE - margin of TRUE)."""
    pairs = [twins[example.ids] for example in batch if example.ids in twins]
    loss = plain_loss(verifier, batch)
    if not pairs:
        return loss
    margins = verifier.margins_with_gradient([prompt for pair in pairs for prompt in pair]).view(-1, 2)
    return loss + weight * softplus(margins[:, 1] - margins[:, 0]).sum() / len(batch)


def is_first(batch: Sequence[Example], device: torch.device) -> Tensor:
    """For each supervised token of a step, whether it is the first of its answer."""
    marks = [place == 0 for example in batch for place in range(example.answer_length)]
    return torch.tensor(marks, device=device)


def prompts_of_pairs(encoder: Encoder, claims: Sequence[Claim]) -> Twins:
    """For every claim whose pair is whole among `claims` and of two labels."""
    members: dict[str, dict[str, Claim]] = {}
    for claim in claims:
        if claim.pair:
            members.setdefault(claim.pair, {})[claim.label] = claim
    prompts = {
        pair: (encoder.prompt_ids(of["TRUE"].text), encoder.prompt_ids(of["FALSE"].text))
        for pair, of in members.items()
        if len(of) == 2
    }
    return {encoder.example(c.text, c.label).ids: prompts[c.pair] for c in claims if c.pair in prompts}
