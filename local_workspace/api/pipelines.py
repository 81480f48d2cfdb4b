"""Pipelines API 2.0: definitions, updates, events, stop."""

from __future__ import annotations

import base64
import json
import re
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from ..errors import bad_request, not_computed
from ..pipelines.event_log import event_view, parse_filter
from ..pipelines.updates import Pipelines
from ..pipelines.views import LATEST_UPDATES, pipeline_view, state_view, update_view

router = APIRouter()
_NAME_LIKE = re.compile(r"\s*name\s+LIKE\s+'([^']*)'\s*$", re.IGNORECASE)
_LIST_ORDERS = {"id": "number", "name": "name"}
_NOT_STARTED = (
    "parameters",
    "reset_checkpoint_selection",
    "rewind_spec",
    "replace_where_overrides",
)
CAUSES = Literal[
    "API_CALL", "INFRASTRUCTURE_MAINTENANCE", "JOB_TASK", "RETRY_ON_FAILURE", "SCHEMA_CHANGE",
    "SERVICE_UPGRADE", "USER_ACTION",
]  # fmt: skip


class Spec(BaseModel):
    """Body of create and edit: echoed as it was sent, so that further fields are kept."""

    model_config = ConfigDict(extra="allow")


class StartUpdate(BaseModel):
    """Body of start; fields that ask for something else are refused by name."""

    model_config = ConfigDict(extra="allow")
    full_refresh: bool = False
    refresh_selection: list[Annotated[str, Field(min_length=1)]] = []
    full_refresh_selection: list[Annotated[str, Field(min_length=1)]] = []
    validate_only: bool = False
    cause: CAUSES = "API_CALL"


def _pipelines(request: Request) -> Pipelines:
    return request.app.state.services.pipelines


def _page_size(max_results: int, most: int) -> int:
    if max_results < 1:
        raise bad_request("max_results must be at least 1.")
    return min(max_results, most)


def _token(**values: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


def _opened(page_token: str | None, **types: type) -> dict:
    """What a page token carries; 400 for one that was not given out."""
    if not page_token:
        return dict.fromkeys(types)
    try:
        padded = page_token + "=" * (-len(page_token) % 4)
        values = json.loads(base64.urlsafe_b64decode(padded))
        found = {name: values[name] for name in types}
        json.dumps(found, ensure_ascii=False).encode()
    except (ValueError, KeyError, TypeError) as error:
        raise bad_request("page_token is none that was given out.") from error
    for name, kind in types.items():
        value = found[name]
        if not isinstance(value, kind) or (isinstance(value, int) and abs(value) >= 2**63):
            raise bad_request("page_token is none that was given out.")
    return found


def _order(order_by: list[str] | None, fields: dict[str, str], default: str) -> str:
    """An ORDER BY term for ``order_by``, which names one of ``fields`` and asc or desc."""
    if not order_by:
        return default
    words = order_by[0].lower().split() + ["asc"]
    if len(order_by) > 1 or words[0] not in fields or words[1] not in ("asc", "desc"):
        raise bad_request(f"order_by: one of {', '.join(fields)}, with asc or desc.")
    return f"{fields[words[0]]} {words[1].upper()}"


@router.post("/api/2.0/pipelines")
def create_pipeline(spec: Spec, request: Request) -> dict:
    user = request.state.principal.user_name
    return {"pipeline_id": _pipelines(request).create(spec.model_dump(), user)}


@router.get("/api/2.0/pipelines")
def list_pipelines(
    request: Request,
    filter: str | None = None,
    max_results: int = 25,
    order_by: Annotated[list[str] | None, Query()] = None,
    page_token: str | None = None,
) -> dict:
    like = None
    if filter:
        match = _NAME_LIKE.match(filter)
        if match is None:
            raise bad_request("filter: supported is name LIKE '<pattern>'.")
        like = match.group(1)
    if not 1 <= max_results <= 100:
        raise bad_request("max_results must be between 1 and 100.")
    order = _order(order_by, _LIST_ORDERS, "number ASC")
    token = _opened(page_token, value=int | str, number=int)
    after = (token["value"], token["number"]) if page_token else None
    store = _pipelines(request).store
    rows = store.list(like, order, after, max_results + 1)
    answer: dict = {
        "statuses": [
            state_view(row, store.updates(row["pipeline_id"], None, LATEST_UPDATES))
            for row in rows[:max_results]
        ]
    }
    if len(rows) > max_results:
        last = rows[max_results - 1]
        answer["next_page_token"] = _token(value=last[order.split()[0]], number=last["number"])
    return answer


@router.get("/api/2.0/pipelines/{pipeline_id}")
def get_pipeline(pipeline_id: str, request: Request) -> dict:
    store = _pipelines(request).store
    row = store.pipeline(pipeline_id)
    return pipeline_view(row, store.updates(pipeline_id, None, LATEST_UPDATES))


@router.put("/api/2.0/pipelines/{pipeline_id}")
def edit_pipeline(pipeline_id: str, spec: Spec, request: Request) -> dict:
    user = request.state.principal.user_name
    _pipelines(request).edit(pipeline_id, spec.model_dump(), user)
    return {}


@router.delete("/api/2.0/pipelines/{pipeline_id}")
def delete_pipeline(
    pipeline_id: str, request: Request, cascade: bool = True, force: bool = False
) -> dict:
    """``force`` changes nothing here: the clean-up has no part that can be left undone."""
    _pipelines(request).delete(pipeline_id, cascade)
    return {}


@router.post("/api/2.0/pipelines/{pipeline_id}/updates")
def start_update(pipeline_id: str, request: Request, body: StartUpdate | None = None) -> dict:
    body = body or StartUpdate()
    for name in _NOT_STARTED:
        if (body.model_extra or {}).get(name):
            raise not_computed(f"{name} of an update")
    update_id = _pipelines(request).start_update(
        pipeline_id, body.full_refresh, body.refresh_selection, body.full_refresh_selection,
        body.validate_only, body.cause, request.state.principal.user_name,
    )  # fmt: skip
    return {"update_id": update_id}


@router.get("/api/2.0/pipelines/{pipeline_id}/updates")
def list_updates(
    pipeline_id: str,
    request: Request,
    max_results: int = 25,
    page_token: str | None = None,
    until_update_id: str | None = None,
) -> dict:
    """Newest first, down to ``until_update_id`` where that is given."""
    store = _pipelines(request).store
    store.pipeline(pipeline_id)
    size = _page_size(max_results, 100)
    rows = store.updates(pipeline_id, _opened(page_token, before=int)["before"], size + 1)
    more = len(rows) > size
    rows = rows[:size]
    if until_update_id is not None:
        until = store.update(pipeline_id, until_update_id)["number"]
        more = more and rows[-1]["number"] > until
        rows = [row for row in rows if row["number"] >= until]
    answer: dict = {"updates": [update_view(row, with_config=False) for row in rows]}
    if more:
        answer["next_page_token"] = _token(before=rows[-1]["number"])
    return answer


@router.get("/api/2.0/pipelines/{pipeline_id}/updates/{update_id}")
def get_update(pipeline_id: str, update_id: str, request: Request) -> dict:
    return {"update": _pipelines(request).update(pipeline_id, update_id)}


@router.get("/api/2.0/pipelines/{pipeline_id}/events")
def list_events(
    pipeline_id: str,
    request: Request,
    filter: str | None = None,
    max_results: int = 25,
    order_by: Annotated[list[str] | None, Query()] = None,
    page_token: str | None = None,
) -> dict:
    """Newest first unless asked otherwise; a page token remembers filter and order."""
    pipelines = _pipelines(request)
    pipeline = pipelines.store.pipeline(pipeline_id)
    order = _order(order_by, {"timestamp": "time"}, "time DESC")
    token = _opened(page_token, filter=str, order=str, after=int)
    if page_token:
        filter, order = token["filter"] or None, token["order"]
    size = _page_size(max_results, 250)
    rows = pipelines.events.page(
        pipeline_id, parse_filter(filter), order == "time ASC", token["after"], size + 1
    )
    org_id = request.app.state.services.org_id
    answer: dict = {"events": [event_view(row, pipeline["name"], org_id) for row in rows[:size]]}
    if len(rows) > size:
        last = rows[size - 1]["sequence"]
        answer["next_page_token"] = _token(filter=filter or "", order=order, after=last)
    return answer


@router.post("/api/2.0/pipelines/{pipeline_id}/stop")
def stop_pipeline(pipeline_id: str, request: Request) -> dict:
    _pipelines(request).stop(pipeline_id, request.state.principal.user_name)
    return {}
