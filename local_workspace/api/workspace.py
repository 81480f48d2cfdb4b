"""Workspace API 2.0: import, export, list, get-status, mkdirs, delete; and workspace-files."""

from __future__ import annotations

import base64
import binascii
from urllib.parse import unquote

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict
from starlette.concurrency import run_in_threadpool

from ..errors import ApiError, bad_request, not_computed
from ..storage.workspace_files import NOTEBOOK_MARKS, WorkspaceFiles, notebook_path

# As the service: what goes as JSON is small, larger files go as a form or a raw body.
MAX_EXPORT = 10 * 1024 * 1024
router = APIRouter()


class Import(BaseModel):
    """Body of an import: ``content`` is base64. ``language`` names that of a notebook."""

    model_config = ConfigDict(extra="ignore")
    path: str
    content: str = ""
    format: str = "SOURCE"
    language: str | None = None
    overwrite: bool = False


class PathBody(BaseModel):
    path: str


class Delete(PathBody):
    recursive: bool = False


def _files(request: Request) -> WorkspaceFiles:
    return request.app.state.services.workspace_files


@router.post("/api/2.0/workspace/import")
async def import_object(request: Request) -> dict:
    """JSON with base64 content, or the form that the SDK's ``upload`` sends."""
    kind = request.headers.get("content-type", "")
    if kind.startswith("multipart/form-data"):
        form = await request.form(max_files=1, max_fields=10)
        fields = {name: value for name, value in form.items() if isinstance(value, str)}
        body = Import.model_validate({"path": ""} | fields)
        sent = form.get("content")
        content = await sent.read() if hasattr(sent, "read") else str(sent or "").encode()
    else:
        body = await _json_body(request)
        content = _decoded(body.content)
    await run_in_threadpool(_store, _files(request), body, content)
    return {}


@router.get("/api/2.0/workspace/export")
def export_object(
    path: str, request: Request, format: str = "SOURCE", direct_download: bool = False
) -> Response:
    if format not in ("SOURCE", "AUTO", "RAW"):
        raise not_computed(f"workspace export format {format}")
    place = _files(request).existing(path)
    if place.is_dir():
        raise bad_request(f"{path} is a folder: only files and notebooks of it can be exported.")
    if direct_download:
        return FileResponse(place, media_type="application/octet-stream")
    if place.stat().st_size > MAX_EXPORT:
        text = "The file is larger than 10 MB: ask with direct_download=true."
        raise ApiError(400, "MAX_NOTEBOOK_SIZE_EXCEEDED", text)
    content = base64.b64encode(place.read_bytes()).decode()
    return Response(f'{{"content":"{content}"}}', media_type="application/json")


@router.get("/api/2.0/workspace/list")
def list_objects(path: str, request: Request) -> dict:
    return {"objects": _files(request).list(path)}


@router.get("/api/2.0/workspace/get-status")
def get_status(path: str, request: Request) -> dict:
    return _files(request).status(path)


@router.post("/api/2.0/workspace/mkdirs")
def make_directories(body: PathBody, request: Request) -> dict:
    _files(request).make_directory(body.path)
    return {}


@router.post("/api/2.0/workspace/delete")
def delete_object(body: Delete, request: Request) -> dict:
    _files(request).delete(body.path, body.recursive)
    return {}


@router.post("/api/2.0/workspace-files/import-file/{path:path}")
async def import_file(path: str, request: Request, overwrite: bool = False) -> dict:
    """A raw body, as the bundle commands send it; the path may be URL-encoded once more."""
    await _files(request).receive(request, "/" + unquote(path).lstrip("/"), overwrite)
    return {}


async def _json_body(request: Request) -> Import:
    try:
        return Import.model_validate_json(await request.body())
    except ValueError as error:
        text = "The body must be JSON with path, content (base64), format and overwrite."
        raise bad_request(text) from error


def _decoded(content: str) -> bytes:
    try:
        return base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError) as error:
        raise bad_request("content: not base64.") from error


def _store(files: WorkspaceFiles, body: Import, content: bytes) -> None:
    if body.format not in ("SOURCE", "AUTO", "RAW"):
        raise not_computed(f"workspace import format {body.format}")
    path = body.path
    if body.format == "SOURCE":
        # SOURCE always makes a notebook: the mark says so when the sender left it out.
        language = (body.language or "").upper()
        if language not in NOTEBOOK_MARKS:
            raise bad_request(
                f"language: {body.language!r} must be one of {', '.join(NOTEBOOK_MARKS)}."
            )
        mark = NOTEBOOK_MARKS[language][0].encode()
        if not content.startswith(mark):
            content = mark + b"\n" + content
    elif body.format == "AUTO":
        path = notebook_path(path, content)
    files.write(path, content, body.overwrite)
