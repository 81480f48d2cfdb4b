"""One call with bounds: how much a client may send, and how long it may let us wait."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from starlette.types import Message, Receive, Scope, Send

from .errors import Refused
from .settings import Settings

# Calls whose body goes to a file in pieces; every other body is held in memory.
FILE_PREFIXES = (
    "/api/2.0/fs/files/",
    "/api/2.0/mlflow-artifacts/artifacts/",
    "/api/2.0/workspace-files/import-file/",
)
# What is read of a body that no route asked for, so that the connection can go on being used.
DRAIN_BYTES = 256 * 1024
DRAIN_SECONDS = 1.0
# How long the rest of a body is still taken and forgotten after the answer. A client that is
# cut while it sends sees a broken connection instead of the answer.
LINGER_SECONDS = 2.0


class BoundedCall:
    """``receive`` and ``send`` of one call. Raises Refused where the client passes a bound."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, settings: Settings) -> None:
        self._receive, self._send, self._settings = receive, send, settings
        self._drop = scope["state"]["drop_connection"]
        headers = dict(scope["headers"])
        length = headers.get(b"content-length", b"")
        self._announced = int(length) if length.isdigit() else 0
        self._body_complete = not self._announced and b"transfer-encoding" not in headers
        self._held_back = b"expect" in headers
        is_file = scope["path"].startswith(FILE_PREFIXES)
        self._limit = settings.max_body if is_file else settings.max_call_body
        self._size = 0
        self._waited = 0.0
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []  # to be added to the answer

    def check_length(self) -> None:
        """Refuse a body by its announced length, before any of it is read."""
        if self._announced > self._limit:
            raise Refused(413, "BAD_REQUEST", f"The body may have {self._limit} bytes.")

    async def receive(self) -> Message:
        """The next part of the body, counted and timed; afterwards the end of the connection."""
        if self._body_complete:
            return await self._receive()
        bounds, loop = self._settings, asyncio.get_running_loop()
        allowed = bounds.body_seconds + self._size / bounds.min_rate - self._waited
        began = loop.time()
        try:
            async with asyncio.timeout(min(allowed, bounds.body_seconds)):
                message = await self._receive()
        except TimeoutError:
            raise Refused(408, "DEADLINE_EXCEEDED", "The body comes too slowly.") from None
        self._waited += loop.time() - began
        self._count(message)
        if self._size > self._limit:
            raise Refused(413, "BAD_REQUEST", f"The body may have {self._limit} bytes.")
        return message

    async def send(self, message: Message) -> None:
        """Pass a part of the answer on; a client that does not read it is cut off."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", []), *self.headers]
            if not self._body_complete and not (self._held_back and self._size == 0):
                await self._discard(DRAIN_SECONDS, DRAIN_BYTES)
            if not self._body_complete:
                message["headers"].append((b"connection", b"close"))
        elif not self._body_complete and not message.get("more_body"):
            await self._pass(message | {"more_body": True})
            await self._discard(LINGER_SECONDS)
            message = {"type": "http.response.body", "body": b""}
        await self._pass(message)

    def drop(self) -> None:
        """End the connection; what is sent afterwards goes nowhere."""
        self._drop()

    async def _pass(self, message: Message) -> None:
        try:
            async with asyncio.timeout(self._settings.write_seconds):
                await self._send(message)
        except TimeoutError:
            self._drop()

    async def _discard(self, seconds: float, most: int | None = None) -> None:
        end = None if most is None else self._size + most
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self._body_complete and (end is None or self._size < end):
                    self._count(await self._receive())

    def _count(self, message: Message) -> None:
        self._size += len(message.get("body", b""))
        # A disconnect ends the body too.
        self._body_complete = not message.get("more_body", False)
