"""Toy judgements: the fewest fields a test needs, the rest filled in."""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from medverdict.evaluate.metrics import Sample
from medverdict.records import Claim, Label, Prediction


def judged(number: int, label: Label, margin: float, **fields: str) -> Prediction:
    """One prediction with id `c<number>`: TRUE above margin 0."""
    known = {"text": f"Nhận định số {number}.", "group": "", "pair": "", "topic": "", "source": "toy", "run": "toy"}
    return Prediction(
        claim_id=f"c{number}",
        label=label,
        margin=margin,
        p_true=float(expit(margin)),
        verdict="TRUE" if margin > 0 else "FALSE",
        **(known | fields),
    )


def toy_run(n: int = 120, skill: float = 1.0, seed: int = 0, run: str = "toy", families: int = 1) -> list[Prediction]:
    """n claims, half TRUE, in groups of `families`; margins are `skill` apart from zero plus unit noise."""
    noise = np.random.default_rng(seed).normal(size=n)
    rows = []
    for i in range(n):
        label: Label = "TRUE" if i % 2 == 0 else "FALSE"
        margin = (skill if label == "TRUE" else -skill) + noise[i]
        cue = "luôn" if i % 3 == 0 else "thường"
        text = f"Bệnh số {i} {cue} gây sốt {'cao' if label == 'TRUE' else 'nhẹ'}."
        rows.append(judged(i, label, float(margin), text=text, group=f"g{i // families}", run=run))
    return rows


def claims_of(rows: list[Prediction]) -> list[Claim]:
    """The claims behind predictions."""
    return [Claim(id=p.claim_id, text=p.text, label=p.label, group=p.group, pair=p.pair) for p in rows]


def sample(truth: str, verdict: str, margin: list[float] | None = None, group: list[int] | None = None) -> Sample:
    """Rows out of strings of T and F; margins default to the verdict's sign."""
    says = np.array([v == "T" for v in verdict], dtype=np.bool_)
    margins = np.array(margin if margin is not None else np.where(says, 1.0, -1.0), dtype=np.float64)
    return Sample(
        truth=np.array([t == "T" for t in truth], dtype=np.bool_),
        verdict=says,
        margin=margins,
        p_true=expit(margins),
        group=np.array(group if group is not None else range(len(truth)), dtype=np.int64),
    )
