"""A server on a free port: in this process, or in one of its own as a user starts it."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from medverdict.predict.load import LoadedRun
from medverdict.serve.app import make_app
from medverdict.serve.limits import Limits
from medverdict.serve.server import address_of, bind

HELD_UP = """
import time, pathlib
from medverdict.serve import app
honest = app.score_margins
def score_margins(verifier, texts):
    while not pathlib.Path({!r}).exists():
        time.sleep(0.01)
    return honest(verifier, texts)
app.score_margins = score_margins
"""


@contextmanager
def serving(loaded: LoadedRun, limits: Limits | None = None) -> Iterator[str]:
    """The address of a server that runs meanwhile."""
    bound = bind("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(make_app(loaded, limits or Limits()), log_config=None, ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield address_of(bound)
    finally:
        server.should_exit = True
        thread.join()
        bound.close()


class OwnProcess:
    """`medverdict serve` on a run, started and waited for.

    With `until`, the model answers only once that file exists.
    """

    def __init__(self, run: Path, until: Path | None = None) -> None:
        code = HELD_UP.format(str(until)) if until else ""
        code += "from medverdict.cli import main; main()"
        command = [sys.executable, "-c", code, "serve", "--run", str(run), "--port", "0"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, encoding="utf-8")
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        while (found := re.search(r"http://[\d.]+:\d+", " ".join(self.lines))) is None:
            assert self.process.poll() is None, self.lines
            time.sleep(0.05)
        self.address = found.group()

    def end(self, signal: int) -> int:
        """Send a signal and wait; the exit code."""
        self.process.send_signal(signal)
        code = self.process.wait(30)
        self._reader.join()
        return code

    def _read(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            self.lines.append(line)
