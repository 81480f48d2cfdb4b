"""Volumes: ``/Volumes/<catalog>/<schema>/<volume>/...`` as files of one folder."""

from __future__ import annotations

from pathlib import Path

import anyio
from fastapi import Request

from ..errors import ApiError, bad_request, conflict, not_found
from .uploads import Uploads, publish


def _refused(path: str, why: str) -> ApiError:
    return bad_request(f"The path {path!r} cannot be used: {why}.")


class Volumes:
    """Maps ``/Volumes/...`` paths to files of one folder and never outside it."""

    def __init__(self, root: Path, uploads: Uploads) -> None:
        self.root = root
        self._uploads = uploads

    def locate(self, path: str) -> tuple[Path, bool]:
        """Return (place on disk, whether it is the volume itself).

        Raises ApiError 400 for a path that is no path in a volume, 404 for an unknown volume.
        """
        parts = path.strip("/").split("/")
        if parts[0] != "Volumes" or len(parts) < 4:
            raise _refused(path, "it does not name a volume")
        if any(part in ("", ".", "..") or "\0" in part or len(part) > 255 for part in parts):
            raise _refused(path, "it has an empty, relative or overlong part")
        volume = self.root.joinpath(*parts[1:4])
        if not volume.is_dir():
            raise not_found(f"The volume {'.'.join(parts[1:4])} does not exist.")
        place = volume.joinpath(*parts[4:])
        # A link inside the volume may point out of it: what it resolves to decides.
        if not place.resolve().is_relative_to(volume.resolve()):
            raise _refused(path, "it leads out of the volume")
        return place, len(parts) == 4

    async def receive(self, request: Request, path: str, overwrite: bool) -> None:
        """Store a request body; a reader sees the whole file or none of it."""
        place, is_volume = self.locate(path)
        if is_volume or place.is_dir():
            raise conflict(f"{path} is a directory.", "ALREADY_EXISTS")
        async with self._uploads.received(request) as upload:
            await anyio.to_thread.run_sync(self._publish, upload, place, path, overwrite)

    @staticmethod
    def _publish(upload: Path, place: Path, path: str, overwrite: bool) -> None:
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise conflict(f"A part of {path} is a file.", "ALREADY_EXISTS") from error
        try:
            publish(upload, place, overwrite)
        except FileExistsError as error:
            raise conflict(f"The file {path} already exists.", "ALREADY_EXISTS") from error

    def file(self, path: str) -> Path:
        place, _ = self.locate(path)
        if not place.is_file():
            raise not_found(f"The file {path} does not exist.")
        return place

    def directory(self, path: str) -> Path:
        place, _ = self.locate(path)
        if not place.is_dir():
            raise not_found(f"The directory {path} does not exist.")
        return place
