"""The errors a user can meet: one root, five kinds, each with its exit code.

A message says what came, what was expected and what to do; with file and line where there is one. The
command line prints it without a traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

USER_MISTAKE = 2
GATE_CLOSED = 3


class MedverdictError(Exception):
    """Root of every error that medverdict raises on purpose."""

    exit_code = USER_MISTAKE


class DataError(MedverdictError):
    """A file or a row is not what it should be."""


class LeakError(MedverdictError):
    """Training rows and held-out rows are not apart, or nobody has checked."""

    exit_code = GATE_CLOSED


class RecipeError(MedverdictError):
    """A recipe, or an option that changes one, is wrong; names every fault at once."""


class RunError(MedverdictError):
    """A run, a base model or a training cannot be used, or had to stop."""


class GateError(RunError):
    """A check of the run itself said no: budget, non-finite loss, wrong supervision, adapter still zero."""

    exit_code = GATE_CLOSED


class ExportError(MedverdictError):
    """An exported model cannot be written, or does not answer as the measured one did."""

    exit_code = GATE_CLOSED


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """` Did you mean A or B?` with the nearest known names, or nothing; a name that begins as given is near."""
    names = list(known)
    low = given.casefold()
    near = [name for name in names if low and name.casefold().startswith(low)]
    near += [name for name in difflib.get_close_matches(low, names, n=2, cutoff=0.4) if name not in near]
    return f" Did you mean {' or '.join(near[:2])}?" if near else ""


def without_mark(message: str) -> str:
    """A message of pydantic's without the mark that it sets before the text of a ValueError."""
    return message.removeprefix("Value error, ")


NOT_ADVICE = (
    "Research aid, not medical advice. The model judges from memory and can be confidently wrong; "
    "our claims were written by an AI and not reviewed by clinicians."
)
