"""What only the embedded workspace has: health, and controls for tests of clients.

The controls answer only where the workspace was started with ``--faults``.
"""

from __future__ import annotations

import time

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field

from .. import __version__, clock
from ..errors import ApiError
from ..faults import Fault

TEN_YEARS = 10 * 366 * 24 * 3600


def switched_on(request: Request) -> None:
    """Raise ApiError 501 unless the workspace was started for tests."""
    if not request.app.state.services.settings.faults:
        name = f"{request.method} {request.url.path}"
        text = f"{name} is off: the workspace was started without --faults"
        raise ApiError(501, "NOT_IMPLEMENTED", text)


router = APIRouter()
controls = APIRouter(dependencies=[Depends(switched_on)])


class ClockSettings(BaseModel):
    """How many seconds the workspace's clock is ahead of the machine's."""

    ahead_seconds: float = Field(ge=0, le=TEN_YEARS)


class WarehouseSettings(BaseModel):
    """How the local warehouse behaves when stopped; seconds that a start takes."""

    auto_start: bool | None = None
    start_seconds: float | None = Field(default=None, ge=0, le=600)


class ServingSettings(BaseModel):
    """Limits of model processes; see ``serving/limits.py``. Memory is that of later loads."""

    invocation_seconds: float | None = Field(default=None, gt=0, le=600)
    wake_seconds: float | None = Field(default=None, ge=0, le=600)
    idle_seconds: float | None = Field(default=None, ge=0)
    memory_bytes: int | None = Field(default=None, ge=2**28)


@router.get("/_local/health")
def health(request: Request) -> dict:
    services = request.app.state.services
    return {
        "status": "ok",
        "version": __version__,
        "engine": "up" if services.engine.process.pid else "down",
        "uptime_seconds": round(time.monotonic() - services.started, 1),
    }


@controls.post("/_local/faults")
def plan_fault(fault: Fault, request: Request) -> dict:
    request.app.state.services.faults.plan(fault)
    return {}


@controls.get("/_local/faults")
def list_faults(request: Request) -> dict:
    planned = request.app.state.services.faults.planned()
    return {"faults": [fault.model_dump(exclude_none=True) for fault in planned]}


@controls.delete("/_local/faults")
def clear_faults(request: Request) -> dict:
    request.app.state.services.faults.clear()
    return {}


@controls.post("/_local/warehouse")
def configure_warehouse(settings: WarehouseSettings, request: Request) -> dict:
    request.app.state.services.warehouses.configure(settings.auto_start, settings.start_seconds)
    return {}


@controls.post("/_local/serving")
async def configure_serving(settings: ServingSettings, request: Request) -> dict:
    limits = request.app.state.services.endpoints.limits
    limits.change(settings.model_dump(exclude_none=True))
    return {}


@controls.post("/_local/clock")
def set_clock(settings: ClockSettings) -> dict:
    clock.set_ahead(settings.ahead_seconds)
    return {"now_ms": clock.now_ms()}


@controls.post("/_local/reset")
async def reset(request: Request) -> dict:
    """Undo every control. What clients made (tables, jobs, runs, tokens) stays."""
    services = request.app.state.services
    services.faults.clear()
    services.warehouses.configure(auto_start=True, start_seconds=0.0)
    services.endpoints.limits.reset()
    clock.set_ahead(0)
    return {}


router.include_router(controls)
