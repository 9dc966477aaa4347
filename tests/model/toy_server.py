"""A web server on 127.0.0.1 that serves bytes: a toy package index and a toy model hub in one."""

from __future__ import annotations

import hashlib
import io
import json
import re
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class ToyServer:
    """Serves `files` by path, with ranges; `cut` breaks a path's next answer off after that many bytes."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.files: dict[str, bytes] = {}
        self.cut: dict[str, int] = {}
        self.requests: list[tuple[str, str, str]] = []
        """Method, path and Range header of every request."""

    def add_wheel(self, package: str, version: str, wheel: bytes, *, html: bool = False, **listed: object) -> str:
        """Put a wheel on the index; `listed` overrides what the index says. Returns its sha256."""
        name = f"{package.replace('-', '_')}-{version}-py3-none-any.whl"
        digest = hashlib.sha256(wheel).hexdigest()
        self.files[f"/files/{name}"] = wheel
        if html:
            page = f'<!DOCTYPE html><a href="../../files/{name}#sha256={digest}" data-x="&gt;">{name}</a>'
            self.files[f"/simple/{package}/"] = page.encode()
        else:
            file = {"filename": name, "url": f"/files/{name}", "hashes": {"sha256": digest}, "size": len(wheel)}
            self.files[f"/simple/{package}/"] = json.dumps({"files": [file | listed]}).encode()
        return digest

    def add_hub_file(self, repository: str, revision: str, name: str, content: bytes) -> None:
        """Put a file on the hub."""
        self.files[f"/{repository}/resolve/{revision}/{name}"] = content

    def downloads(self, path: str) -> list[str]:
        """Range header of every download of a path, "" for a whole one."""
        return [given for method, found, given in self.requests if method == "GET" and found == path]


def make_wheel(members: dict[str, bytes]) -> bytes:
    """A zip archive of members in the given order."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@contextmanager
def toy_server() -> Iterator[ToyServer]:
    """Run a server in a thread for a while."""
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    httpd.toy = ToyServer(f"http://127.0.0.1:{httpd.server_port}")
    threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield httpd.toy
    finally:
        httpd.shutdown()
        httpd.server_close()


class _Handler(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _answer(self, body: bool) -> None:
        toy: ToyServer = self.server.toy
        asked = self.headers.get("Range", "")
        toy.requests.append((self.command, self.path, asked))
        content = toy.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked else 0
        if start >= len(content) and asked:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.end_headers()
            return
        self.send_response(206 if asked else 200)
        kind = "application/vnd.pypi.simple.v1+json" if content.startswith(b"{") else "text/html"
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if body:
            self.wfile.write(content[start : start + toy.cut.pop(self.path, len(content))])
