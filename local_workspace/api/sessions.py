"""SQL sessions as the connector opens and closes them (2.0/sql/sessions)."""

from __future__ import annotations

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

router = APIRouter()


class OpenSession(BaseModel):
    """Body of POST /api/2.0/sql/sessions."""

    warehouse_id: str = Field(min_length=1)
    catalog: str | None = None
    schema_: str | None = Field(default=None, alias="schema")
    session_confs: dict[str, str] | None = None


@router.post("/api/2.0/sql/sessions")
@router.post("/api/2.0/sql/sessions/", include_in_schema=False)
def open_session(body: OpenSession, request: Request) -> dict:
    session = request.app.state.services.sessions.open(
        body.warehouse_id, body.catalog, body.schema_, body.session_confs, _user(request)
    )
    return {"session_id": session.id}


@router.delete("/api/2.0/sql/sessions/{session_id}")
def close_session(session_id: str, request: Request) -> dict:
    """The warehouse is named in the body or in the query by some clients; the id says enough."""
    request.app.state.services.sessions.close(session_id, _user(request))
    return {}


def _user(request: Request) -> str:
    return request.state.principal.user_name
