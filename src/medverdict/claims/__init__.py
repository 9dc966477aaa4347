"""Our own claims: the files to train on, the frozen test, and the style each was written in. See CARD.md."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

_HERE = Path(__file__).parent
_TEST = "test.jsonl"

Style = Literal["balanced", "teacher", "anti-cue"]

STYLES: dict[str, Style] = {
    "01-infection-respiratory-ent": "balanced",
    "02-endocrine-cardio-renal": "balanced",
    "03-neuro-psych-msk-skin-eye": "balanced",
    "04-gi-onco-blood-women-children-icd10": "balanced",
    "05-internal-medicine": "balanced",
    "06-specialties": "balanced",
    "07-icd10-lab-drugs-public-health": "balanced",
    "08-mechanisms-emergency-rare": "balanced",
    "09-teacher-style": "teacher",
    "10-teacher-style-by-disease": "teacher",
    "11-teacher-style-wide": "teacher",
    "12-anti-cue": "anti-cue",
    "13-teacher-style-quiz": "teacher",
}
"""Source of a claim (the stem of the file it was written in) to the style it was written in."""


def training_files() -> list[Path]:
    """The shipped files that may be trained on, in order of name."""
    return sorted(path for path in _HERE.glob("*.jsonl") if path.name != _TEST)


def test_file() -> Path:
    """The frozen test: nothing may train on it, or on a near-duplicate of it."""
    return _HERE / _TEST
