"""MLflow's model registry for Unity Catalog 2.0, the ``databricks-uc`` of MLflow's clients.

The same models as in the workspace's registry: one registry holds them, under three-part names.
"""

from __future__ import annotations

import json

from fastapi import APIRouter, Request

from ..errors import bad_request
from .mlflow import is_databricks_client, read_text
from .unity_models import require_schema

BASE = "/api/2.0/mlflow/unity-catalog"
OWN = "/api/2.0/mlflow"
router = APIRouter()


async def _ask(request: Request, method: str, path: str, body: dict | None = None, **query) -> dict:
    """A call of MLflow's own registry, in this registry's names and shapes."""
    services = request.app.state.services
    names = services.artifact_names
    answer = await services.mlflow.call(method, f"{OWN}/{path}", body, **query)
    text = names.outward(json.dumps(answer), is_databricks_client(request))
    return json.loads(text, object_hook=_reshape)


def _reshape(found: dict) -> dict:
    """A version lists its aliases by name in one registry, as objects in the other."""
    if "version" in found and found.get("aliases"):
        found["aliases"] = [{"alias": alias} for alias in found["aliases"]]
    return found


async def _body(request: Request) -> dict:
    return request.app.state.services.artifact_names.request_body(await read_text(request))


def _three_parts(body: dict) -> list[str]:
    parts = str(body.get("name", "")).split(".")
    if len(parts) != 3:
        raise bad_request("name: catalog.schema.model is needed.")
    return parts


@router.post(BASE + "/registered-models/create")
async def create_model(request: Request) -> dict:
    body = await _body(request)
    catalog, schema, _ = _three_parts(body)
    require_schema(request.app.state.services, catalog, schema)
    kept = {key: body[key] for key in ("name", "description", "tags") if key in body}
    return await _ask(request, "POST", "registered-models/create", kept)


@router.get(BASE + "/registered-models/get")
async def get_model(request: Request, name: str) -> dict:
    return await _ask(request, "GET", "registered-models/get", name=name)


@router.get(BASE + "/registered-models/search")
async def search_models(request: Request) -> dict:
    return await _ask(request, "GET", "registered-models/search", **request.query_params)


@router.patch(BASE + "/registered-models/update")
async def update_model(request: Request) -> dict:
    return await _ask(request, "PATCH", "registered-models/update", await _body(request))


@router.delete(BASE + "/registered-models/delete")
async def delete_model(request: Request) -> dict:
    return await _ask(request, "DELETE", "registered-models/delete", await _body(request))


@router.post(BASE + "/registered-models/set-tag")
async def tag_model(request: Request) -> dict:
    return await _ask(request, "POST", "registered-models/set-tag", await _body(request))


@router.get(BASE + "/registered-models/alias")
async def version_by_alias(request: Request, name: str, alias: str) -> dict:
    return await _ask(request, "GET", "registered-models/alias", name=name, alias=alias)


@router.post(BASE + "/registered-models/alias")
async def set_alias(request: Request) -> dict:
    return await _ask(request, "POST", "registered-models/alias", await _body(request))


@router.delete(BASE + "/registered-models/alias")
async def delete_alias(request: Request) -> dict:
    return await _ask(request, "DELETE", "registered-models/alias", await _body(request))


@router.get(BASE + "/registered-models:is-databricks-sdk-models-artifact-repository-enabled")
def sdk_transfers_files() -> dict:
    """Files of versions go through the Files API, below ``/Models``."""
    return {"is_databricks_sdk_models_artifact_repository_enabled": True}


@router.post(BASE + "/model-versions/create")
async def create_version(request: Request) -> dict:
    """A version of a run's or logged model's files.

    They are in the workspace already, and the version reads them where they are; the copy that
    the client sends next is the same files.
    """
    body = await _body(request)
    _three_parts(body)
    known = ("name", "source", "run_id", "description", "tags", "model_id")
    kept = {key: body[key] for key in known if key in body}
    return await _ask(request, "POST", "model-versions/create", kept)


@router.post(BASE + "/model-versions/finalize")
async def finalize_version(request: Request) -> dict:
    body = await _body(request)
    query = {key: body.get(key, "") for key in ("name", "version")}
    return await _ask(request, "GET", "model-versions/get", **query)


@router.get(BASE + "/model-versions/get")
async def get_version(request: Request, name: str, version: str) -> dict:
    return await _ask(request, "GET", "model-versions/get", name=name, version=version)


@router.post(BASE + "/model-versions/set-tag")
async def tag_version(request: Request) -> dict:
    return await _ask(request, "POST", "model-versions/set-tag", await _body(request))


@router.get(BASE + "/model-versions/search")
async def search_versions(request: Request) -> dict:
    return await _ask(request, "GET", "model-versions/search", **request.query_params)


@router.patch(BASE + "/model-versions/update")
async def update_version(request: Request) -> dict:
    return await _ask(request, "PATCH", "model-versions/update", await _body(request))


@router.delete(BASE + "/model-versions/delete")
async def delete_version(request: Request) -> dict:
    return await _ask(request, "DELETE", "model-versions/delete", await _body(request))
