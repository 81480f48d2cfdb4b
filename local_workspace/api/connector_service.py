"""What the SQL connectors ask for beside their work: feature flags, and a place for telemetry."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel

FLAGS_SECONDS = 900

router = APIRouter()


class Telemetry(BaseModel):
    """Body of POST /telemetry-ext: events of a driver or of the CLI, each as JSON text."""

    items: list[str] = []
    protoLogs: list[str] = []


@router.get("/api/2.0/connector-service/feature-flags/{driver}/{version}")
def feature_flags(driver: str, version: str) -> dict:
    """No flag is set, so a connector does what it does by default."""
    return {"flags": [], "ttl_seconds": FLAGS_SECONDS}


@router.post("/telemetry-ext")
def telemetry(body: Telemetry) -> dict:
    """Taken and not kept: nothing about a client leaves this machine."""
    return {
        "errors": [],
        "numSuccess": len(body.items),
        "numProtoSuccess": len(body.protoLogs),
        "numRealtimeSuccess": 0,
    }
