"""Statement Execution API 2.0: execute, get, cancel, chunks, presigned results."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Literal

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, JSONResponse
from pydantic import BaseModel, Field

from ..engine.interface import Parameter
from ..errors import bad_request, not_computed, not_found
from ..sql.results import Chunk, json_rows
from ..sql.statement_runs import Order, StatementRun

LINK_SECONDS = 900
router = APIRouter()


class StatementParameter(BaseModel):
    """A named parameter; ``value`` is text in every type, absent or null for NULL."""

    name: str = Field(min_length=1)
    value: str | None = None
    type: str = "STRING"


class ExecuteStatement(BaseModel):
    """Body of POST /api/2.0/sql/statements."""

    statement: str = Field(min_length=1)
    warehouse_id: str = Field(min_length=1)
    catalog: str | None = None
    schema_: str | None = Field(default=None, alias="schema")
    parameters: list[StatementParameter] = []
    row_limit: int | None = Field(default=None, ge=1)
    byte_limit: int | None = Field(default=None, ge=1)
    wait_timeout: str = "10s"
    on_wait_timeout: Literal["CONTINUE", "CANCEL"] = "CONTINUE"
    disposition: Literal["INLINE", "EXTERNAL_LINKS", "INLINE_OR_EXTERNAL_LINKS"] = "INLINE"
    format: Literal["JSON_ARRAY", "ARROW_STREAM", "CSV"] = "JSON_ARRAY"


@router.post("/api/2.0/sql/statements")
@router.post("/api/2.0/sql/statements/", include_in_schema=False)
async def execute_statement(body: ExecuteStatement, request: Request) -> JSONResponse:
    services = request.app.state.services
    seconds = _wait_seconds(body)
    order = _order(body)
    run = await asyncio.to_thread(services.statements.submit, order)
    if seconds:
        await asyncio.wait([asyncio.wrap_future(run.future)], timeout=seconds)
    if seconds and not run.final and body.on_wait_timeout == "CANCEL":
        services.statements.cancel(run)
        await asyncio.wait([asyncio.wrap_future(run.future)], timeout=10)
    return JSONResponse(await asyncio.to_thread(_describe, services, run))


@router.get("/api/2.0/sql/statements/{statement_id}")
def get_statement(statement_id: str, request: Request) -> dict:
    services = request.app.state.services
    return _describe(services, services.statements.get(statement_id))


@router.get("/api/2.0/sql/statements/{statement_id}/result/chunks/{index}")
def get_chunk(statement_id: str, index: int, request: Request) -> dict:
    services = request.app.state.services
    run = services.statements.get(statement_id)
    if run.result is None:
        raise bad_request(f"The statement {statement_id} has no result: its state is {run.state}.")
    if not 0 <= index < len(run.result.chunks):
        raise bad_request(f"The result has {len(run.result.chunks)} chunks; {index} is none.")
    return _chunk_body(services, run, run.result.chunks[index])


@router.post("/api/2.0/sql/statements/{statement_id}/cancel")
def cancel_statement(statement_id: str, request: Request) -> dict:
    statements = request.app.state.services.statements
    statements.cancel(statements.get(statement_id))
    return {}


@router.get("/_local/results/{statement_id}/{index}", include_in_schema=False)
def download_chunk(statement_id: str, index: int, request: Request):
    """A presigned result: the signature stands for the token."""
    services = request.app.state.services
    query = request.query_params
    services.links.check(request.url.path, query.get("expires", ""), query.get("sig", ""))
    run = services.statements.get(statement_id)
    if run.result is None or not 0 <= index < len(run.result.chunks):
        raise not_found("There is no such result.")
    chunk = run.result.chunks[index]
    if run.order.format == "ARROW_STREAM":
        return FileResponse(chunk.path, media_type="application/vnd.apache.arrow.stream")
    return JSONResponse(json_rows(chunk))


def _wait_seconds(body: ExecuteStatement) -> int:
    text = body.wait_timeout
    seconds = int(text[:-1]) if text.endswith("s") and text[:-1].isdigit() else -1
    if seconds != 0 and not 5 <= seconds <= 50:
        raise bad_request(f"wait_timeout must be 0s or between 5s and 50s, not {text!r}.")
    if seconds == 0 and body.on_wait_timeout == "CANCEL":
        raise bad_request("on_wait_timeout CANCEL needs a wait_timeout other than 0s.")
    return seconds


def _order(body: ExecuteStatement) -> Order:
    if body.disposition == "INLINE_OR_EXTERNAL_LINKS":
        raise not_computed("disposition INLINE_OR_EXTERNAL_LINKS")
    if body.format == "CSV":
        raise not_computed("format CSV")
    if body.disposition == "INLINE" and body.format != "JSON_ARRAY":
        raise bad_request(f"format {body.format} needs disposition EXTERNAL_LINKS.")
    return Order(
        sql=body.statement,
        warehouse_id=body.warehouse_id,
        parameters=[Parameter(p.name, p.value, p.type) for p in body.parameters],
        catalog=body.catalog,
        schema=body.schema_,
        row_limit=body.row_limit,
        byte_limit=body.byte_limit,
        inline=body.disposition == "INLINE",
        format=body.format,
    )


def _describe(services, run: StatementRun) -> dict:
    with run.lock:
        state, error, result = run.state, run.error, run.result
    body: dict = {"statement_id": run.id, "status": {"state": state}}
    if error is not None:
        body["status"]["error"] = {"error_code": error.code, "message": error.message}
        if error.sql_state:
            body["status"]["sql_state"] = error.sql_state
    if result is None:
        return body
    body["manifest"] = {
        "format": run.order.format,
        "schema": {"column_count": len(result.columns), "columns": result.columns},
        "total_chunk_count": len(result.chunks),
        "chunks": [_place(chunk) for chunk in result.chunks],
        "total_row_count": result.row_count,
        "total_byte_count": result.byte_count,
        "truncated": result.truncated,
    }
    if result.chunks:
        body["result"] = _chunk_body(services, run, result.chunks[0])
    elif run.order.inline:
        body["result"] = {"chunk_index": 0, "row_offset": 0, "row_count": 0, "data_array": []}
    else:
        body["result"] = {"external_links": []}
    return body


def _place(chunk: Chunk) -> dict:
    return {
        "chunk_index": chunk.index,
        "row_offset": chunk.row_offset,
        "row_count": chunk.row_count,
        "byte_count": chunk.byte_count,
    }


def _chunk_body(services, run: StatementRun, chunk: Chunk) -> dict:
    following = {}
    if chunk.index + 1 < len(run.result.chunks):
        following = {
            "next_chunk_index": chunk.index + 1,
            "next_chunk_internal_link": (
                f"/api/2.0/sql/statements/{run.id}/result/chunks/{chunk.index + 1}"
            ),
        }
    if run.order.inline:
        place = _place(chunk)
        del place["byte_count"]
        return place | following | {"data_array": json_rows(chunk)}
    path = f"/_local/results/{run.id}/{chunk.index}"
    query, expires = services.links.sign(path, LINK_SECONDS)
    expiration = dt.datetime.fromtimestamp(expires, dt.UTC)
    link = _place(chunk) | following
    link["external_link"] = f"{services.settings.host}{path}?{query}"
    link["expiration"] = expiration.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return {"external_links": [link]}
