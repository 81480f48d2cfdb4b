"""The Thrift route of a SQL warehouse: one POST for each call of TCLIService."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from ..errors import ApiError, bad_request
from ..sql.thrift import wire
from ..sql.thrift.handler import Caller

# A statement of 16 MiB, as on Databricks, and what stands around it.
MAX_BODY = 17 * 1024 * 1024

router = APIRouter()


@router.post("/sql/1.0/warehouses/{warehouse_id}")
async def thrift_call(warehouse_id: str, request: Request) -> Response:
    """A call in Thrift's binary protocol; an error of the call is part of its answer."""
    services = request.app.state.services
    try:
        call = wire.decode(await _body(request))
    except wire.Garbage as error:
        raise bad_request(str(error)) from error
    response = None
    if call.request is not None:
        client = request.headers.get("user-agent", "")
        caller = Caller(request.state.principal.user_name, client, warehouse_id)
        response = await services.thrift.answer(call, caller)
    content = await run_in_threadpool(wire.encode, call, response)
    return Response(content, media_type="application/x-thrift")


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY:
            raise ApiError(413, "BAD_REQUEST", f"A call may have {MAX_BODY} bytes.")
    return bytes(body)
