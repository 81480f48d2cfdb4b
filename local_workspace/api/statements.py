"""Statement Execution API 2.0: execute, get, cancel, close, chunks, presigned results."""

from __future__ import annotations

import asyncio
from typing import Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field

from ..access.principals import USER
from ..engine.interface import Parameter
from ..errors import ApiError, bad_request, not_found
from ..sql.file_stream import FileStream
from ..sql.results import LZ4, json_rows
from ..sql.statement import Order, StatementRun
from ..sql.statement_answers import csv_chunk

MOST_TEXT = 16 * 1024 * 1024
# A cancel shows within this time, or the answer says that the statement still runs.
CANCEL_SECONDS = 10
# Answers below this are made on the event loop: a thread would cost more.
SMALL_BYTES = 32 * 1024
router = APIRouter()


class StatementParameter(BaseModel):
    """A typed parameter; ``value`` is text in every type, absent or null for NULL.

    One without a name stands for a ``?``: the one of its ``ordinal``, or the next.
    """

    name: str | None = None
    ordinal: int | None = Field(default=None, ge=1)
    value: str | None = None
    type: str | None = None


class ExecuteStatement(BaseModel):
    """Body of POST /api/2.0/sql/statements."""

    statement: str = Field(min_length=1, max_length=MOST_TEXT)
    warehouse_id: str = Field(min_length=1)
    session_id: str | None = None
    catalog: str | None = None
    schema_: str | None = Field(default=None, alias="schema")
    parameters: list[StatementParameter] | None = None
    row_limit: int | None = Field(default=None, ge=1, le=2**63 - 1)
    byte_limit: int | None = Field(default=None, ge=1, le=2**63 - 1)
    wait_timeout: str = "10s"
    on_wait_timeout: Literal["CONTINUE", "CANCEL"] = "CONTINUE"
    disposition: Literal["INLINE", "EXTERNAL_LINKS", "INLINE_OR_EXTERNAL_LINKS"] = "INLINE"
    format: Literal["JSON_ARRAY", "ARROW_STREAM", "CSV"] = "JSON_ARRAY"
    result_compression: Literal["LZ4_FRAME", "NONE"] | None = None


@router.post("/api/2.0/sql/statements")
@router.post("/api/2.0/sql/statements/", include_in_schema=False)
async def execute_statement(body: ExecuteStatement, request: Request) -> JSONResponse:
    statements = request.app.state.services.statements
    seconds = _wait_seconds(body)
    order = _order(body, request)
    if not seconds:
        run = await asyncio.to_thread(statements.submit, order)
        return await _answer(request, run)
    run = statements.submit(order, told=False)
    await asyncio.wait([asyncio.wrap_future(run.future)], timeout=seconds)
    if not run.final and body.on_wait_timeout == "CANCEL":
        statements.cancel(run)
        await asyncio.wait([asyncio.wrap_future(run.future)], timeout=CANCEL_SECONDS)
    if not run.final:
        await asyncio.to_thread(statements.record, run)
    return await _answer(request, run)


@router.get("/api/2.0/sql/statements/{statement_id}")
def get_statement(statement_id: str, request: Request) -> dict:
    return request.app.state.services.statement_answers.statement(_run(statement_id, request))


@router.delete("/api/2.0/sql/statements/{statement_id}")
def close_statement(statement_id: str, request: Request) -> dict:
    request.app.state.services.statements.close_statement(_run(statement_id, request))
    return {}


@router.get("/api/2.0/sql/statements/{statement_id}/result/chunks/{index}")
def get_chunk(statement_id: str, index: int, request: Request) -> dict:
    run = _run(statement_id, request)
    result = run.result
    if result is None:
        raise bad_request(f"The statement {statement_id} has no result: its state is {run.state}.")
    if not 0 <= index < len(result.chunks):
        raise bad_request(f"The result has {len(result.chunks)} chunks; {index} is none.")
    return request.app.state.services.statement_answers.chunk(run, result, result.chunks[index])


@router.post("/api/2.0/sql/statements/{statement_id}/cancel")
def cancel_statement(statement_id: str, request: Request) -> dict:
    request.app.state.services.statements.cancel(_run(statement_id, request))
    return {}


@router.get("/_local/results/{statement_id}/{index}", include_in_schema=False)
def download_chunk(statement_id: str, index: int, request: Request) -> Response:
    """A presigned result: the signature stands for the token."""
    services = request.app.state.services
    query = request.query_params
    services.links.check(request.url.path, query.get("expires", ""), query.get("sig", ""))
    run = services.statements.get(statement_id)
    result = run.result
    if result is None or not 0 <= index < len(result.chunks):
        raise not_found("There is no such result.")
    chunk = result.chunks[index]
    if run.order.format == "JSON_ARRAY":
        return JSONResponse(json_rows(chunk))
    if run.order.format == "CSV":
        return Response(csv_chunk(result, chunk), media_type="text/csv")
    kind = "application/vnd.apache.arrow.stream"
    if chunk.path is None:
        return Response(chunk.data, media_type=kind)
    return FileStream(chunk.path, chunk.byte_count, kind)


async def _answer(request: Request, run: StatementRun) -> JSONResponse:
    answers = request.app.state.services.statement_answers
    if run.result is None or run.result.byte_count < SMALL_BYTES:
        return JSONResponse(answers.statement(run))
    return JSONResponse(await asyncio.to_thread(answers.statement, run))


def _run(statement_id: str, request: Request) -> StatementRun:
    """The statement; to others than its own user and the workspace's owner there is none."""
    run = request.app.state.services.statements.get(statement_id)
    if request.state.principal.user_name not in (USER, run.order.user):
        raise not_found(f"The statement {statement_id} was not found.")
    return run


def _wait_seconds(body: ExecuteStatement) -> int:
    text = body.wait_timeout
    number = text[:-1]
    seconds = int(number) if text.endswith("s") and number.isascii() and number.isdigit() else -1
    if seconds != 0 and not 5 <= seconds <= 50:
        raise bad_request(f"wait_timeout must be 0s or between 5s and 50s, not {text!r}.")
    if seconds == 0 and body.on_wait_timeout == "CANCEL":
        raise bad_request("on_wait_timeout CANCEL needs a wait_timeout other than 0s.")
    return seconds


def _order(body: ExecuteStatement, request: Request) -> Order:
    if body.disposition == "INLINE" and body.format != "JSON_ARRAY":
        raise bad_request(f"format {body.format} needs disposition EXTERNAL_LINKS.")
    hybrid = body.disposition == "INLINE_OR_EXTERNAL_LINKS"
    if hybrid and body.format == "CSV":
        raise bad_request("format CSV needs disposition EXTERNAL_LINKS.")
    compressed = body.result_compression == LZ4 and body.format == "ARROW_STREAM"
    return Order(
        sql=body.statement,
        warehouse_id=body.warehouse_id,
        parameters=_parameters(body.parameters or []),
        catalog=body.catalog or None,
        schema=body.schema_ or None,
        row_limit=body.row_limit,
        byte_limit=body.byte_limit,
        inline=body.disposition == "INLINE",
        format=body.format,
        session_id=body.session_id or None,
        user=request.state.principal.user_name,
        hybrid=hybrid,
        compression=LZ4 if compressed else None,
        client=request.headers.get("user-agent", ""),
    )


def _parameters(given: list[StatementParameter]) -> list[Parameter]:
    """Parameters in the order of their places, where they have places."""
    places = [one.ordinal for one in given if one.ordinal is not None]
    if places and sorted(places) != list(range(1, len(given) + 1)):
        raise ApiError(
            400, "INVALID_PARAMETER_VALUE", "parameters: the ordinals must be 1, 2, 3 ..."
        )
    ordered = sorted(given, key=lambda one: one.ordinal or 0)
    return [Parameter(one.name or "", one.value, one.type or "STRING") for one in ordered]
