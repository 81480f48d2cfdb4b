"""What every call passes through: bounds, a request id, the token, planned faults, a log line."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid

from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .bounds import BoundedCall
from .errors import Refused, error_body
from .faults import Fault

log = logging.getLogger("local_workspace.requests")

HEALTH = "/_local/health"
# Open without a token: discovery comes before authentication, the prefixes prove themselves by a
# signature in their query string, and the status page asks for a cookie.
OPEN_PATHS = (
    "/",
    "/.well-known/databricks-config",
    "/oidc/.well-known/oauth-authorization-server",
    "/oidc/v1/token",
    HEALTH,
)
SIGNED_PREFIXES = ("/_local/results/", "/_local/runs/", "/_local/models/", "/_local/status")

FAULT_CODES = {
    400: "BAD_REQUEST",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "RESOURCE_DOES_NOT_EXIST",
    409: "RESOURCE_CONFLICT",
    429: "REQUEST_LIMIT_EXCEEDED",
    503: "TEMPORARILY_UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class Gate:
    """ASGI middleware. A call without a valid token reaches no route and triggers no fault."""

    def __init__(self, app: ASGIApp, services) -> None:
        self._app = app
        self._services = services
        self._calls = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = uuid.uuid4().hex[:12]
        started = time.perf_counter()
        call = BoundedCall(scope, receive, send, self._services.settings)
        call.headers.append((b"x-request-id", request_id.encode()))
        self._calls += 1
        try:
            await self._answer(scope, call)
        except Refused as refused:
            await self._respond(scope, call, refused.status_code, refused.code, refused.detail)
        except ClientDisconnect:
            log.debug("the client went away")
        except Exception:
            log.exception("call failed", extra={"fields": {"request_id": request_id}})
            text = f"The workspace failed on this call; its log says more at {request_id}."
            await self._respond(scope, call, 500, "INTERNAL_ERROR", text)
        finally:
            self._calls -= 1
            principal = scope["state"].get("principal")
            fields = {
                "request_id": request_id,
                "principal": principal.user_name if principal else None,
                "method": scope["method"],
                "path": scope["path"],
                "status": call.status,
                "ms": round((time.perf_counter() - started) * 1000, 1),
            }
            log.info("call", extra={"fields": fields})
            route = getattr(scope.get("route"), "path", "")
            self._services.recorder.note(scope["method"], route, call.status)

    async def _answer(self, scope: Scope, call: BoundedCall) -> None:
        path = scope["path"]
        if self._calls > self._services.settings.max_calls and path != HEALTH:
            call.headers.append((b"retry-after", b"1"))
            raise Refused(503, "TEMPORARILY_UNAVAILABLE", "Too many calls at the same time.")
        self._admit(scope)
        call.check_length()
        fault = None
        if not path.startswith("/_local/"):
            fault = self._services.faults.take(scope["method"], path)
        if fault is None:
            await self._app(scope, call.receive, call.send)
        else:
            await self._play(fault, scope, call)

    def _admit(self, scope: Scope) -> None:
        """Find out who calls. Raises Refused 401 for a call that needs a token and has none."""
        principal = None
        for name, value in scope["headers"]:
            if name == b"authorization":
                principal = self._services.identity.principal(value.decode("latin-1"))
                break
        scope["state"]["principal"] = principal
        path = scope["path"]
        if principal is None and path not in OPEN_PATHS and not path.startswith(SIGNED_PREFIXES):
            text = "Credential was not sent or is not valid for this workspace."
            raise Refused(401, "UNAUTHENTICATED", text)

    async def _play(self, fault: Fault, scope: Scope, call: BoundedCall) -> None:
        await asyncio.sleep(fault.delay_seconds)
        if fault.drop == "before":
            call.drop()
        elif fault.drop == "after":
            await self._app(scope, call.receive, _nowhere)
            call.drop()
        elif fault.status is None:
            await self._app(scope, call.receive, call.send)
        else:
            if fault.retry_after is not None:
                call.headers.append((b"retry-after", str(fault.retry_after).encode()))
            code = fault.error_code or FAULT_CODES.get(fault.status, "INTERNAL_ERROR")
            raise Refused(fault.status, code, fault.message)

    async def _respond(
        self, scope: Scope, call: BoundedCall, status: int, code: str, message: str
    ) -> None:
        if call.status:  # too late for another answer: the one that has begun is broken off
            call.drop()
            return
        # A Thrift client reads no JSON; this header is where it looks for the reason.
        reason = " ".join(message.split()).encode("ascii", "replace")
        call.headers.append((b"x-databricks-reason-phrase", reason))
        response = JSONResponse(error_body(code, message), status)
        await response(scope, call.receive, call.send)


async def _nowhere(message: Message) -> None:
    """A send that the client never hears of."""
