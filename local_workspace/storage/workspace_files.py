"""The workspace's own tree: ``/Users``, ``/Shared`` and ``/Workspace``, as files of one folder.

A notebook is a source file with Databricks' first line and no extension; its kind and language
are read from that line, so the tree on disk is all there is to keep.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
from fastapi import Request

from ..errors import ApiError, bad_request, not_found
from .uploads import Uploads, publish

# First line of a notebook in source form, by language, and the extension that it loses.
NOTEBOOK_MARKS = {
    "PYTHON": ("# Databricks notebook source", ".py"),
    "SQL": ("-- Databricks notebook source", ".sql"),
}
TOP_FOLDERS = ("Users", "Shared")


class WorkspaceFiles:
    """Maps paths of the workspace tree to files below one folder and never outside it."""

    def __init__(self, root: Path, uploads: Uploads) -> None:
        self.root = root
        self._uploads = uploads
        for name in TOP_FOLDERS:
            (root / name).mkdir(parents=True, exist_ok=True)

    def locate(self, path: str) -> Path:
        """Return the place on disk, which need not exist. Raises ApiError 400 for a bad path."""
        if not path.startswith("/"):
            raise bad_request(f"path: {path!r} must begin with '/'.")
        parts = path.strip("/").split("/") if path.strip("/") else []
        if parts[:1] == ["Workspace"]:
            parts = parts[1:]
        if any(part in ("", ".", "..") or "\0" in part or len(part) > 255 for part in parts):
            raise bad_request(f"path: {path!r} has an empty, relative or overlong part.")
        place = self.root.joinpath(*parts)
        try:
            inside = place.resolve().is_relative_to(self.root.resolve())
        except OSError as error:
            raise bad_request(f"path: {path[:80]!r} cannot be used.") from error
        if not inside:
            raise bad_request(f"path: {path!r} leads out of the workspace.")
        return place

    def existing(self, path: str) -> Path:
        place = self.locate(path)
        if not place.exists():
            raise not_found(f"Path ({path}) doesn't exist.")
        return place

    def status(self, path: str) -> dict:
        """Object information; times in milliseconds, size in bytes."""
        return self._describe(path.rstrip("/") or "/", self.existing(path))

    def list(self, path: str) -> list[dict]:
        place = self.existing(path)
        if not place.is_dir():
            return [self._describe(path, place)]
        base = path.rstrip("/")
        return [
            self._describe(f"{base}/{entry.name}", entry)
            for entry in sorted(place.iterdir(), key=lambda entry: entry.name)
        ]

    def make_directory(self, path: str) -> None:
        try:
            self.locate(path).mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            text = f"A part of {path} is a file."
            raise ApiError(400, "RESOURCE_ALREADY_EXISTS", text) from error

    def write(self, path: str, content: bytes, overwrite: bool) -> None:
        """Store a file or notebook source below an existing folder.

        Raises ApiError 404 without that folder, 400 when the name is taken.
        """
        with self._free(path, 400) as place:
            self._uploads.write(content, place, overwrite)

    async def receive(self, request: Request, path: str, overwrite: bool) -> None:
        """Store a request's body, of any size, as ``write`` does; 409 when the name is taken."""
        self.locate(path)
        async with self._uploads.received(request) as upload:
            with upload.open("rb") as source:
                path = notebook_path(path, source.read(200))
            await anyio.to_thread.run_sync(self._place, path, upload, overwrite)

    def _place(self, path: str, upload: Path, overwrite: bool) -> None:
        with self._free(path, 409) as place:
            publish(upload, place, overwrite)

    @contextmanager
    def _free(self, path: str, taken_status: int) -> Iterator[Path]:
        """The place of a new file. A name that is taken is told with ``taken_status``."""
        place = self.locate(path)
        if place == self.root or place.is_dir():
            raise ApiError(400, "RESOURCE_ALREADY_EXISTS", f"{path} is a directory.")
        if not place.parent.is_dir():
            raise not_found(f"The parent folder ({path.rpartition('/')[0]}) does not exist.")
        try:
            yield place
        except FileExistsError as error:
            text = f"Path ({path}) already exists."
            raise ApiError(taken_status, "RESOURCE_ALREADY_EXISTS", text) from error

    def delete(self, path: str, recursive: bool) -> None:
        place = self.existing(path)
        if place == self.root or (place.parent == self.root and place.name in TOP_FOLDERS):
            raise bad_request(f"The folder {path} cannot be deleted.")
        if not place.is_dir():
            place.unlink()
        elif not recursive and any(place.iterdir()):
            raise ApiError(400, "DIRECTORY_NOT_EMPTY", f"The folder {path} is not empty.")
        else:
            shutil.rmtree(place)

    @staticmethod
    def _describe(path: str, place: Path) -> dict:
        found = place.stat()
        information: dict = {"path": path, "object_id": object_id(path)}
        information["resource_id"] = str(information["object_id"])
        if place.is_dir():
            return information | {"object_type": "DIRECTORY"}
        language = notebook_language(place)
        times = {
            "created_at": int(found.st_ctime * 1000),
            "modified_at": int(found.st_mtime * 1000),
        }
        if language:
            return information | times | {"object_type": "NOTEBOOK", "language": language}
        return information | times | {"object_type": "FILE", "size": found.st_size}


def object_id(path: str) -> int:
    """A number for a path: the same after every restart, small enough for JavaScript clients."""
    plain = "/" + path.strip("/").removeprefix("Workspace/")
    return int.from_bytes(hashlib.sha256(plain.encode("utf-8", "surrogatepass")).digest()[:6])


def notebook_language(place: Path) -> str | None:
    """The language of a notebook; None for an ordinary file."""
    if place.suffix:
        return None
    with place.open("rb") as source:
        first = source.readline(200).strip()
    found = (name for name, (mark, _) in NOTEBOOK_MARKS.items() if first == mark.encode())
    return next(found, None)


def notebook_path(path: str, content: bytes) -> str:
    """The path under which an imported source file is kept: notebooks lose their extension."""
    first = content[:200].splitlines()[:1]
    for mark, extension in NOTEBOOK_MARKS.values():
        if first == [mark.encode()] and path.endswith(extension):
            return path.removesuffix(extension)
    return path
