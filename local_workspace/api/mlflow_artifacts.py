"""MLflow artifacts 2.0: files of runs and models, as clients with an http tracking address ask.

They go straight to and from the disk, in pieces; MLflow's server sees none of them. Clients of the
workspace's model registry read the files of a version by listing and signed addresses.
"""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse

from ..errors import not_found
from ..mlflow_server.artifacts import below

BASE = "/api/2.0/mlflow-artifacts/artifacts"
VERSIONS = "/api/2.0/mlflow/model-versions"
SIGNED = "/_local/models"
LINK_SECONDS = 900
router = APIRouter()


@router.get(BASE)
def list_artifacts(request: Request, path: str = "") -> dict:
    return {"files": request.app.state.services.artifacts.list(path)}


@router.put(BASE + "/{path:path}")
async def upload_artifact(path: str, request: Request) -> dict:
    await request.app.state.services.artifacts.receive(request, path, overwrite=True)
    return {}


@router.get(BASE + "/{path:path}")
def download_artifact(path: str, request: Request) -> FileResponse:
    return _file(request.app.state.services.artifacts.file(path))


@router.get(VERSIONS + "/list-artifacts")
def list_version_files(request: Request, name: str, version: int, path: str = "") -> dict:
    """Entries of a folder of a model version; paths are relative to the version."""
    services = request.app.state.services
    folder = services.registry.folder(name, version).relative_to(services.artifacts.root)
    base = path.strip("/")
    entries = services.artifacts.list(f"{folder}/{base}")
    return {"files": [e | {"path": f"{base}/{e['path']}".lstrip("/")} for e in entries]}


@router.get(VERSIONS + "/get-signed-download-uri")
def sign_version_file(request: Request, name: str, version: int, path: str) -> dict:
    services = request.app.state.services
    below(services.registry.folder(name, version), path.split("/"), path)
    address = f"{SIGNED}/{name}/{version}/{path}"
    query, _ = services.links.sign(address, LINK_SECONDS)
    return {"signed_uri": f"{services.settings.host}{address}?{query}", "headers": []}


@router.get(SIGNED + "/{name}/{version}/{path:path}", include_in_schema=False)
def download_version_file(name: str, version: int, path: str, request: Request) -> FileResponse:
    """A file of a model version: the signature stands for the token."""
    services = request.app.state.services
    query = request.query_params
    services.links.check(request.url.path, query.get("expires", ""), query.get("sig", ""))
    place = below(services.registry.folder(name, version), path.split("/"), path)
    if not place.is_file():
        raise not_found(f"Version {version} of '{name}' has no file {path}.")
    return _file(place)


def _file(place) -> FileResponse:
    return FileResponse(place, media_type="application/octet-stream")
