"""Errors in the shape that Databricks clients map to their own exception classes."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException


class ApiError(Exception):
    """An answer other than success: HTTP status, Databricks error code, text for a person.

    ``retry_after``: seconds after which the same call may succeed, for 429 and 503.
    """

    def __init__(
        self, status: int, code: str, message: str, retry_after: int | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.retry_after = retry_after


class Refused(HTTPException):
    """What the gate raises, also into a route that reads a body: frameworks let it pass."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(status, message)
        self.code = code


def bad_request(message: str) -> ApiError:
    return ApiError(400, "INVALID_PARAMETER_VALUE", message)


def not_found(message: str) -> ApiError:
    return ApiError(404, "RESOURCE_DOES_NOT_EXIST", message)


def conflict(message: str, code: str = "RESOURCE_ALREADY_EXISTS") -> ApiError:
    return ApiError(409, code, message)


def not_computed(name: str) -> ApiError:
    return ApiError(501, "NOT_IMPLEMENTED", f"{name} is not computed by the local workspace")


def error_body(code: str, message: str) -> dict:
    return {"error_code": code, "message": message, "details": []}


def install_handlers(app: FastAPI) -> None:
    """Map our errors, validation errors and unknown routes to Databricks error bodies."""

    @app.exception_handler(ApiError)
    async def on_api_error(request: Request, error: ApiError) -> JSONResponse:
        headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
        return JSONResponse(error_body(error.code, error.message), error.status, headers)

    # What JSON can say and neither SQLite nor a file name can hold; wherever it is met first.
    @app.exception_handler(OverflowError)
    async def on_overflow(request: Request, error: OverflowError) -> JSONResponse:
        text = "A number of the call is outside of what 64 bits hold."
        return JSONResponse(error_body("INVALID_PARAMETER_VALUE", text), 400)

    @app.exception_handler(UnicodeEncodeError)
    async def on_surrogate(request: Request, error: UnicodeEncodeError) -> JSONResponse:
        text = "A text of the call is not valid Unicode."
        return JSONResponse(error_body("INVALID_PARAMETER_VALUE", text), 400)

    @app.exception_handler(RequestValidationError)
    async def on_invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        parts = []
        for item in error.errors():
            where = ".".join(str(part) for part in item["loc"] if part not in ("body", "query"))
            parts.append(f"{where}: {item['msg']}" if where else item["msg"])
        return JSONResponse(error_body("INVALID_PARAMETER_VALUE", "; ".join(parts)), 400)

    @app.exception_handler(HTTPException)
    async def on_http(request: Request, error: HTTPException) -> JSONResponse:
        # A route that the router does not know is a call that nothing here computes.
        if error.status_code in (404, 405):
            computed = not_computed(f"{request.method} {request.url.path}")
            return JSONResponse(error_body(computed.code, computed.message), computed.status)
        code = getattr(error, "code", "BAD_REQUEST")
        return JSONResponse(error_body(code, str(error.detail)), error.status_code)
