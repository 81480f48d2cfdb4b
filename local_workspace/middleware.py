"""What every call passes through: a request id, the token, planned faults, a log line."""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid

from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .errors import error_body

log = logging.getLogger("local_workspace.requests")

# Open without a token: discovery comes before authentication, and the prefixes prove themselves
# by a signature in their query string.
OPEN_PATHS = (
    "/.well-known/databricks-config",
    "/_local/health",
    "/oidc/.well-known/oauth-authorization-server",
    "/oidc/v1/token",
)
SIGNED_PREFIXES = ("/_local/results/", "/_local/runs/")

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

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = uuid.uuid4().hex[:12]
        started = time.perf_counter()
        status = 0

        async def send_noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"].append((b"x-request-id", request_id.encode()))
            await send(message)

        try:
            refusal = await self._refusal(scope)
            if refusal is not None:
                await refusal(scope, receive, send_noting)
            else:
                await self._app(scope, receive, send_noting)
        finally:
            record = {
                "request_id": request_id,
                "method": scope["method"],
                "path": scope["path"],
                "status": status,
                "ms": round((time.perf_counter() - started) * 1000, 1),
            }
            log.info(json.dumps(record))
            route = getattr(scope.get("route"), "path", "")
            self._services.recorder.note(scope["method"], route, status)

    async def _refusal(self, scope: Scope) -> JSONResponse | None:
        path = scope["path"]
        headers = dict(scope["headers"])
        open_path = path in OPEN_PATHS or path.startswith(SIGNED_PREFIXES)
        if not open_path:
            authorization = headers.get(b"authorization", b"").decode("latin-1")
            principal = self._services.identity.principal(authorization)
            scope.setdefault("state", {})["principal"] = principal
            if principal is None:
                text = "Credential was not sent or is not valid for this workspace."
                return JSONResponse(error_body("UNAUTHENTICATED", text), 401)
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > self._services.settings.max_body:
            return JSONResponse(error_body("BAD_REQUEST", "The body is too large."), 413)
        if path.startswith("/_local/"):
            return None
        fault = self._services.faults.take(scope["method"], path)
        if fault is None:
            return None
        await asyncio.sleep(fault.delay_seconds)
        if fault.status is None:
            return None
        code = fault.error_code or FAULT_CODES.get(fault.status, "INTERNAL_ERROR")
        extra = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
        return JSONResponse(error_body(code, fault.message), fault.status, extra)
