"""A against B on the same rows: how much better, how sure, and what this test set could have seen at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import binomtest, norm

from medverdict.errors import DataError
from medverdict.evaluate.interval import SEED, group_counts, stored
from medverdict.evaluate.metrics import Bools, Floats, Ints, group_index, is_right
from medverdict.evaluate.wording import points
from medverdict.records import Comparison, Prediction

Runs = Sequence[Sequence[Prediction]]


def compare(a_runs: Runs, b_runs: Runs, names: tuple[str, str] | None = None) -> Comparison:
    """Paired difference in accuracy of A minus B, over one or several runs (seeds) a side.

    The interval is a percentile bootstrap that draws groups and, where a side has several runs, runs as well; with
    one run a side it speaks of other claims, not of other seeds.
    p is the exact McNemar test on the rows won and lost, by majority verdict of a side's runs (a tie counts as
    wrong); it takes rows as independent, so a difference is called detectable only when interval and p agree.
    Raises DataError when the runs were not scored on the same rows, or there are none.
    """
    a, b = align(a_runs, b_runs)
    rows = a[0]
    right_a, right_b = _right(a), _right(b)
    group = group_index(rows)
    per_row = right_a.mean(axis=1) - right_b.mean(axis=1)
    difference = float(per_row.mean())
    draws = bootstrap_difference(right_a, right_b, group)
    low, high = np.percentile(draws, [2.5, 97.5]) if group.max() else (-1.0, 1.0)
    won_rows, lost_rows = _won_and_lost(right_a, right_b)
    won = tuple(p.claim_id for p, is_won in zip(rows, won_rows, strict=True) if is_won)
    lost = tuple(p.claim_id for p, is_lost in zip(rows, lost_rows, strict=True) if is_lost)
    p = mcnemar(len(won), len(lost))
    detectable = detectable_difference(per_row, float(draws.var()))
    name_a, name_b = names or (_name(a), _name(b))
    found = p < 0.05 and (low > 0 or high < 0)
    return Comparison(
        a=name_a,
        b=name_b,
        n=len(rows),
        groups=int(group.max()) + 1,
        seeds=(len(a), len(b)),
        difference=stored(difference),
        low=stored(min(low, difference)),
        high=stored(max(high, difference)),
        p=float(f"{p:.6g}"),
        won=won,
        lost=lost,
        detectable=stored(detectable),
        sentence=_sentence((name_a, name_b), difference, (float(low), float(high)), found, detectable),
    )


def align(a_runs: Runs, b_runs: Runs) -> tuple[list[list[Prediction]], list[list[Prediction]]]:
    """Both sides with rows in the order of A's first run. Raises DataError naming what differs."""
    if not a_runs or not b_runs or not a_runs[0]:
        raise DataError("nothing to compare; expected at least one run with at least one row on each side.")
    reference = by_id(a_runs[0])
    return [in_order(run, reference) for run in a_runs], [in_order(run, reference) for run in b_runs]


def by_id(run: Sequence[Prediction]) -> dict[str, Prediction]:
    """Predictions by claim id. Raises DataError when an id occurs twice."""
    found = {p.claim_id: p for p in run}
    if len(found) < len(run):
        claim_id, times = Counter(p.claim_id for p in run).most_common(1)[0]
        raise DataError(f"run {run[0].run}: claim id {claim_id!r} occurs {times} times; expected once. Score it again.")
    return found


def in_order(run: Sequence[Prediction], reference: Mapping[str, Prediction]) -> list[Prediction]:
    """The run's rows in the reference's order. Raises DataError when they are not the same claims and labels."""
    found = by_id(run)
    name = run[0].run if run else "an empty run"
    other = next(iter(reference.values())).run
    if name == other:
        name, other = f"{name} (here)", f"{other} (there)"
    for only, owner in ((found.keys() - reference, name), (reference.keys() - found, other)):
        if only:
            raise DataError(
                f"{name} has {len(found)} rows and {other} has {len(reference)}: {len(only)} only in {owner}, such as "
                f"{min(only)!r}. A comparison needs the same rows; evaluate both runs on the same file."
            )
    for claim_id, row in reference.items():
        for field in ("label", "text"):
            mine, theirs = getattr(found[claim_id], field), getattr(row, field)
            if mine != theirs:
                raise DataError(
                    f"claim {claim_id!r} has {field} {mine!r} in {name} and {theirs!r} in {other}. A comparison needs "
                    "the same rows; evaluate both runs on the same file."
                )
    return [found[claim_id] for claim_id in reference]


def bootstrap_difference(right_a: Bools, right_b: Bools, group: Ints) -> Floats:
    """[r] resampled differences of mean accuracy; right_a [n, a] and right_b [n, b] hold one column a run.

    Groups and runs are both drawn with replacement (crossed bootstrap: Owen 2007, Annals of Applied Statistics 1:386).
    """
    rng = np.random.default_rng(SEED + 1)
    groups = int(group.max()) + 1
    rows = np.bincount(group).astype(np.float32)
    sums = [
        np.stack([np.bincount(group, weights=run, minlength=groups) for run in right.T], axis=1).astype(np.float32)
        for right in (right_a, right_b)
    ]
    draws = []
    for counts in group_counts(groups):
        a, b = ((counts @ part * _run_shares(rng, part.shape[1], len(counts))).sum(axis=1) for part in sums)
        draws.append((a - b) / (counts @ rows))
    return np.concatenate(draws)


def _run_shares(rng: np.random.Generator, runs: int, resamples: int) -> Floats:
    """[resamples, runs] weights of runs drawn with replacement; each resample's sum is one."""
    return rng.multinomial(runs, np.full(runs, 1 / runs), size=resamples) / runs


def mcnemar(won: int, lost: int) -> float:
    """Exact two-sided McNemar: the binomial chance of a split of the differing rows at least this uneven."""
    return float(binomtest(won, won + lost, 0.5).pvalue) if won + lost else 1.0


def detectable_difference(per_row: Floats, variance: float) -> float:
    """Smallest true difference that such a comparison finds with 80 % power at two-sided 5 %.

    per_row [n] holds each row's difference in correctness; `variance` is the bootstrapped one of their mean.
    Solves d = z(.975) sqrt(D psi / n) + z(.80) sqrt(D (psi - d²) / n) (paired proportions: Connor 1987,
    Biometrics 43:207), psi being the discordance with half a row added to either side, and D the design effect of
    groups and seeds: bootstrapped over independent variance (Kish 1965), at least 1.
    """
    n = len(per_row)
    psi = float((np.square(per_row).sum() + 1) / (n + 2))
    independent = float(per_row.var()) / n
    design = max(1.0, variance / independent) if independent > 0 else 1.0
    alpha, power = float(norm.ppf(0.975)), float(norm.ppf(0.80))
    d = 0.0
    for _ in range(100):
        d = alpha * np.sqrt(design * psi / n) + power * np.sqrt(design * max(psi - d * d, 0.0) / n)
    return min(float(d), 1.0)


def _right(runs: list[list[Prediction]]) -> Bools:
    return np.array([[is_right(p) for p in run] for run in runs], dtype=np.bool_).T


def _won_and_lost(right_a: Bools, right_b: Bools) -> tuple[Bools, Bools]:
    a, b = right_a.mean(axis=1) > 0.5, right_b.mean(axis=1) > 0.5
    return a & ~b, b & ~a


def _name(runs: list[list[Prediction]]) -> str:
    first = runs[0][0].run
    return first if len(runs) == 1 else f"{first} and {len(runs) - 1} more"


def _sentence(
    names: tuple[str, str], difference: float, interval: tuple[float, float], found: bool, detectable: float
) -> str:
    a, b = names
    size = f"{points(difference)} points, 95 % interval {points(interval[0])} to {points(interval[1])}"
    if found:
        return f"{a} is {'better' if difference > 0 else 'worse'} than {b} ({size})."
    return (
        f"No detectable difference between {a} and {b} ({size}); this test set finds differences of "
        f"{100 * detectable:.1f} points or more four times out of five."
    )
