"""One invocation from body to answer: which entity, its answer, and what is kept of it."""

from __future__ import annotations

import asyncio
import json
import time
import uuid

from ..access.tokens import Principal
from ..clock import now_ms
from ..errors import ApiError, error_body
from .endpoint import Endpoint
from .endpoint_config import choose
from .host_process import Reply
from .inference_table import texts
from .journal import Journal
from .limits import Limits

MAX_REQUEST = 16 * 1024 * 1024
# A body beyond this is not parsed on the event loop.
LONG_BODY = 256 * 1024


class Invocations:
    """Answers requests. Every method runs on the server's event loop."""

    def __init__(self, journal: Journal, limits: Limits) -> None:
        self._journal = journal
        self._limits = limits

    async def answer(self, endpoint: Endpoint, body: bytes, caller: Principal) -> tuple[Reply, str]:
        """Returns (answer of the model, name of the served entity).

        Raises ApiError: 413 for a body beyond 16 MiB, 503 while no model is ready, and what
        ModelProcess.invoke raises.
        """
        if len(body) > MAX_REQUEST:
            text = f"The body is larger than {MAX_REQUEST >> 20} MiB."
            raise ApiError(413, "BAD_REQUEST", text)
        if not endpoint.processes and endpoint.update is not None:
            # A first load is waited for, as the service does while it scales from zero.
            await asyncio.wait([endpoint.update], timeout=self._limits.wake_seconds)
        if not endpoint.processes:
            text = endpoint.failure or f"The endpoint '{endpoint.name}' is not ready yet."
            raise ApiError(503, "TEMPORARILY_UNAVAILABLE", text, retry_after=1)
        request_id = await _client_request_id(body)
        entity = choose(endpoint.config, request_id)
        call = _Call(entity, body, caller, request_id)
        try:
            process = endpoint.processes[entity["name"]]
            reply = await process.invoke(body, self._limits.invocation_seconds)
        except ApiError as error:
            answer = json.dumps(error_body(error.code, error.message)).encode()
            # What never reached the model is counted, but is no invocation.
            self._keep(endpoint, call, error.status, answer, error.status in (500, 504))
            raise
        self._keep(endpoint, call, reply.status, reply.body, True, reply.milliseconds)
        return reply, entity["name"]

    def _keep(
        self, endpoint: Endpoint, call: _Call, status: int, answer: bytes, invoked: bool,
        worked_ms: float | None = None,
    ) -> None:  # fmt: skip
        passed_ms = (time.monotonic() - call.began) * 1000
        endpoint.metrics.note(call.entity["name"], status, passed_ms)
        if not invoked:
            return
        record = {
            "endpoint": endpoint.name,
            "endpoint_id": endpoint.id,
            "entity": call.entity["name"],
            "entity_id": call.entity["id"],
            "requester": call.caller.user_name,
            "requester_id": call.caller.id,
            "time_ms": call.time_ms,
            "ms": round(passed_ms if worked_ms is None else worked_ms, 3),
        }
        if endpoint.table is not None:
            record |= {"table": endpoint.table, "status": status, "request_id": str(uuid.uuid4())}
            record |= texts(call.body, answer, call.client_request_id)
        self._journal.note(record)


class _Call:
    """A request on its way: when it came, from whom, for which entity."""

    def __init__(
        self, entity: dict, body: bytes, caller: Principal, client_request_id: str | None
    ) -> None:
        self.entity = entity
        self.body = body
        self.caller = caller
        self.client_request_id = client_request_id
        self.time_ms = now_ms()
        self.began = time.monotonic()


async def _client_request_id(body: bytes) -> str | None:
    """What the client calls the request. The body is parsed only when it may hold such a name."""
    if b'"client_request_id"' not in body:
        return None
    if len(body) > LONG_BODY:
        return await asyncio.to_thread(_parse_request_id, body)
    return _parse_request_id(body)


def _parse_request_id(body: bytes) -> str | None:
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        return None  # the model's own answer says what is wrong with it
    found = given.get("client_request_id") if isinstance(given, dict) else None
    return None if found is None else str(found)
