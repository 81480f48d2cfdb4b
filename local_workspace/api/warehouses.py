"""SQL warehouses API 2.0: list, get, edit, start, stop."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from ..sql.warehouses import Warehouse, describe

router = APIRouter()


class EditWarehouse(BaseModel):
    """Body of an edit; what is not named stays as it is."""

    name: str | None = None
    cluster_size: str | None = None
    auto_stop_mins: int | None = Field(default=None, ge=0, le=10_000)
    min_num_clusters: int | None = None
    max_num_clusters: int | None = None
    warehouse_type: Literal["CLASSIC", "PRO"] | None = None


@router.get("/api/2.0/sql/warehouses")
def list_warehouses(request: Request) -> dict:
    found = request.app.state.services.warehouses.all()
    return {"warehouses": [_described(request, warehouse) for warehouse in found]}


@router.get("/api/2.0/sql/warehouses/{warehouse_id}")
def get_warehouse(warehouse_id: str, request: Request) -> dict:
    return _described(request, request.app.state.services.warehouses.get(warehouse_id))


@router.post("/api/2.0/sql/warehouses/{warehouse_id}/edit")
def edit_warehouse(warehouse_id: str, body: EditWarehouse, request: Request) -> dict:
    changes = body.model_dump(exclude_none=True)
    request.app.state.services.warehouses.edit(warehouse_id, changes)
    return {"id": warehouse_id}


@router.post("/api/2.0/sql/warehouses/{warehouse_id}/start")
def start_warehouse(warehouse_id: str, request: Request) -> dict:
    request.app.state.services.warehouses.start(warehouse_id)
    return {}


@router.post("/api/2.0/sql/warehouses/{warehouse_id}/stop")
def stop_warehouse(warehouse_id: str, request: Request) -> dict:
    """Statements that run on it are cancelled."""
    services = request.app.state.services
    services.warehouses.stop(warehouse_id)
    services.statements.cancel_all(warehouse_id)
    return {}


def _described(request: Request, warehouse: Warehouse) -> dict:
    services = request.app.state.services
    sessions = services.sessions.count(warehouse.id)
    return describe(warehouse, services.settings.host, sessions)
