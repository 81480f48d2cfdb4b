"""Clusters API 2.1: the one cluster of this machine, its states, events and types."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from ..sql.clusters import SPARK_NAME, SPARK_VERSION, node_type

router = APIRouter()


class ClusterName(BaseModel):
    """Body of start and delete."""

    cluster_id: str = Field(min_length=1)


class ResizeCluster(ClusterName):
    """Body of resize. Workers are counted and shown; this machine gets none."""

    num_workers: int = Field(ge=0, le=1000)


class EventsOfCluster(ClusterName):
    """Body of events."""

    order: Literal["ASC", "DESC"] = "DESC"
    limit: int = Field(default=50, ge=1, le=500)
    offset: int = Field(default=0, ge=0, le=10**9)


@router.get("/api/2.1/clusters/list")
def list_clusters(request: Request) -> dict:
    return {"clusters": request.app.state.services.clusters.all()}


@router.get("/api/2.1/clusters/get")
def get_cluster(cluster_id: str, request: Request) -> dict:
    return request.app.state.services.clusters.get(cluster_id)


@router.post("/api/2.1/clusters/start")
def start_cluster(body: ClusterName, request: Request) -> dict:
    request.app.state.services.clusters.start(body.cluster_id, _user(request))
    return {}


@router.post("/api/2.1/clusters/resize")
def resize_cluster(body: ResizeCluster, request: Request) -> dict:
    request.app.state.services.clusters.resize(body.cluster_id, body.num_workers, _user(request))
    return {}


@router.post("/api/2.1/clusters/delete")
def terminate_cluster(body: ClusterName, request: Request) -> dict:
    request.app.state.services.clusters.terminate(body.cluster_id, _user(request))
    return {}


@router.post("/api/2.1/clusters/events")
def list_events(body: EventsOfCluster, request: Request) -> dict:
    found, total = request.app.state.services.clusters.events(
        body.cluster_id, body.limit, body.offset, body.order == "DESC"
    )
    answer: dict = {"events": found, "total_count": total}
    if body.offset + len(found) < total:
        answer["next_page"] = body.model_dump() | {"offset": body.offset + len(found)}
    return answer


@router.get("/api/2.1/clusters/spark-versions")
def list_spark_versions() -> dict:
    return {"versions": [{"key": SPARK_VERSION, "name": SPARK_NAME}]}


@router.get("/api/2.1/clusters/list-node-types")
def list_node_types() -> dict:
    return {"node_types": [node_type()]}


def _user(request: Request) -> str:
    return request.state.principal.user_name
