"""How a command ends: which exit code and message for which failure."""

from __future__ import annotations

import functools
import signal
from collections.abc import Callable

import typer

from medverdict.console import progress_console
from medverdict.errors import MedverdictError, RunError

INTERRUPTED = 130
EXTRAS = dict.fromkeys(("torch", "transformers", "tokenizers", "safetensors", "gguf", "filelock"), "model")
EXTRAS |= {"optuna": "sweep"}
"""Modules that come with an extra only, by the first that is missed."""


def end(number: int, frame: object) -> None:
    """Leave as on Ctrl-C, so that what is half-written goes; by default a process is gone before it can clean up."""
    signal.signal(number, signal.SIG_IGN)  # a second one would cut the clean-up
    raise SystemExit(128 + number)


def guarded(command: Callable[..., None]) -> Callable[..., None]:
    """End a command that meets a user's error with its message and exit code, without a traceback."""

    @functools.wraps(command)
    def run(*args: object, **options: object) -> None:
        try:
            command(*args, **options)
        except MedverdictError as error:
            complain(str(error))
            raise typer.Exit(error.exit_code) from None
        except ModuleNotFoundError as error:
            extra = EXTRAS.get((error.name or "").partition(".")[0])
            if extra is None:
                raise
            complain(f"{error.name} is not installed. Install it with: pip install 'medverdict[{extra}]'.")
            raise typer.Exit(RunError.exit_code) from None
        except KeyboardInterrupt:
            complain("interrupted; nothing half-written was left behind.")
            raise typer.Exit(INTERRUPTED) from None

    return run


def complain(message: str) -> None:
    """Say on stderr what went wrong."""
    progress_console.print(f"medverdict: {message}", markup=False, style="bold red", soft_wrap=True)
