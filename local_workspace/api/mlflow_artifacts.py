"""MLflow artifacts 2.0: files of runs and models, as a client with an http tracking address asks.

They go straight to and from the disk, in pieces; MLflow's server sees none of them.
"""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse

router = APIRouter()
BASE = "/api/2.0/mlflow-artifacts/artifacts"


@router.get(BASE)
def list_artifacts(request: Request, path: str = "") -> dict:
    return {"files": request.app.state.services.artifacts.list(path)}


@router.put(BASE + "/{path:path}")
async def upload_artifact(path: str, request: Request) -> dict:
    await request.app.state.services.artifacts.receive(request, path, overwrite=True)
    return {}


@router.get(BASE + "/{path:path}")
def download_artifact(path: str, request: Request) -> FileResponse:
    place = request.app.state.services.artifacts.file(path)
    return FileResponse(place, media_type="application/octet-stream")


@router.delete(BASE + "/{path:path}")
def delete_artifact(path: str, request: Request) -> dict:
    request.app.state.services.artifacts.delete(path)
    return {}
