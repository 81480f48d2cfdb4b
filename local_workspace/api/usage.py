"""Usage records, as far as only the embedded workspace has them: a correction on demand.

The cloud corrects records now and then; this makes it happen, so that a reader of the tables can be
tested against it. It answers only where the workspace was started with ``--faults``.
"""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field

from .local import switched_on

router = APIRouter(dependencies=[Depends(switched_on)])


class Restatement(BaseModel):
    """The record that was wrong, and how long the work really took."""

    record_id: str = Field(min_length=1)
    seconds: float = Field(ge=0, le=366 * 24 * 3600)


@router.post("/_local/usage/restate")
def restate(body: Restatement, request: Request) -> dict:
    request.app.state.services.meter.restate(body.record_id, body.seconds)
    return {}
