"""Host discovery and the current user."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

router = APIRouter()


@router.get("/.well-known/databricks-config")
async def discovery(request: Request) -> dict:
    services = request.app.state.services
    host = services.settings.host
    return {
        "oidc_endpoint": f"{host}/oidc",
        "workspace_id": services.org_id,
        "host_type": "workspace",
    }


@router.get("/api/2.0/preview/scim/v2/Me")
async def me(request: Request, response: Response) -> dict:
    principal = request.state.principal
    response.headers["X-Databricks-Org-Id"] = request.app.state.services.org_id
    answer = {
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "id": principal.id,
        "userName": principal.user_name,
        "displayName": principal.display_name,
        "active": True,
        "groups": [{"display": "admins", "value": "1", "type": "direct"}],
    }
    if not principal.is_service:
        answer["emails"] = [{"value": principal.user_name, "type": "work", "primary": True}]
    return answer
