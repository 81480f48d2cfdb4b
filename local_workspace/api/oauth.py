"""OAuth for programs (machine to machine): a service principal's secret for an access token.

The answers follow RFC 6749, errors too, and not the shape of the other calls.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from urllib.parse import parse_qs, unquote_plus

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from ..access.tokens import ACCESS_SECONDS

router = APIRouter()
BODY_LIMIT = 16 * 1024
SCOPE = "all-apis"
# An answer that holds a token must not be kept by a cache on the way.
HEADERS = {"Cache-Control": "no-store"}


@router.get("/oidc/.well-known/oauth-authorization-server")
async def authorization_server(request: Request) -> dict:
    host = request.app.state.services.settings.host
    return {
        "issuer": f"{host}/oidc",
        "authorization_endpoint": f"{host}/oidc/v1/authorize",
        "token_endpoint": f"{host}/oidc/v1/token",
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "scopes_supported": [SCOPE],
    }


@router.post("/oidc/v1/token")
async def issue_token(request: Request) -> JSONResponse:
    """The client's id and secret come in a Basic header or in the form."""
    form = await _form(request)
    if form is None:
        return _refuse(400, "invalid_request", "The body must be a small form.")
    if form.get("grant_type") != "client_credentials":
        return _refuse(400, "unsupported_grant_type", "Only client_credentials is computed here.")
    if form.get("scope", SCOPE) != SCOPE:
        return _refuse(400, "invalid_scope", f"The only scope is {SCOPE}.")
    client_id, secret = _credentials(request, form)
    identity = request.app.state.services.identity
    token = await asyncio.to_thread(identity.exchange, client_id, secret)
    if token is None:
        return _refuse(401, "invalid_client", "Client authentication failed.")
    answer = {"access_token": token, "token_type": "Bearer", "expires_in": ACCESS_SECONDS}
    return JSONResponse(answer | {"scope": SCOPE}, headers=HEADERS)


async def _form(request: Request) -> dict[str, str] | None:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > BODY_LIMIT:
            return None
    try:
        fields = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=20)
    except ValueError:  # bytes that are no UTF-8, too many fields
        return None
    return {name: values[0] for name, values in fields.items()}


def _credentials(request: Request, form: dict[str, str]) -> tuple[str, str]:
    """Return (client id, secret); both empty when the Basic header cannot be read."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return form.get("client_id", ""), form.get("client_secret", "")
    try:
        client_id, _, secret = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return "", ""
    return unquote_plus(client_id), unquote_plus(secret)


def _refuse(status: int, error: str, description: str) -> JSONResponse:
    headers = HEADERS | ({"WWW-Authenticate": "Basic"} if status == 401 else {})
    return JSONResponse({"error": error, "error_description": description}, status, headers)
