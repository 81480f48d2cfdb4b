"""Files API 2.0: files and directories below ``/Volumes/<catalog>/<schema>/<volume>``."""

from __future__ import annotations

import email.utils
import stat

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse

from ..errors import ApiError, bad_request, conflict
from ..storage.volumes import Volumes

router = APIRouter()
PAGE = 1000


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
