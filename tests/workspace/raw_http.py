"""A client that does what no library would: half a call, a byte now and then, nothing at all."""

from __future__ import annotations

import socket
import time
from urllib.parse import urlsplit

from workspace_process import RunningWorkspace

PATIENCE = 30  # seconds after which a server that should have ended a connection has failed


class Raw:
    """One connection. ``lasted`` is how long it took the server to end it."""

    def __init__(self, workspace: RunningWorkspace) -> None:
        place = urlsplit(workspace.host)
        self.socket = socket.create_connection((place.hostname, place.port), timeout=PATIENCE)
        self._token = workspace.token

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def head(self, method: str, path: str, *headers: str, token: str | None = None) -> bytes:
        lines = [f"{method} {path} HTTP/1.1", "Host: here",
                 f"Authorization: Bearer {token or self._token}", *headers]  # fmt: skip
        return "\r\n".join([*lines, "", ""]).encode()

    def send(self, data: bytes) -> bool:
        """Whether the data could still be sent."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def trickle(self, data: bytes, pause: float = 0.1, seconds: float = PATIENCE) -> float:
        """Send byte by byte until the server has had enough. Returns the seconds until then."""
        began = time.monotonic()
        self.socket.settimeout(pause)
        while time.monotonic() - began < seconds:
            if not self.send(data):
                break
            try:
                if self.socket.recv(1, socket.MSG_PEEK) is not None:
                    break  # an answer, or the end
            except TimeoutError:
                continue
            except ConnectionResetError:
                break
        self.socket.settimeout(PATIENCE)
        return time.monotonic() - began

    def rest(self) -> bytes:
        """All that the server still says until it ends the connection."""
        said = bytearray()
        while True:
            try:
                piece = self.socket.recv(65536)
            except ConnectionResetError:
                return bytes(said)
            if not piece:
                return bytes(said)
            said += piece

    def answer(self) -> bytes:
        """One whole answer with a Content-Length; the connection may go on."""
        said = bytearray()
        while not _whole(said):
            piece = self.socket.recv(65536)
            if not piece:
                break
            said += piece
        return bytes(said)


def _whole(said: bytes) -> bool:
    head, end, body = said.partition(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name == b"content-length":
            return bool(end) and len(body) >= int(value)
    return bool(end)
