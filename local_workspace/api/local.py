"""What only the embedded workspace has: health, and faults and settings for tests of clients."""

from __future__ import annotations

import time

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from .. import __version__
from ..faults import Fault

router = APIRouter()


class WarehouseSettings(BaseModel):
    """How the local warehouse behaves when stopped; seconds that a start takes."""

    auto_start: bool | None = None
    start_seconds: float | None = Field(default=None, ge=0, le=600)


class ServingSettings(BaseModel):
    """How long one invocation may take, in seconds, before its model process is replaced."""

    invocation_seconds: float = Field(gt=0, le=600)


@router.get("/_local/health")
def health(request: Request) -> dict:
    services = request.app.state.services
    return {
        "status": "ok",
        "version": __version__,
        "engine": "up" if services.engine.process.pid else "down",
        "uptime_seconds": round(time.monotonic() - services.started, 1),
    }


@router.post("/_local/faults")
def plan_fault(fault: Fault, request: Request) -> dict:
    request.app.state.services.faults.plan(fault)
    return {}


@router.get("/_local/faults")
def list_faults(request: Request) -> dict:
    planned = request.app.state.services.faults.planned()
    return {"faults": [fault.model_dump(exclude_none=True) for fault in planned]}


@router.delete("/_local/faults")
def clear_faults(request: Request) -> dict:
    request.app.state.services.faults.clear()
    return {}


@router.post("/_local/warehouse")
def configure_warehouse(settings: WarehouseSettings, request: Request) -> dict:
    request.app.state.services.warehouses.configure(settings.auto_start, settings.start_seconds)
    return {}


@router.post("/_local/serving")
async def configure_serving(settings: ServingSettings, request: Request) -> dict:
    request.app.state.services.endpoints.invocation_seconds = settings.invocation_seconds
    return {}
