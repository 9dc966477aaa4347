"""The whole job of `serve`: take the address, load the run as measured, answer until told to stop."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from medverdict.console import say
from medverdict.errors import NOT_ADVICE, RunError
from medverdict.model.precision import choose_placement
from medverdict.predict.load import load_run
from medverdict.predict.shipped import shipped_run


@dataclass(frozen=True)
class ServeOptions:
    """Where and how much."""

    run: Path | None = None
    """Folder of a run; None is the shipped one."""
    host: str = "127.0.0.1"
    """This machine only; 0.0.0.0 is every network it is in."""
    port: int = 8000
    """0 takes a free one."""
    waiting: int | None = None
    """Claims that may wait; None is the default of `Limits`."""
    seconds: float | None = None
    """For one answer; likewise."""


def serve(options: ServeOptions) -> None:
    """Serve a run until SIGTERM or Ctrl-C.

    Raises RunError when the address is taken, the run cannot be used or the packages are not installed, GateError
    when the run does not answer its golden rows as measured: then nothing is served.
    """
    try:
        from medverdict.serve.app import make_app
        from medverdict.serve.limits import Limits
        from medverdict.serve.server import address_of, bind, forbid_outgoing, listen, log_to_stderr, run_server
    except ImportError as error:
        raise RunError(f"serving needs {error.name}. Run: pip install 'medverdict[serve]'.") from None
    usual = Limits()
    limits = replace(usual, waiting=options.waiting or usual.waiting, seconds=options.seconds or usual.seconds)
    with bind(options.host, options.port) as bound:
        loaded = load_run(options.run or shipped_run(), choose_placement())
        log_to_stderr()
        forbid_outgoing()
        listen(bound)  # who comes from now on waits for a moment instead of being turned away
        say(f"{loaded.run.id} answers its {len(loaded.run.golden)} golden rows as measured; page: {address_of(bound)}")
        say(NOT_ADVICE)
        run_server(make_app(loaded, limits), bound, limits)
