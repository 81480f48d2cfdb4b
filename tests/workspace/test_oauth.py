"""OAuth for programs: what a service principal's secret is good for, and when it no longer is."""

from __future__ import annotations

import base64

import httpx
import pytest

FORM = {"grant_type": "client_credentials", "scope": "all-apis"}


def ask(workspace, form=FORM, auth=None, **options):
    return httpx.post(f"{workspace.host}/oidc/v1/token", data=form, auth=auth, **options)


def credentials(workspace):
    return workspace.credentials.client_id, workspace.credentials.client_secret


def test_discovery_leads_to_the_token(workspace):
    config = httpx.get(f"{workspace.host}/.well-known/databricks-config").json()
    server = httpx.get(config["oidc_endpoint"] + "/.well-known/oauth-authorization-server").json()
    assert server["token_endpoint"] == f"{workspace.host}/oidc/v1/token"
    answer = httpx.post(server["token_endpoint"], data=FORM, auth=credentials(workspace))
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    given = answer.json()
    assert (given["token_type"], given["expires_in"], given["scope"]) == (
        "Bearer", 3600, "all-apis",
    )  # fmt: skip
    me = httpx.get(
        f"{workspace.host}/api/2.0/preview/scim/v2/Me",
        headers={"Authorization": f"Bearer {given['access_token']}"},
    ).json()
    assert me["userName"] == workspace.credentials.client_id
    assert me["id"] != "1" and "emails" not in me


def test_credentials_may_come_in_the_form(workspace):
    client_id, secret = credentials(workspace)
    answer = ask(workspace, FORM | {"client_id": client_id, "client_secret": secret})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        "Basic",
        "Basic !!!",
        "Basic " + base64.b64encode(b"no colon").decode(),
        "Basic " + base64.b64encode(b"\xff\xfe:x").decode(),
        "Basic " + base64.b64encode(b":").decode(),
        "Bearer dev",
    ],
)
def test_what_is_no_credential_is_an_invalid_client(workspace, header):
    answer = ask(workspace, headers={"Authorization": header})
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert "access_token" not in answer.json()


def test_a_wrong_secret_is_refused_and_not_repeated(workspace):
    client_id, secret = credentials(workspace)
    for pair in (
        (client_id, "dev"),
        (client_id, ""),
        (client_id, secret[:-1]),
        (client_id, workspace.token),
        ("dev", "dev"),
        ("00000000-0000-0000-0000-000000000000", secret),
    ):
        answer = ask(workspace, auth=pair)
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
        assert not pair[1] or pair[1] not in answer.json()["error_description"]


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({}, "unsupported_grant_type"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        (FORM | {"scope": "everything"}, "invalid_scope"),
        ({f"f{i}": "x" for i in range(50)}, "invalid_request"),
        (FORM | {"padding": "x" * 20_000}, "invalid_request"),
    ],
)
def test_requests_that_make_no_sense(workspace, form, error):
    answer = ask(workspace, form, auth=credentials(workspace))
    assert (answer.status_code, answer.json()["error"]) == (400, error)


def test_a_client_secret_is_no_bearer_token(workspace):
    for secret in credentials(workspace):
        answer = httpx.get(
            f"{workspace.host}/api/2.0/preview/scim/v2/Me",
            headers={"Authorization": f"Bearer {secret}"},
        )
        assert answer.status_code == 401
