"""Unity Catalog 2.1: registered models, their versions and aliases.

Looked up in MLflow's database; what is written goes through MLflow's own server.
"""

from __future__ import annotations

from operator import itemgetter

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from ..access.principals import OWNER
from ..engine.catalog import CatalogError
from ..errors import ApiError, bad_request, not_found
from ..unity.objects import require_writable
from ..unity.paging import page

BASE = "/api/2.1/unity-catalog/models"
REGISTRY = "/api/2.0/mlflow"
PART = Field(min_length=1, max_length=80, pattern=r"^[^\s./:]+$")
router = APIRouter()


class NewModel(BaseModel):
    """Body of a create."""

    catalog_name: str = PART
    schema_name: str = PART
    name: str = PART
    comment: str | None = Field(default=None, max_length=5000)


class ModelChange(BaseModel):
    """Body of an update; only the comment can be changed."""

    comment: str | None = Field(default=None, max_length=5000)


class AliasTarget(BaseModel):
    version_num: int = Field(ge=1)


@router.post(BASE)
async def create_model(body: NewModel, request: Request) -> dict:
    services = request.app.state.services
    require_schema(services, body.catalog_name, body.schema_name)
    full_name = f"{body.catalog_name}.{body.schema_name}.{body.name}"
    given = {"name": full_name, "description": body.comment or ""}
    await services.mlflow.call("POST", f"{REGISTRY}/registered-models/create", given)
    return model_view(services, services.registry.model(full_name))


@router.get(BASE)
def list_models(
    request: Request,
    catalog_name: str | None = None,
    schema_name: str | None = None,
    max_results: int = 0,
    page_token: str = "",
) -> dict:
    """Models by name; ``page_token`` is the name after which the page begins."""
    if (catalog_name is None) != (schema_name is None):
        raise bad_request("catalog_name and schema_name are given both or not at all.")
    services = request.app.state.services
    rows = services.registry.models(catalog_name, schema_name)
    shown, following = page(
        [r for r in rows if r["name"] > page_token], max_results, itemgetter("name")
    )
    return {"registered_models": [model_view(services, row, False) for row in shown]} | following


@router.get(BASE + "/{full_name}")
def get_model(full_name: str, request: Request, include_aliases: bool = False) -> dict:
    services = request.app.state.services
    return model_view(services, services.registry.model(full_name), include_aliases)


@router.patch(BASE + "/{full_name}")
async def update_model(full_name: str, body: ModelChange, request: Request) -> dict:
    services = request.app.state.services
    services.registry.model(full_name)
    if body.comment is not None:
        change = {"name": full_name, "description": body.comment}
        await services.mlflow.call("PATCH", f"{REGISTRY}/registered-models/update", change)
    return model_view(services, services.registry.model(full_name))


@router.delete(BASE + "/{full_name}")
async def delete_model(full_name: str, request: Request) -> dict:
    """Delete a model with all its versions."""
    services = request.app.state.services
    services.registry.model(full_name)
    body = {"name": full_name}
    await services.mlflow.call("DELETE", f"{REGISTRY}/registered-models/delete", body)
    return {}


@router.get(BASE + "/{full_name}/versions")
def list_versions(
    full_name: str, request: Request, max_results: int = 0, page_token: str = ""
) -> dict:
    """Versions, oldest first; ``page_token`` is the number after which the page begins."""
    if page_token and not page_token.isdigit():
        raise bad_request("page_token: not one that was given out.")
    services = request.app.state.services
    after = int(page_token or 0)
    rows = [row for row in services.registry.versions(full_name) if row["version"] > after]
    shown, following = page(rows, max_results, itemgetter("version"))
    return {"model_versions": [version_view(services, row) for row in shown]} | following


@router.get(BASE + "/{full_name}/versions/{version}")
def get_version(
    full_name: str, version: int, request: Request, include_aliases: bool = False
) -> dict:
    services = request.app.state.services
    row = services.registry.version(full_name, version)
    return version_view(services, row, include_aliases)


@router.patch(BASE + "/{full_name}/versions/{version}")
async def update_version(full_name: str, version: int, body: ModelChange, request: Request) -> dict:
    services = request.app.state.services
    services.registry.version(full_name, version)
    if body.comment is not None:
        change = {"name": full_name, "version": str(version), "description": body.comment}
        await services.mlflow.call("PATCH", f"{REGISTRY}/model-versions/update", change)
    return version_view(services, services.registry.version(full_name, version))


@router.delete(BASE + "/{full_name}/versions/{version}")
async def delete_version(full_name: str, version: int, request: Request) -> dict:
    services = request.app.state.services
    services.registry.version(full_name, version)
    body = {"name": full_name, "version": str(version)}
    await services.mlflow.call("DELETE", f"{REGISTRY}/model-versions/delete", body)
    return {}


@router.put(BASE + "/{full_name}/aliases/{alias}")
async def set_alias(full_name: str, alias: str, body: AliasTarget, request: Request) -> dict:
    services = request.app.state.services
    services.registry.version(full_name, body.version_num)
    given = {"name": full_name, "alias": alias, "version": str(body.version_num)}
    await services.mlflow.call("POST", f"{REGISTRY}/registered-models/alias", given)
    return _alias(full_name, alias, body.version_num)


@router.get(BASE + "/{full_name}/aliases/{alias}")
def version_by_alias(
    full_name: str, alias: str, request: Request, include_aliases: bool = False
) -> dict:
    services = request.app.state.services
    number = _aliased(services, full_name, alias)
    return version_view(services, services.registry.version(full_name, number), include_aliases)


@router.delete(BASE + "/{full_name}/aliases/{alias}")
async def delete_alias(full_name: str, alias: str, request: Request) -> dict:
    services = request.app.state.services
    _aliased(services, full_name, alias)
    body = {"name": full_name, "alias": alias}
    await services.mlflow.call("DELETE", f"{REGISTRY}/registered-models/alias", body)
    return {}


def _aliased(services, full_name: str, alias: str) -> int:
    services.registry.model(full_name)
    number = services.registry.aliases(full_name).get(alias)
    if number is None:
        raise not_found(f"Registered model '{full_name}' has no alias '{alias}'.")
    return number


def require_schema(services, catalog: str, schema: str) -> None:
    """Raise ApiError 404 for a schema that does not exist or is kept by the workspace."""
    try:
        services.engine.catalog.schema_folder(catalog, schema)
    except CatalogError as error:
        raise not_found(f"Schema '{catalog}.{schema}' does not exist.") from error
    try:
        require_writable(catalog, schema)
    except CatalogError as error:
        raise ApiError(403, "PERMISSION_DENIED", str(error)) from error


def model_view(services, row: dict, with_aliases: bool = True) -> dict:
    """A model as Unity Catalog shows it; times in milliseconds since the epoch."""
    catalog, schema, name = _parts(row["name"])
    view = {
        "name": name,
        "catalog_name": catalog,
        "schema_name": schema,
        "full_name": row["name"],
        "comment": row["description"] or "",
        "owner": OWNER.user_name,
        "created_at": row["creation_time"],
        "created_by": OWNER.user_name,
        "updated_at": row["last_updated_time"],
        "updated_by": OWNER.user_name,
        "storage_location": f"dbfs:/Models/{catalog}/{schema}/{name}",
        "securable_type": "FUNCTION",
    }
    if with_aliases:
        aliases = services.registry.aliases(row["name"])
        view["aliases"] = [_alias(row["name"], alias, aliases[alias]) for alias in aliases]
    return view


def version_view(services, row: dict, with_aliases: bool = False) -> dict:
    """A version as Unity Catalog shows it; times in milliseconds since the epoch."""
    catalog, schema, name = _parts(row["name"])
    view = {
        "model_name": name,
        "catalog_name": catalog,
        "schema_name": schema,
        "version": row["version"],
        "comment": row["description"] or "",
        "source": services.artifact_names.outward(row["source"] or "", databricks=True),
        "run_id": row["run_id"] or "",
        "status": row["status"],
        "storage_location": f"dbfs:/Models/{catalog}/{schema}/{name}/{row['version']}",
        "created_at": row["creation_time"],
        "created_by": row["user_id"] or OWNER.user_name,
        "updated_at": row["last_updated_time"],
        "updated_by": row["user_id"] or OWNER.user_name,
    }
    if with_aliases:
        aliases = services.registry.aliases(row["name"])
        mine = [alias for alias in aliases if aliases[alias] == row["version"]]
        view["aliases"] = [_alias(row["name"], alias, row["version"]) for alias in mine]
    return view


def _alias(full_name: str, alias: str, version: int) -> dict:
    catalog, schema, name = _parts(full_name)
    return {
        "alias_name": alias,
        "version_num": version,
        "catalog_name": catalog,
        "schema_name": schema,
        "model_name": name,
    }


def _parts(full_name: str) -> tuple[str, str, str]:
    parts = full_name.split(".")
    if len(parts) != 3:
        raise not_found(f"'{full_name}' is no catalog.schema.model.")
    return parts[0], parts[1], parts[2]
