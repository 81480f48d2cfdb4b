"""Serving endpoints API 2.0 and the invocations of their models."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict

router = APIRouter()


class CreateEndpoint(BaseModel):
    """Body of a create; ``config`` holds served_entities and traffic_config."""

    model_config = ConfigDict(extra="allow")
    name: str
    config: dict


@router.post("/api/2.0/serving-endpoints")
async def create_endpoint(body: CreateEndpoint, request: Request) -> dict:
    endpoints = request.app.state.services.endpoints
    return (await endpoints.create(body.name, body.config)).view()


@router.get("/api/2.0/serving-endpoints")
async def list_endpoints(request: Request) -> dict:
    endpoints = request.app.state.services.endpoints
    return {"endpoints": [endpoint.view() for endpoint in endpoints.all()]}


@router.get("/api/2.0/serving-endpoints/{name}")
async def get_endpoint(name: str, request: Request) -> dict:
    return request.app.state.services.endpoints.get(name).view()


@router.put("/api/2.0/serving-endpoints/{name}/config")
async def update_endpoint(name: str, body: dict, request: Request) -> dict:
    endpoints = request.app.state.services.endpoints
    return (await endpoints.update_config(name, body)).view()


@router.delete("/api/2.0/serving-endpoints/{name}")
async def delete_endpoint(name: str, request: Request) -> dict:
    await request.app.state.services.endpoints.delete(name)
    return {}


@router.get("/api/2.0/serving-endpoints/{name}/served-models/{entity}/logs")
async def entity_logs(name: str, entity: str, request: Request) -> dict:
    return {"logs": request.app.state.services.endpoints.read_log(name, entity)}


@router.post("/serving-endpoints/{name}/invocations")
async def invocations(name: str, request: Request) -> Response:
    endpoints = request.app.state.services.endpoints
    status, answer, entity = await endpoints.invoke(name, await request.body())
    return Response(answer, status, {"served-model-name": entity}, media_type="application/json")
