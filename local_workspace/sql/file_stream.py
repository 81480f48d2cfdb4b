"""A file as the body of an answer, in pieces large enough that few calls send it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

PIECE = 1024 * 1024


class FileStream(Response):
    """Sends ``size`` bytes of a file that is not changed any more."""

    def __init__(self, path: Path, size: int, media_type: str) -> None:
        super().__init__(media_type=media_type, headers={"content-length": str(size)})
        self._path = path
        self._size = size

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        file = await asyncio.to_thread(self._path.open, "rb", 0)
        with file:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            left = self._size
            while left > 0:
                piece = await asyncio.to_thread(file.read, min(PIECE, left))
                left = left - len(piece) if piece else 0
                await send({"type": "http.response.body", "body": piece, "more_body": left > 0})
