"""An export answers as the run does, or it is not written."""

import numpy as np
import pytest

from medverdict.errors import ExportError
from medverdict.export.parity import ROWS, measure_parity, require_parity
from medverdict.records import Calibration

CALIBRATION = Calibration(temperature=1.0, threshold=0.0, abstain_below=None, n=100, fitted_on="dev")
LABELS = ["TRUE", "FALSE"] * (ROWS // 2)
RIGHT = np.array([2.0, -2.0] * (ROWS // 2))


def measured(exported: np.ndarray, rows: int = ROWS):
    return measure_parity("model.gguf", RIGHT[:rows], exported[:rows], LABELS[:rows], CALIBRATION)


def test_rounding_passes():
    parity = measured(RIGHT + np.random.default_rng(0).normal(0, 0.05, ROWS))
    assert parity.agreement == 1.0 and 0 < parity.largest_difference < 0.05
    require_parity(parity, "q8_0")


def test_turned_verdicts_close_the_gate_and_say_how_many():
    worse = RIGHT.copy()
    worse[:30] *= -1
    with pytest.raises(ExportError, match=r"6.0% of verdicts differ, 2% may; it loses 30 right answers and wins 0"):
        require_parity(measured(worse), "q8_0")


def test_a_coarse_format_may_turn_more_but_not_lose_more():
    worse = RIGHT.copy()
    worse[:30] *= -1
    with pytest.raises(ExportError, match="it loses 30 right answers"):
        require_parity(measured(worse), "q4_0")
    even = measure_parity("m", RIGHT * np.where(np.arange(ROWS) < 15, -1, 1), worse, LABELS, CALIBRATION)
    require_parity(even.model_copy(update={"lost": 15, "won": 15, "p": 1.0}), "q4_0")


def test_too_few_claims_prove_nothing():
    with pytest.raises(ExportError, match="compared on 100 claims, expected at least 500"):
        require_parity(measured(RIGHT, 100), "merged")
