"""Query history API 2.0: the statements of SQL warehouses, newest first."""

from __future__ import annotations

from fastapi import APIRouter, Request

from ..access.principals import USER
from ..errors import bad_request, not_computed
from ..sql.query_history import MOST, Wanted, history

router = APIRouter()


@router.get("/api/2.0/sql/history/queries")
def list_queries(
    request: Request,
    max_results: int = 100,
    page_token: str | None = None,
    include_metrics: bool = False,
) -> dict:
    """The filter comes as ``filter_by.statuses=...``, a name as often as it has values."""
    if not 1 <= max_results <= MOST:
        raise bad_request(f"max_results: between 1 and {MOST}.")
    if page_token and not (page_token.isascii() and page_token.isdigit()):
        raise bad_request("page_token: use the next_page_token of an earlier answer.")
    services = request.app.state.services
    infos, following = history(
        services.store, services.statements.active(), _wanted(request), max_results,
        int(page_token[:18]) if page_token else None,
    )  # fmt: skip
    if not include_metrics:
        for info in infos:
            del info["metrics"]
    answer: dict = {"res": infos, "has_next_page": following is not None}
    if following is not None:
        answer["next_page_token"] = str(following)
    return answer


def _wanted(request: Request) -> Wanted:
    query = request.query_params
    if query.getlist("filter_by.user_ids"):
        raise not_computed("filter_by.user_ids")
    user = request.state.principal.user_name
    return Wanted(
        user=None if user == USER else user,
        statuses=tuple(query.getlist("filter_by.statuses")),
        warehouse_ids=tuple(query.getlist("filter_by.warehouse_ids")),
        statement_ids=tuple(query.getlist("filter_by.statement_ids")),
        start_ms=_moment(request, "start_time_ms"),
        end_ms=_moment(request, "end_time_ms"),
    )


def _moment(request: Request, name: str) -> int | None:
    key = f"filter_by.query_start_time_range.{name}"
    text = request.query_params.get(key)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 18):
        raise bad_request(f"{key}: milliseconds since the epoch.")
    return int(text)
