"""How much a server takes on, and how it says no."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Chosen so that two CPU cores with a half-billion base answer what they accept in time."""

    body_bytes: int = 1_000_000
    """Of one request."""
    claims: int = 100
    """In one request."""
    characters: int = 2_000
    """In one claim; longer ones are dropped from training data as well."""
    requests: int = 64
    """Answered at the same time; each holds a thread that waits."""
    waiting: int = 256
    """Claims that wait for the model, over all requests."""
    seconds: float = 60.0
    """From a request's arrival to its answer."""
    body_seconds: float = 10.0
    """For the body of a request to arrive."""


class RefusedError(Exception):
    """A request that is not answered, with its HTTP status and the reason the asker reads."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
