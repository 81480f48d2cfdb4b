"""Tokens, discovery, errors, faults and warehouses, through the unmodified SDK."""

from __future__ import annotations

import os
import sqlite3
import time

import httpx
import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.config import Config
from databricks.sdk.errors import (
    BadRequest,
    InternalError,
    NotFound,
    NotImplemented,
    TemporarilyUnavailable,
    TooManyRequests,
    Unauthenticated,
)

# One name for each kind of state that must never hold a token in clear.
SECRET_FILES = ("workspace.db", "workspace.db-wal", "serve.stderr", "logs/engine.log")


def test_me_and_workspace_id(workspace):
    client = workspace.sdk()
    assert client.current_user.me().active is True
    assert client.get_workspace_id() == int(
        httpx.get(f"{workspace.host}/.well-known/databricks-config").json()["workspace_id"]
    )


@pytest.mark.parametrize("token", ["dev", "dapi" + "0" * 32, "x" * 5000])
def test_a_wrong_token_is_refused(workspace, token):
    client = WorkspaceClient(
        config=Config(host=workspace.host, token=token, auth_type="pat", config_file=os.devnull,
                      retry_timeout_seconds=10, http_timeout_seconds=10)
    )  # fmt: skip
    with pytest.raises(Unauthenticated):
        client.current_user.me()


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer x y", "Basic dXNlcjpwdw==", "\xff"])
def test_a_call_without_a_bearer_token_is_refused(workspace, header):
    headers = {} if header is None else {"Authorization": header.encode("latin-1")}
    for path in ("/api/2.0/sql/warehouses", "/_local/faults", "/nowhere", "/_local/openapi.json"):
        assert httpx.get(workspace.host + path, headers=headers).status_code == 401


def test_the_token_is_nowhere_in_clear(workspace):
    workspace.sdk().current_user.me()
    for name in SECRET_FILES:
        path = workspace.data / name
        if path.exists():
            assert workspace.token.encode() not in path.read_bytes(), name
    arguments = f"/proc/{workspace.process.pid}/cmdline"
    assert workspace.token not in open(arguments).read()
    with sqlite3.connect(workspace.data / "workspace.db") as db:
        assert db.execute("SELECT COUNT(*) FROM tokens").fetchone()[0] >= 1


def test_unknown_calls_are_501_and_named(workspace):
    client = workspace.sdk()
    with pytest.raises(NotImplemented, match="POST /api/2.1/clusters/create is not computed"):
        client.api_client.do("POST", "/api/2.1/clusters/create", body={})
    with pytest.raises(NotImplemented, match="GET /api/2.0/dbfs/"):
        list(client.dbfs.list("/"))


def test_a_body_that_is_no_json_is_400(workspace):
    answer = httpx.post(
        f"{workspace.host}/api/2.0/sql/statements",
        content=b"{nonsense",
        headers={"Authorization": f"Bearer {workspace.token}", "Content-Type": "application/json"},
    )
    assert answer.status_code == 400
    assert answer.json()["error_code"] == "INVALID_PARAMETER_VALUE"


def plan(client, **fault):
    client.api_client.do("POST", "/_local/faults", body=fault)


def test_planned_faults_reach_the_client_and_end(workspace):
    client = workspace.sdk()
    path = "/api/2.0/sql/warehouses*"
    plan(client, path=path, status=429, retry_after=1, times=1)
    began = time.monotonic()
    assert [w.id for w in client.warehouses.list()] == ["local"]  # the SDK waits and tries again
    assert time.monotonic() - began >= 1
    plan(client, path=path, status=500, error_code="INTERNAL_ERROR", message="made up", times=1)
    with pytest.raises(InternalError, match="made up"):
        list(client.warehouses.list())
    plan(client, path=path, method="POST", status=503, times=9)
    assert client.warehouses.get("local").name == "Local warehouse"
    assert client.api_client.do("GET", "/_local/faults")["faults"][0]["times"] == 9
    client.api_client.do("DELETE", "/_local/faults")
    assert client.api_client.do("GET", "/_local/faults") == {"faults": []}


def test_faults_that_outlast_the_retries(workspace):
    client = WorkspaceClient(
        config=Config(host=workspace.host, token=workspace.token, auth_type="pat",
                      config_file=os.devnull, retry_timeout_seconds=1, http_timeout_seconds=1)
    )  # fmt: skip
    for status, error in ((429, TooManyRequests), (503, TemporarilyUnavailable)):
        plan(client, path="/api/2.0/sql/warehouses", status=status, times=50)
        # The SDK gives up with a TimeoutError whose cause is the last answer.
        with pytest.raises(TimeoutError) as caught:
            list(client.warehouses.list())
        assert isinstance(caught.value.__cause__, error)
        client.api_client.do("DELETE", "/_local/faults")
    plan(client, path="/api/2.0/sql/warehouses", delay_seconds=3, times=50)
    with pytest.raises(TimeoutError):
        list(client.warehouses.list())
    client.api_client.do("DELETE", "/_local/faults")


def test_faults_do_not_answer_strangers(workspace):
    client = workspace.sdk()
    plan(client, path="/api/2.0/sql/warehouses", status=418, times=1)
    assert httpx.get(f"{workspace.host}/api/2.0/sql/warehouses").status_code == 401
    client.api_client.do("DELETE", "/_local/faults")


def test_warehouse_states(workspace):
    client = workspace.sdk()

    def state():
        return client.warehouses.get("local").state.value

    def configure(**settings):
        client.api_client.do("POST", "/_local/warehouse", body=settings)

    assert state() == "RUNNING"
    try:
        configure(auto_start=False, start_seconds=1.0)
        client.warehouses.stop("local")
        assert state() == "STOPPED"
        with pytest.raises(BadRequest, match="is stopped"):
            client.statement_execution.execute_statement("SELECT 1", "local")
        client.warehouses.start("local")
        assert state() == "STARTING"
        answer = client.statement_execution.execute_statement("SELECT 1", "local")
        assert answer.result.data_array == [["1"]]
        assert state() == "RUNNING"
        configure(auto_start=True, start_seconds=0.0)
        client.warehouses.stop("local")
        answer = client.statement_execution.execute_statement("SELECT 2", "local")
        assert answer.result.data_array == [["2"]]
        assert state() == "RUNNING"
    finally:
        configure(auto_start=True, start_seconds=0.0)
        client.warehouses.start("local")
    with pytest.raises(NotFound):
        client.warehouses.get("other")
    with pytest.raises(NotFound):
        client.statement_execution.execute_statement("SELECT 1", "other")
