"""One HTTP connection, with the bounds that uvicorn leaves open."""

from __future__ import annotations

import asyncio
import json

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from .errors import error_body
from .settings import Settings


def busy_answer() -> bytes:
    """The whole answer for a connection too many: there is no call yet to be answered."""
    body = json.dumps(error_body("TEMPORARILY_UNAVAILABLE", "Too many connections.")).encode()
    head = (
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nRetry-After: 1\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


class BoundedConnection(H11Protocol):
    """Refuses connections past a number and cuts those whose header does not come in time.

    Calls find ``drop_connection`` in their state: it ends the connection without an answer.
    """

    def __init__(self, settings: Settings, **uvicorn) -> None:
        super().__init__(**uvicorn)
        self._settings = settings
        self._header_timer: asyncio.TimerHandle | None = None
        self.app_state = self.app_state | {"drop_connection": self._drop}

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        if len(self.connections) > self._settings.max_connections:
            transport.write(busy_answer())
            transport.close()
            return
        self._expect_header()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            self._expect_header()
        else:
            self._forget_header()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_header()
        super().connection_lost(exc)

    def _expect_header(self) -> None:
        if self._header_timer is None:
            seconds = self._settings.header_seconds
            self._header_timer = self.loop.call_later(seconds, self._drop)

    def _forget_header(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _drop(self) -> None:
        self.transport.abort()
