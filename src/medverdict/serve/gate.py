"""Around the application: what is too much is refused before it is read, and the log holds nothing of a claim."""

from __future__ import annotations

import asyncio
import json
import logging
import time
import traceback
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from medverdict.serve.limits import Limits, RefusedError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

log = logging.getLogger("medverdict.serve")

_PATHS = ("/", "/verify", "/health", "/model", "/docs", "/openapi.json")
_READ_ON = 8
"""A body up to so many times too large is read to its end, so that its sender hears the reason and no reset."""


class Gate:
    """One ASGI application around another.

    It holds requests to the size and time of `limits.body_*` (413, 408) and their number to `limits.requests` (429),
    and writes one line a request with its method, path, status and time. A failure is told by its kind and place: its
    text may hold a claim.
    """

    def __init__(self, inner: Application, limits: Limits) -> None:
        self._inner = inner
        self._limits = limits
        self._inside = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        started, status = time.monotonic(), 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._let_in(scope, receive, noting)
        except RefusedError as refusal:
            await answer_refusal(noting, refusal)
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            log.error("failure: %s in %s, line %s", type(error).__name__, place.filename, place.lineno)
            if not status:
                await answer_refusal(noting, RefusedError(500, "the server failed; its log says where."))
        path = scope["path"] if scope["path"] in _PATHS else "(another path)"
        log.info("%s %s %d %.0f ms", scope["method"], path, status, 1000 * (time.monotonic() - started))

    async def _let_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] in ("GET", "HEAD"):
            await self._inner(scope, receive, send)
            return
        if self._inside >= self._limits.requests:
            raise RefusedError(429, f"{self._inside} requests are being answered, which is the most; try again soon.")
        self._inside += 1
        try:
            body = await self._body(scope, receive)
            await self._inner(scope, _once(body, receive), send)
        finally:
            self._inside -= 1

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        """The whole body. Raises RefusedError where it is too large, comes too slowly or breaks off."""
        most = self._limits.body_bytes
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        parts: list[bytes] = []
        size, more = 0, True
        if announced.isdigit() and int(announced) > _READ_ON * most:
            more, size = False, int(announced)
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                while more and size <= _READ_ON * most:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise RefusedError(400, "the request broke off.")
                    size += len(message.get("body", b""))
                    if size <= most:
                        parts.append(message.get("body", b""))
                    more = message.get("more_body", False)
        except TimeoutError:
            raise RefusedError(
                408, f"the request did not arrive within {self._limits.body_seconds:g} seconds."
            ) from None
        if size > most:
            raise RefusedError(413, f"the request is larger than {most:,} bytes; send fewer claims at once.")
        return b"".join(parts)


def _once(body: bytes, receive: Receive) -> Receive:
    """The body in one message, then what comes after it."""
    sent = False

    async def again() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def answer_refusal(send: Send, refusal: RefusedError) -> None:
    """Send a refusal as the API's other refusals are sent."""
    body = json.dumps({"reason": refusal.reason}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if refusal.status in (429, 503):
        headers.append((b"retry-after", b"1"))
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
