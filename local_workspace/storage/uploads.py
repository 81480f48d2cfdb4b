"""Bodies on their way into a file: written aside first, then put in place in one step."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from fastapi import Request

from ..errors import ApiError


class Uploads:
    """One folder of half-received files, on the same disk as the places they go to."""

    def __init__(self, folder: Path, max_body: int) -> None:
        self._folder = folder
        self._max_body = max_body
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.iterdir():
            left.unlink()

    @asynccontextmanager
    async def received(self, request: Request) -> AsyncIterator[Path]:
        """The body of a request as a file, gone at the end of the block unless it was moved.

        Raises ApiError 413 past the limit (bytes).
        """
        upload = self._fresh()
        try:
            size = 0
            async with await anyio.open_file(upload, "wb") as out:
                async for piece in request.stream():
                    size += len(piece)
                    if size > self._max_body:
                        raise ApiError(413, "BAD_REQUEST", "The file is too large.")
                    await out.write(piece)
            yield upload
        finally:
            upload.unlink(missing_ok=True)

    def write(self, content: bytes, place: Path, overwrite: bool) -> None:
        """Put bytes in place as ``publish`` does."""
        upload = self._fresh()
        try:
            upload.write_bytes(content)
            publish(upload, place, overwrite)
        finally:
            upload.unlink(missing_ok=True)

    def _fresh(self) -> Path:
        handle, name = tempfile.mkstemp(dir=self._folder)
        os.close(handle)
        return Path(name)


def publish(upload: Path, place: Path, overwrite: bool) -> None:
    """Give a received file its name: a reader sees the whole file or none of it.

    Raises FileExistsError when the name is taken and ``overwrite`` is false.
    """
    upload.chmod(0o644)
    if overwrite:
        upload.replace(place)
    else:
        os.link(upload, place)  # fails when the name is taken, in one step
