"""The gate of every export: it must answer as the measured run does."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medverdict.errors import ExportError
from medverdict.evaluate.calibrate import judge
from medverdict.evaluate.compare import mcnemar
from medverdict.records import Calibration, Label, Record

ROWS = 500
# Largest share of rows whose verdict may turn, by format. bf16 and f16 only round; q8_0 and q4_0 lose weights' bits.
MAY_TURN = {"merged": 0.02, "f16": 0.02, "q8_0": 0.02, "q4_0": 0.10}
# McNemar's p under which the turned verdicts are no longer a matter of chance between right and wrong.
SIGNIFICANT = 0.01


class Parity(Record):
    """How far an exported model answers as the run it was made from, on the same claims."""

    what: str
    """The exported file or folder."""
    n: int
    """Claims compared."""
    agreement: float
    """Share of equal verdicts."""
    largest_difference: float
    """Of p_true."""
    accuracy_run: float
    """Of the run's verdicts against the answer key."""
    accuracy_export: float
    """Of the export's."""
    won: int
    """Rows that only the export gets right."""
    lost: int
    """Rows that only the run gets right."""
    p: float
    """Exact McNemar, two-sided."""


def measure_parity(
    what: str, reference: np.ndarray, exported: np.ndarray, labels: Sequence[Label], calibration: Calibration
) -> Parity:
    """Compare margins (n,) of the run and of the export on the same claims, both with the run's calibration."""
    p_run, of_run = judge(reference, calibration)
    p_export, of_export = judge(exported, calibration)
    right_run = np.array([v == label for v, label in zip(of_run, labels, strict=True)])
    right_export = np.array([v == label for v, label in zip(of_export, labels, strict=True)])
    won, lost = int((right_export & ~right_run).sum()), int((right_run & ~right_export).sum())
    return Parity(
        what=what,
        n=len(labels),
        agreement=float(np.mean([a == b for a, b in zip(of_run, of_export, strict=True)])),
        largest_difference=float(np.abs(np.subtract(p_run, p_export)).max()),
        accuracy_run=float(right_run.mean()),
        accuracy_export=float(right_export.mean()),
        won=won,
        lost=lost,
        p=mcnemar(won, lost),
    )


def require_parity(parity: Parity, kind: str) -> None:
    """Raises ExportError (exit 3) where more verdicts turn than the format may, or turning makes them worse."""
    faults = []
    if parity.n < ROWS:
        faults.append(f"it was compared on {parity.n} claims, expected at least {ROWS}")
    if 1.0 - parity.agreement > MAY_TURN[kind]:
        faults.append(f"{1 - parity.agreement:.1%} of verdicts differ, {MAY_TURN[kind]:.0%} may")
    if parity.p < SIGNIFICANT and parity.lost > parity.won:
        faults.append(f"it loses {parity.lost} right answers and wins {parity.won} (p = {parity.p:.2g})")
    if faults:
        raise ExportError(
            f"{parity.what} does not answer as the run that was measured: {'; '.join(faults)}. Nothing was written. "
            "Choose a finer format."
        )
