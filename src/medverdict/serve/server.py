"""A bound socket and an application -> a server that answers until it is told to stop, and then finishes its work."""

from __future__ import annotations

import logging
import signal
import socket
import sys

import uvicorn

from medverdict.errors import RunError
from medverdict.serve.gate import Application, log
from medverdict.serve.limits import Limits

_KEEP_ALIVE = 65
"""Seconds that an idle connection stays open: longer than the 60 s after which common proxies close theirs."""
_OUTGOING = ("socket.connect", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo", "socket.gethostbyname")


def bind(host: str, port: int) -> socket.socket:
    """A listening place, taken before the model is loaded. Raises RunError where it cannot be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)  # asyncio sends without delay only where the protocol is named
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except (OSError, OverflowError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise RunError(f"{host}:{port}: cannot listen there ({why}). Choose another --port or --host.") from None
    return bound


def listen(bound: socket.socket) -> None:
    """From now on who comes waits. Raises RunError where another process, which bound it too, listens already."""
    try:
        bound.listen()
    except OSError as error:
        raise RunError(f"{address_of(bound)}: cannot listen there ({error.strerror}). Choose another --port.") from None


def address_of(bound: socket.socket) -> str:
    """What to type into a browser."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def run_server(app: Application, bound: socket.socket, limits: Limits) -> None:
    """Answer until SIGTERM or Ctrl-C; then take no more, answer what was taken, and return (Ctrl-C: raise)."""
    config = uvicorn.Config(
        app,
        access_log=False,  # the gate's own line holds no address that a person typed
        log_config=None,
        ws="none",
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=int(limits.seconds + limits.body_seconds) + 1,
    )
    signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn raises it again once all is answered: then we just end
    uvicorn.Server(config).run(sockets=[bound])


def log_to_stderr() -> None:
    """One line a request, with its time; faults of the HTTP library too."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    for name in ("uvicorn.error", "asyncio"):
        logging.getLogger(name).addFilter(_without_traceback)
        logging.getLogger(name).addHandler(handler)


def _without_traceback(record: logging.LogRecord) -> bool:
    """The text of an exception may hold a claim."""
    record.exc_info = record.exc_text = None
    return True


def forbid_outgoing() -> None:
    """From now on nothing in this process opens a connection or asks for a name; it cannot be taken back.

    Raises ConnectionRefusedError where something tries.
    """

    def refuse(event: str, arguments: tuple[object, ...]) -> None:
        if event in _OUTGOING:
            raise ConnectionRefusedError(f"no network while serving: {event} was refused.")

    sys.addaudithook(refuse)
