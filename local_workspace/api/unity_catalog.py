"""Unity Catalog 2.1: catalogs, schemas, tables and volumes. Names and listings, no grants.

Tables are read from their Delta logs, not through the engine.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from ..engine.catalog import CatalogError
from ..errors import ApiError, not_computed
from ..sql.catalog_statements.patterns import sql_like
from ..unity import views
from ..unity.objects import Facts, require_writable
from ..unity.paging import page

BASE = "/api/2.1/unity-catalog"
COMMENT = Field(default=None, max_length=65_535)
NAME = Field(min_length=1, max_length=255)
router = APIRouter()

# SQL's error class -> status, REST's error code.
_CODES = {
    "NO_SUCH_CATALOG_EXCEPTION": (404, "CATALOG_DOES_NOT_EXIST"),
    "SCHEMA_NOT_FOUND": (404, "SCHEMA_DOES_NOT_EXIST"),
    "TABLE_OR_VIEW_NOT_FOUND": (404, "TABLE_DOES_NOT_EXIST"),
    "VOLUME_DOES_NOT_EXIST": (404, "VOLUME_DOES_NOT_EXIST"),
    "SCHEMA_ALREADY_EXISTS": (400, "SCHEMA_ALREADY_EXISTS"),
    "VOLUME_ALREADY_EXISTS": (400, "VOLUME_ALREADY_EXISTS"),
    "SCHEMA_NOT_EMPTY": (400, "INVALID_STATE"),
    "INSUFFICIENT_PERMISSIONS": (403, "PERMISSION_DENIED"),
}


class NewSchema(BaseModel):
    """Body of a create."""

    catalog_name: str = NAME
    name: str = NAME
    comment: str | None = COMMENT
    properties: dict[str, str] = {}
    storage_root: str | None = None


class NewVolume(BaseModel):
    """Body of a create."""

    catalog_name: str = NAME
    schema_name: str = NAME
    name: str = NAME
    volume_type: Literal["MANAGED", "EXTERNAL"]
    comment: str | None = COMMENT
    storage_location: str | None = None


@router.get(BASE + "/current-metastore-assignment")
def current_metastore(request: Request) -> dict:
    services = request.app.state.services
    return {
        "metastore_id": views.metastore_id(services.org_id),
        "workspace_id": int(services.org_id),
        "default_catalog_name": services.engine.catalog.default,
    }


@router.get(BASE + "/catalogs")
def list_catalogs(request: Request, max_results: int = 0, page_token: str = "") -> dict:
    services = request.app.state.services
    names = [name for name in services.objects.catalogs() if name > page_token]
    shown, more = page(names, max_results, str)
    return {"catalogs": [_catalog(services, name) for name in shown]} | more


@router.get(BASE + "/catalogs/{name}")
def get_catalog(name: str, request: Request) -> dict:
    with _rest_errors(name):
        return _catalog(request.app.state.services, name.lower())


@router.get(BASE + "/schemas")
def list_schemas(
    request: Request, catalog_name: str, max_results: int = 0, page_token: str = ""
) -> dict:
    services = request.app.state.services
    catalog = catalog_name.lower()
    with _rest_errors(catalog_name):
        names = [name for name in services.objects.schemas(catalog) if name > page_token]
    shown, more = page(names, max_results, str)
    found = []
    for name in shown:
        with suppress(CatalogError):  # dropped since it was listed
            found.append(_schema(services, catalog, name))
    return {"schemas": found} | more


@router.post(BASE + "/schemas")
def create_schema(body: NewSchema, request: Request) -> dict:
    if body.storage_root:
        raise not_computed("a schema with a storage_root")
    services = request.app.state.services
    catalog, schema = body.catalog_name.lower(), body.name.lower()
    facts = Facts(request.state.principal.user_name, body.comment, body.properties)
    with _rest_errors(catalog, schema):
        services.objects.create_schema(catalog, schema, facts)
        return _schema(services, catalog, schema)


@router.get(BASE + "/schemas/{full_name}")
def get_schema(full_name: str, request: Request) -> dict:
    catalog, schema = _parts(full_name, 2)
    with _rest_errors(catalog, schema):
        return _schema(request.app.state.services, catalog, schema)


@router.delete(BASE + "/schemas/{full_name}")
def delete_schema(full_name: str, request: Request, force: bool = False) -> dict:
    catalog, schema = _parts(full_name, 2)
    with _rest_errors(catalog, schema):
        request.app.state.services.objects.drop_schema(catalog, schema, cascade=force)
    return {}


@router.get(BASE + "/tables")
def list_tables(
    request: Request,
    catalog_name: str,
    schema_name: str,
    max_results: int = 0,
    page_token: str = "",
    omit_columns: bool = False,
    omit_properties: bool = False,
) -> dict:
    services = request.app.state.services
    place = (catalog_name.lower(), schema_name.lower())
    with _rest_errors(*place):
        names = [name for name in services.information_schema.names(*place) if name > page_token]
    shown, more = page(names, max_results, str)
    metastore = views.metastore_id(services.org_id)
    found = []
    for name in shown:
        with suppress(CatalogError):  # dropped since it was listed
            table = services.information_schema.info(*place, name)
            found.append(views.table_view(metastore, table, not omit_columns, not omit_properties))
    return {"tables": found} | more


@router.get(BASE + "/table-summaries")
def list_table_summaries(
    request: Request,
    catalog_name: str,
    schema_name_pattern: str | None = None,
    table_name_pattern: str | None = None,
    max_results: int = 0,
    page_token: str = "",
) -> dict:
    """Names and kinds of the tables of a catalog; the patterns are those of SQL's LIKE."""
    services = request.app.state.services
    catalog = catalog_name.lower()
    fits = sql_like(table_name_pattern)
    with _rest_errors(catalog):
        schemas = filter(sql_like(schema_name_pattern), services.objects.schemas(catalog))
    keys = []
    for schema in schemas:
        with suppress(CatalogError):  # dropped since it was listed
            names = services.information_schema.names(catalog, schema)
            keys += [(catalog, schema, name) for name in names if fits(name)]
    left = sorted(key for key in keys if ".".join(key) > page_token)
    shown, more = page(left, max_results, ".".join)
    found = []
    for key in shown:
        with suppress(CatalogError):
            table = services.information_schema.info(*key)
            found.append({"full_name": table.full_name, "table_type": table.kind})
    return {"tables": found} | more


@router.get(BASE + "/tables/{full_name}")
def get_table(full_name: str, request: Request) -> dict:
    key = _parts(full_name, 3)
    services = request.app.state.services
    with _rest_errors(*key):
        table = services.information_schema.info(*key)
    return views.table_view(views.metastore_id(services.org_id), table)


@router.get(BASE + "/tables/{full_name}/exists")
def table_exists(full_name: str, request: Request) -> dict:
    try:
        request.app.state.services.information_schema.info(*_parts(full_name, 3))
    except CatalogError:
        return {"table_exists": False}
    return {"table_exists": True}


@router.delete(BASE + "/tables/{full_name}")
def delete_table(full_name: str, request: Request) -> dict:
    key = _parts(full_name, 3)
    with _rest_errors(*key):
        require_writable(*key[:2])
        request.app.state.services.engine.catalog.drop_table(*key)
    return {}


@router.get(BASE + "/volumes")
def list_volumes(
    request: Request,
    catalog_name: str,
    schema_name: str,
    max_results: int = 0,
    page_token: str = "",
) -> dict:
    services = request.app.state.services
    place = (catalog_name.lower(), schema_name.lower())
    with _rest_errors(*place):
        names = [name for name in services.objects.volumes(*place) if name > page_token]
    shown, more = page(names, max_results, str)
    found = []
    for name in shown:
        with suppress(CatalogError):  # dropped since it was listed
            found.append(_volume(services, (*place, name)))
    return {"volumes": found} | more


@router.post(BASE + "/volumes")
def create_volume(body: NewVolume, request: Request) -> dict:
    if body.volume_type == "EXTERNAL" or body.storage_location:
        raise not_computed("a volume with a storage_location")
    services = request.app.state.services
    key = (body.catalog_name.lower(), body.schema_name.lower(), body.name.lower())
    with _rest_errors(*key):
        services.objects.create_volume(*key, Facts(request.state.principal.user_name, body.comment))
        return _volume(services, key)


@router.get(BASE + "/volumes/{full_name}")
def get_volume(full_name: str, request: Request) -> dict:
    key = _parts(full_name, 3)
    with _rest_errors(*key):
        return _volume(request.app.state.services, key)


@router.delete(BASE + "/volumes/{full_name}")
def delete_volume(full_name: str, request: Request) -> dict:
    key = _parts(full_name, 3)
    with _rest_errors(*key):
        request.app.state.services.objects.drop_volume(*key)
    return {}


def _catalog(services, name: str) -> dict:
    facts = services.objects.catalog_facts(name)
    return views.catalog_view(views.metastore_id(services.org_id), name, facts)


def _schema(services, catalog: str, schema: str) -> dict:
    facts = services.objects.schema_facts(catalog, schema)
    return views.schema_view(views.metastore_id(services.org_id), catalog, schema, facts)


def _volume(services, key: tuple[str, str, str]) -> dict:
    objects = services.objects
    metastore = views.metastore_id(services.org_id)
    return views.volume_view(
        metastore, key, objects.volume_facts(*key), objects.volume_folder(*key)
    )


def _parts(full_name: str, count: int) -> tuple[str, ...]:
    """Lower-case parts of a full name. Raises ApiError when there are not ``count`` of them."""
    parts = full_name.lower().split(".")
    if len(parts) != count or not all(parts):
        kind = {2: "catalog.schema", 3: "catalog.schema.name"}[count]
        raise ApiError(400, "INVALID_PARAMETER_VALUE", f"'{full_name}' is no {kind}.")
    return tuple(parts)


@contextmanager
def _rest_errors(*key: str) -> Iterator[None]:
    """What the catalog says of a name (catalog, schema, table or volume), as REST says it."""
    try:
        yield
    except CatalogError as error:
        status, code = _CODES.get(error.error_class, (400, "INVALID_PARAMETER_VALUE"))
        raise ApiError(status, code, _message(code, key) or str(error)) from error


def _message(code: str, key: tuple[str, ...]) -> str:
    kind, _, rest = code.partition("_")
    name = ".".join(key[: {"CATALOG": 1, "SCHEMA": 2}.get(kind, 3)])
    if rest == "DOES_NOT_EXIST":
        return f"{kind.capitalize()} '{name}' does not exist."
    return f"{kind.capitalize()} '{name}' already exists" if rest == "ALREADY_EXISTS" else ""
