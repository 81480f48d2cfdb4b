"""The list of what this workspace answers, from the recorded traffic of the client suite."""

from __future__ import annotations

from fastapi import APIRouter

from .. import capabilities

router = APIRouter()


@router.get("/_local/capabilities")
def list_capabilities() -> dict:
    return {"capabilities": capabilities.load()}
