"""SQL sessions: opened, used, changed, closed, expired; kept over a restart."""

from __future__ import annotations

import pytest
from databricks.sdk.errors import BadRequest, NotFound

SESSIONS = "/api/2.0/sql/sessions"


@pytest.fixture(scope="module")
def client(workspace):
    return workspace.sdk()


def open_session(client, **body):
    answer = client.api_client.do("POST", SESSIONS, body={"warehouse_id": "local", **body})
    return answer["session_id"]


def test_a_session_is_closed_once(client):
    session = open_session(client, catalog="main", schema="gold")
    client.api_client.do("DELETE", f"{SESSIONS}/{session}", query={"warehouse_id": "local"})
    with pytest.raises(NotFound, match=session):
        client.api_client.do("DELETE", f"{SESSIONS}/{session}")


@pytest.mark.parametrize(
    ("body", "error", "text"),
    [
        ({"warehouse_id": "nowhere"}, NotFound, "nowhere"),
        ({"catalog": "nowhere"}, BadRequest, "NO_SUCH_CATALOG"),
        ({"schema": "nowhere"}, BadRequest, "SCHEMA_NOT_FOUND"),
        ({"session_confs": {"NO_SUCH": "1"}}, BadRequest, "CONFIG_NOT_AVAILABLE"),
        ({"session_confs": {"TIMEZONE": "Mars/Base"}}, BadRequest, "INVALID_CONF_VALUE"),
        ({"session_confs": {"ANSI_MODE": "false"}}, BadRequest, "ANSI"),
    ],
)
def test_what_a_session_cannot_have(client, body, error, text):
    with pytest.raises(error, match=text):
        open_session(client, **body)
