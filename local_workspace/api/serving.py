"""Serving endpoints API 2.0 and the invocations of their models."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field

from ..errors import not_computed

router = APIRouter()
PREFIX = "/api/2.0/serving-endpoints"


class Body(BaseModel):
    """A JSON object; fields that are not named here are kept, and refused where they matter."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())

    def given(self) -> dict:
        return self.model_dump(exclude_none=True)


class ServedEntity(Body):
    """A model version to serve; ``model_*`` are the older names of ``entity_*``."""

    name: str | None = None
    entity_name: str | None = None
    entity_version: str | None = None
    model_name: str | None = None
    model_version: str | None = None
    workload_size: str | None = None
    workload_type: str | None = None
    scale_to_zero_enabled: bool | None = None


class TrafficRoute(Body):
    """The share of the requests (percent) that a served entity gets."""

    served_entity_name: str | None = None
    served_model_name: str | None = None
    traffic_percentage: int | None = None


class TrafficConfig(Body):
    routes: list[TrafficRoute] | None = None


class InferenceTable(Body):
    """Where requests and answers are kept: ``catalog.schema.<prefix>_payload``."""

    catalog_name: str | None = None
    schema_name: str | None = None
    table_name_prefix: str | None = None
    enabled: bool | None = None


class Gateway(Body):
    """The part of an AI gateway that is computed here is its inference table."""

    inference_table_config: InferenceTable | None = None


class CoreConfig(Body):
    """What an endpoint serves; ``served_models`` is the older name of ``served_entities``."""

    served_entities: list[ServedEntity] | None = None
    served_models: list[ServedEntity] | None = None
    traffic_config: TrafficConfig | None = None
    auto_capture_config: InferenceTable | None = None


class Tag(Body):
    key: str = Field(min_length=1)
    value: str | None = None


class CreateEndpoint(Body):
    """Body of a create."""

    name: str
    config: CoreConfig
    description: str | None = None
    tags: list[Tag] | None = None
    ai_gateway: Gateway | None = None


class ChangeTags(Body):
    """Tags to set, and keys of tags to remove."""

    add_tags: list[Tag] | None = None
    delete_tags: list[str] | None = None


@router.post(PREFIX)
async def create_endpoint(body: CreateEndpoint, request: Request) -> dict:
    for name in ("rate_limits", "route_optimized", "email_notifications", "telemetry_config"):
        if (body.model_extra or {}).get(name):
            raise not_computed(f"serving endpoints: {name}")
    details = body.model_dump(include={"description", "tags"}, exclude_none=True)
    if body.ai_gateway is not None:
        details["ai_gateway"] = _gateway(body.ai_gateway)
    endpoint = await _endpoints(request).create(
        body.name, body.config.given(), details, request.state.principal
    )
    return endpoint.view()


@router.get(PREFIX)
async def list_endpoints(request: Request) -> dict:
    return {"endpoints": [endpoint.view() for endpoint in _endpoints(request).all()]}


@router.get(PREFIX + "/{name}")
async def get_endpoint(name: str, request: Request) -> dict:
    return _endpoints(request).get(name).view()


@router.put(PREFIX + "/{name}/config")
async def update_endpoint(name: str, body: CoreConfig, request: Request) -> dict:
    endpoint = await _endpoints(request).update_config(name, body.given(), request.state.principal)
    return endpoint.view()


@router.put(PREFIX + "/{name}/ai-gateway")
async def put_gateway(name: str, body: Gateway, request: Request) -> dict:
    gateway = _gateway(body)
    details = await _endpoints(request).change_details(
        name, lambda present: present | {"ai_gateway": gateway}
    )
    return details["ai_gateway"]


@router.patch(PREFIX + "/{name}/tags")
async def change_tags(name: str, body: ChangeTags, request: Request) -> dict:
    def changed(details: dict) -> dict:
        tags = {tag["key"]: tag for tag in details.get("tags", [])}
        tags |= {tag.key: tag.given() for tag in body.add_tags or []}
        for key in body.delete_tags or []:
            tags.pop(key, None)
        return details | {"tags": list(tags.values())}

    details = await _endpoints(request).change_details(name, changed)
    return {"tags": details["tags"]}


@router.delete(PREFIX + "/{name}")
async def delete_endpoint(name: str, request: Request) -> dict:
    await _endpoints(request).delete(name)
    return {}


@router.get(PREFIX + "/{name}/served-models/{entity}/logs")
async def service_log(name: str, entity: str, request: Request) -> dict:
    return {"logs": _endpoints(request).service_log(name, entity)}


@router.get(PREFIX + "/{name}/served-models/{entity}/build-logs")
async def build_log(name: str, entity: str, request: Request) -> dict:
    return {"logs": _endpoints(request).build_log(name, entity)}


@router.get(PREFIX + "/{name}/metrics")
async def metrics(name: str, request: Request) -> PlainTextResponse:
    return PlainTextResponse(
        _endpoints(request).metrics(name), media_type="text/plain; version=0.0.4"
    )


@router.post("/serving-endpoints/{name}/invocations")
async def invocations(name: str, request: Request) -> Response:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in ("text/csv", "application/vnd.apache.parquet"):
        raise not_computed(f"an invocation with a body of type {kind}")
    reply, entity = await _endpoints(request).invoke(
        name, await request.body(), request.state.principal
    )
    return Response(
        reply.body, reply.status, {"served-model-name": entity}, media_type="application/json"
    )


def _endpoints(request: Request):
    return request.app.state.services.endpoints


def _gateway(body: Gateway) -> dict:
    given = body.given()
    for name, value in given.items():
        off = isinstance(value, dict) and not value.get("enabled", True)
        if name != "inference_table_config" and value and not off:
            raise not_computed(f"serving endpoints: ai_gateway.{name}")
    return given
