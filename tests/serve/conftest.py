"""A loaded tiny run, and a server on it."""

from __future__ import annotations

import pytest

from live_server import serving
from medverdict.predict.load import load_run


@pytest.fixture(scope="session")
def loaded(tiny_run, cpu):
    return load_run(tiny_run, cpu)


@pytest.fixture(scope="session")
def address(loaded):
    with serving(loaded) as found:
        yield found
