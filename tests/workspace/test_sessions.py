"""SQL sessions: opened, used, changed, closed, expired; kept over a restart."""

from __future__ import annotations

import httpx
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


def ask(client, session, statement, **options):
    return client.api_client.do(
        "POST", "/api/2.0/sql/statements",
        body={"statement": statement, "warehouse_id": "local", "session_id": session, **options},
    )  # fmt: skip


def rows(client, session, statement, **options):
    answer = ask(client, session, statement, **options)
    assert answer["status"]["state"] == "SUCCEEDED", answer
    return answer["result"].get("data_array", [])


PLACE = "SELECT current_catalog(), current_schema()"


def test_statements_begin_where_the_session_is(client):
    session = open_session(client, catalog="main", schema="gold")
    assert rows(client, session, PLACE) == [["main", "gold"]]
    rows(client, session, "CREATE TABLE of_session AS SELECT 3 AS a")
    rows(client, session, "USE silver")
    assert rows(client, session, PLACE) == [["main", "silver"]]
    assert ask(client, session, "SELECT a FROM of_session")["status"]["state"] == "FAILED"
    assert rows(client, session, "SELECT a FROM of_session", schema="gold") == [["3"]]
    rows(client, session, "USE CATALOG main")
    assert rows(client, session, PLACE) == [["main", "default"]]
    rows(client, session, "DROP TABLE gold.of_session")


def test_a_failed_use_changes_nothing(client):
    session = open_session(client, schema="gold")
    assert ask(client, session, "USE nowhere")["status"]["sql_state"] == "42704"
    assert rows(client, session, PLACE) == [["main", "gold"]]


def test_sessions_know_nothing_of_each_other(client):
    one, other = open_session(client, schema="gold"), open_session(client, schema="silver")
    rows(client, one, "USE bronze")
    rows(client, one, "SET TIMEZONE = 'Asia/Manila'")
    assert rows(client, other, PLACE) == [["main", "silver"]]
    assert rows(client, other, "SELECT current_timezone()") == [["UTC"]]
    assert rows(client, one, "SELECT current_timezone()") == [["Asia/Manila"]]


def test_the_time_zone_of_a_session_is_that_of_its_timestamps(client):
    session = open_session(client, session_confs={"timezone": "Asia/Manila"})
    noon = "SELECT timestamp'2025-01-02 12:00:00' AS t, hour(timestamp'2025-01-01T20:30:00Z') AS h"
    assert rows(client, session, noon) == [["2025-01-02T04:00:00.000Z", "4"]]
    parameter = {"name": "t", "type": "TIMESTAMP", "value": "2025-01-02 12:00:00"}
    found = rows(client, session, "SELECT :t AS t", parameters=[parameter])
    assert found == [["2025-01-02T04:00:00.000Z"]]
    rows(client, session, "RESET TIMEZONE")
    found = rows(client, session, "SELECT :t AS t", parameters=[parameter])
    assert found == [["2025-01-02T12:00:00.000Z"]]


def test_a_closed_session_takes_no_statements(client):
    session = open_session(client)
    client.api_client.do("DELETE", f"{SESSIONS}/{session}", body={"warehouse_id": "local"})
    with pytest.raises(NotFound, match=session):
        ask(client, session, "SELECT 1")


def test_an_idle_session_is_closed(client, workspace):
    session = open_session(client)
    kept = open_session(client)
    client.api_client.do("POST", "/_local/clock", body={"ahead_seconds": 7 * 3600})
    try:
        rows(client, kept, "SELECT 1")
        client.api_client.do("POST", "/_local/clock", body={"ahead_seconds": 9 * 3600})
        with pytest.raises(NotFound, match=session):
            ask(client, session, "SELECT 1")
        assert rows(client, kept, "SELECT 1") == [["1"]]
    finally:
        client.api_client.do("POST", "/_local/clock", body={"ahead_seconds": 0})


def test_sessions_and_statements_are_their_users_own(client, workspace):
    """The owner sees the statements of all; a service principal sees its own only."""
    known = workspace.credentials
    form = {"grant_type": "client_credentials", "scope": "all-apis"}
    pair = (known.client_id, known.client_secret)
    token = httpx.post(f"{workspace.host}/oidc/v1/token", data=form, auth=pair).json()
    headers = {"Authorization": f"Bearer {token['access_token']}"}
    with httpx.Client(base_url=workspace.host, headers=headers) as other:
        session = open_session(client)
        order = {"statement": "SELECT 1", "warehouse_id": "local"}
        refused = other.post("/api/2.0/sql/statements", json=order | {"session_id": session})
        assert refused.status_code == 404
        assert other.delete(f"{SESSIONS}/{session}").status_code == 404
        mine = ask(client, session, "SELECT 1")["statement_id"]
        assert other.get(f"/api/2.0/sql/statements/{mine}").status_code == 404
        assert other.post(f"/api/2.0/sql/statements/{mine}/cancel").status_code == 404
        theirs = other.post("/api/2.0/sql/statements", json=order).json()["statement_id"]
        assert other.get(f"/api/2.0/sql/statements/{theirs}").status_code == 200
        assert client.statement_execution.get_statement(theirs).status.state.value == "SUCCEEDED"
        listed = other.get("/api/2.0/sql/history/queries").json()["res"]
        assert {one["user_name"] for one in listed} == {known.client_id}
