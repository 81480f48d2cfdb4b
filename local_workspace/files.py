"""Files API 2.0: files and directories below ``/Volumes/<catalog>/<schema>/<volume>``."""

from __future__ import annotations

import email.utils
import os
import stat
import tempfile
from pathlib import Path

import anyio
from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse

from .errors import ApiError, bad_request, conflict, not_found

router = APIRouter()
PAGE = 1000


def _refused(path: str, why: str) -> ApiError:
    return bad_request(f"The path {path!r} cannot be used: {why}.")


class Volumes:
    """Maps ``/Volumes/...`` paths to files of one folder and never outside it."""

    def __init__(self, root: Path, spool: Path, max_body: int) -> None:
        self.root = root
        self._uploads = spool / "uploads"
        self._uploads.mkdir(parents=True, exist_ok=True)
        for left in self._uploads.iterdir():
            left.unlink()
        self._max_body = max_body

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
        handle, name = tempfile.mkstemp(dir=self._uploads)
        os.close(handle)
        upload = Path(name)
        try:
            await self._write(request, upload)
            await anyio.to_thread.run_sync(self._publish, upload, place, path, overwrite)
        finally:
            upload.unlink(missing_ok=True)

    async def _write(self, request: Request, upload: Path) -> None:
        size = 0
        async with await anyio.open_file(upload, "wb") as out:
            async for piece in request.stream():
                size += len(piece)
                if size > self._max_body:
                    raise ApiError(413, "BAD_REQUEST", "The file is too large.")
                await out.write(piece)

    @staticmethod
    def _publish(upload: Path, place: Path, path: str, overwrite: bool) -> None:
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise conflict(f"A part of {path} is a file.", "ALREADY_EXISTS") from error
        upload.chmod(0o644)
        if overwrite:
            upload.replace(place)
            return
        try:
            os.link(upload, place)  # fails when the name is taken, in one step
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


def _volumes(request: Request) -> Volumes:
    return request.app.state.services.volumes


@router.put("/api/2.0/fs/files/{path:path}", status_code=204)
async def upload_file(path: str, request: Request, overwrite: bool = False) -> Response:
    await _volumes(request).receive(request, "/" + path, overwrite)
    return Response(status_code=204)


@router.get("/api/2.0/fs/files/{path:path}")
def download_file(path: str, request: Request) -> FileResponse:
    return FileResponse(_volumes(request).file("/" + path), media_type="application/octet-stream")


@router.head("/api/2.0/fs/files/{path:path}")
def file_metadata(path: str, request: Request) -> Response:
    found = _volumes(request).file("/" + path).stat()
    headers = {
        "content-length": str(found.st_size),
        "last-modified": email.utils.formatdate(found.st_mtime, usegmt=True),
    }
    return Response(headers=headers, media_type="application/octet-stream")


@router.delete("/api/2.0/fs/files/{path:path}", status_code=204)
def delete_file(path: str, request: Request) -> Response:
    _volumes(request).file("/" + path).unlink()
    return Response(status_code=204)


@router.put("/api/2.0/fs/directories/{path:path}", status_code=204)
def create_directory(path: str, request: Request) -> Response:
    place, _ = _volumes(request).locate("/" + path)
    try:
        place.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise conflict(f"/{path} or a part of it is a file.", "ALREADY_EXISTS") from error
    return Response(status_code=204)


@router.get("/api/2.0/fs/directories/{path:path}")
def list_directory(
    path: str, request: Request, page_size: int = PAGE, page_token: str = ""
) -> dict:
    """Entries by name; ``page_token`` is the name after which the page begins."""
    folder = _volumes(request).directory("/" + path)
    names = sorted(entry.name for entry in folder.iterdir() if entry.name > page_token)
    size = min(max(page_size, 1), PAGE)
    base = "/" + path.strip("/")
    contents = []
    for name in names[:size]:
        try:
            found = (folder / name).stat()
        except FileNotFoundError:
            continue  # deleted since the folder was read
        entry = {
            "path": f"{base}/{name}",
            "name": name,
            "is_directory": stat.S_ISDIR(found.st_mode),
            "last_modified": int(found.st_mtime * 1000),
        }
        if not entry["is_directory"]:
            entry["file_size"] = found.st_size
        contents.append(entry)
    answer: dict = {"contents": contents}
    if len(names) > size:
        answer["next_page_token"] = names[size - 1]
    return answer


@router.head("/api/2.0/fs/directories/{path:path}")
def directory_metadata(path: str, request: Request) -> Response:
    _volumes(request).directory("/" + path)
    return Response()


@router.delete("/api/2.0/fs/directories/{path:path}", status_code=204)
def delete_directory(path: str, request: Request) -> Response:
    folder = _volumes(request).directory("/" + path)
    if _volumes(request).locate("/" + path)[1]:
        raise bad_request("A volume is not deleted as a directory.")
    try:
        folder.rmdir()
    except OSError as error:
        text = f"The directory /{path} is not empty."
        raise ApiError(400, "DIRECTORY_NOT_EMPTY", text) from error
    return Response(status_code=204)
