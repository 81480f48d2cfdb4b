"""SQL warehouses API 2.0: list, get, start, stop."""

from __future__ import annotations

from fastapi import APIRouter, Request

router = APIRouter()


@router.get("/api/2.0/sql/warehouses")
def list_warehouses(request: Request) -> dict:
    services = request.app.state.services
    return {"warehouses": [_with_paths(services, w) for w in services.warehouses.all()]}


@router.get("/api/2.0/sql/warehouses/{warehouse_id}")
def get_warehouse(warehouse_id: str, request: Request) -> dict:
    services = request.app.state.services
    return _with_paths(services, services.warehouses.get(warehouse_id))


@router.post("/api/2.0/sql/warehouses/{warehouse_id}/start")
def start_warehouse(warehouse_id: str, request: Request) -> dict:
    request.app.state.services.warehouses.start(warehouse_id)
    return {}


@router.post("/api/2.0/sql/warehouses/{warehouse_id}/stop")
def stop_warehouse(warehouse_id: str, request: Request) -> dict:
    services = request.app.state.services
    services.warehouses.stop(warehouse_id)
    services.statements.cancel_all()
    return {}


def _with_paths(services, warehouse: dict) -> dict:
    path = f"/sql/1.0/warehouses/{warehouse['id']}"
    odbc = {"hostname": "127.0.0.1", "port": services.settings.port, "protocol": "http",
            "path": path}  # fmt: skip
    return warehouse | {"odbc_params": odbc}
