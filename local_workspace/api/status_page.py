"""The status page and what leads to it: only for people, no part of the contract."""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from ..engine.catalog import CatalogError
from ..errors import ApiError, not_found
from ..pages import details, overview, table_pages
from ..pages.html import HEADERS, Html, page, respond, tag
from ..pages.sessions import COOKIE, ENTER, SESSION_SECONDS

BASE = overview.BASE
MOST_FORM = 4096
router = APIRouter(include_in_schema=False)


@router.get("/")
def front_door() -> Response:
    return RedirectResponse(BASE, 303)


@router.get(BASE)
async def status_page(request: Request) -> Response:
    if not _is_in(request):
        return _door()
    services = request.app.state.services
    endpoints = overview.endpoints_section(services)
    return respond(await asyncio.to_thread(overview.render, services, endpoints))


@router.get(BASE + "/tables/{catalog}/{schema}/{name}")
def table_page(catalog: str, schema: str, name: str, request: Request) -> Response:
    def content(services) -> Html:
        try:
            return table_pages.render(services.engine.catalog, (catalog, schema, name))
        except CatalogError as error:
            raise not_found(str(error)) from error

    return _page(request, f"{catalog}.{schema}.{name}", content)


@router.get(BASE + "/endpoints/{name}")
async def endpoint_page(name: str, request: Request) -> Response:
    return _page(request, name, lambda services: details.endpoint(services, name))


@router.get(BASE + "/pipelines/{pipeline_id}")
def pipeline_page(pipeline_id: str, request: Request) -> Response:
    return _page(request, "Pipeline", lambda services: details.pipeline(services, pipeline_id))


@router.post(BASE + "/enter")
async def enter_with_token(request: Request) -> Response:
    """The form of the door: a token for a cookie."""
    fields = parse_qs((await request.body())[:MOST_FORM].decode("latin-1"))
    given = fields.get("token", [""])[0]
    value = request.app.state.services.browser_sessions.enter_with_token(given)
    if value is None:
        return _door("This token is not valid here.", 401)
    return _let_in(request, value)


@router.get(ENTER)
def enter_with_link(request: Request, expires: str = "", sig: str = "") -> Response:
    """The address that ``status`` prints: it lets in once."""
    try:
        value = request.app.state.services.browser_sessions.enter_with_link(expires, sig)
    except ApiError as error:
        return _door(error.message, error.status)
    return _let_in(request, value)


@router.post(BASE + "/leave")
def leave(request: Request) -> Response:
    request.app.state.services.browser_sessions.leave(request.cookies.get(COOKIE))
    response = RedirectResponse(BASE, 303, HEADERS)
    response.delete_cookie(COOKIE, path=BASE)
    return response


def _is_in(request: Request) -> bool:
    return request.app.state.services.browser_sessions.holds(request.cookies.get(COOKIE))


def _let_in(request: Request, value: str) -> Response:
    response = RedirectResponse(BASE, 303, HEADERS)
    secure = request.app.state.services.settings.host.startswith("https:")
    response.set_cookie(
        COOKIE, value, SESSION_SECONDS, path=BASE, httponly=True, samesite="strict", secure=secure
    )
    return response


def _page(request: Request, title: str, content) -> Response:
    if not _is_in(request):
        return _door()
    try:
        shown, status = content(request.app.state.services), 200
    except ApiError as error:
        shown, status = tag("p", error.message), error.status
    return respond(page(title, overview.header(), shown), status)


def _door(message: str = "", status: int = 401) -> Response:
    form = tag(
        "form",
        tag("label", "Token", for_="token"),
        tag("input", type="password", name="token", id="token", autocomplete="off",
            required="required", autofocus="autofocus"),
        tag("button", "Look in"),
        method="post", action=f"{BASE}/enter",
    )  # fmt: skip
    told = tag("p", message, class_="bad") if message else ""
    hint = tag(
        "p", "The token was shown by ", tag("code", "init"), ". Or open the address that ",
        tag("code", "status"), " prints.", class_="note",
    )  # fmt: skip
    content = tag("div", tag("h1", "Local workspace"), told, form, hint, class_="login")
    return respond(page("Local workspace", content), status)
