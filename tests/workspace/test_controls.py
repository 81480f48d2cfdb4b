"""The controls for tests of clients: faults, the clock, reset; and that they are off by default."""

from __future__ import annotations

import io

import httpx
import pytest
from workspace_process import init_workspace, serve_workspace, stop_workspace

WAREHOUSES = "/api/2.0/sql/warehouses"
NOTE = "/api/2.0/fs/files/Volumes/main/landing/finance_exports/dropped.txt"


@pytest.fixture
def local(workspace):
    """Calls a control; everything is undone afterwards."""
    client = workspace.sdk().api_client

    def call(control, /, **body):
        return client.do("POST", f"/_local/{control}", body=body)

    yield call
    call("reset")


@pytest.fixture
def http(workspace):
    headers = {"Authorization": f"Bearer {workspace.token}"}
    with httpx.Client(base_url=workspace.host, headers=headers, timeout=30) as client:
        yield client


def test_a_dropped_connection_gets_no_answer(local, http):
    local("faults", path=NOTE, method="PUT", drop="before")
    with pytest.raises(httpx.TransportError):
        http.put(NOTE, content=b"lost")
    assert http.get(NOTE).status_code == 404  # the call was not done
    assert http.put(NOTE, content=b"kept").status_code == 204
    http.delete(NOTE)


def test_a_dropped_answer_comes_after_the_call_was_done(local, http):
    local("faults", path=NOTE, method="PUT", drop="after")
    with pytest.raises(httpx.TransportError):
        http.put(NOTE, content=b"done")
    assert http.get(NOTE).content == b"done"
    http.delete(NOTE)


def test_the_sdk_tries_a_dropped_call_again(local, workspace):
    local("faults", path=WAREHOUSES, drop="before", times=2)
    assert [w.id for w in workspace.sdk().warehouses.list()] == ["local"]


def test_a_dropped_call_of_a_stranger_is_only_refused(local, workspace):
    local("faults", path=WAREHOUSES, drop="before")
    assert httpx.get(workspace.host + WAREHOUSES).status_code == 401


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"path": ""},
        {"path": "*", "drop": "never"},
        {"path": "*", "status": 200},
        {"path": "*", "times": 0},
        {"path": "*", "delay_seconds": 1e9},
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(http, wrong):
    answer = http.post("/_local/faults", json=wrong)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert http.get("/_local/faults").json() == {"faults": []}


def test_signed_links_heed_the_clock(local, http, workspace):
    done = workspace.sdk().api_client.do(
        "POST",
        "/api/2.0/sql/statements",
        body={"statement": "SELECT 1", "warehouse_id": "local", "format": "ARROW_STREAM",
              "disposition": "EXTERNAL_LINKS", "wait_timeout": "30s"},
    )  # fmt: skip
    link = done["result"]["external_links"][0]["external_link"]
    assert httpx.get(link).status_code == 200
    # past the link's end, well before the end of the result that it leads to
    local("clock", ahead_seconds=30 * 60)
    assert httpx.get(link).status_code == 403
    local("clock", ahead_seconds=0)
    assert httpx.get(link).status_code == 200


@pytest.mark.parametrize("ahead", [-1, 1e12, "x", None])
def test_the_clock_takes_only_what_makes_sense(http, ahead):
    assert http.post("/_local/clock", json={"ahead_seconds": ahead}).status_code == 400


def test_reset_undoes_every_control_and_nothing_else(local, http, workspace):
    client = workspace.sdk()
    before = http.post("/_local/clock", json={"ahead_seconds": 0}).json()["now_ms"]
    local("faults", path="/api/2.2/*", status=500, times=100)
    local("warehouse", auto_start=False, start_seconds=600)
    local("serving", invocation_seconds=1)
    assert local("clock", ahead_seconds=3600)["now_ms"] >= before + 3_600_000
    client.files.upload("/Volumes/main/landing/finance_exports/stays.txt", io.BytesIO(b"x"))
    client.warehouses.stop("local")
    local("reset")
    assert http.get("/_local/faults").json() == {"faults": []}
    now = http.post("/_local/clock", json={"ahead_seconds": 0}).json()["now_ms"]
    assert before <= now < before + 600_000
    # It starts by itself again, and at once.
    done = client.statement_execution.execute_statement("SELECT 1", "local")
    assert done.result.data_array == [["1"]]
    client.files.delete("/Volumes/main/landing/finance_exports/stays.txt")


def test_without_the_switch_there_are_no_controls(tmp_path):
    running = serve_workspace(tmp_path, init_workspace(tmp_path))
    try:
        headers = {"Authorization": f"Bearer {running.token}"}
        for path in ("faults", "warehouse", "serving", "clock", "reset"):
            answer = httpx.post(f"{running.host}/_local/{path}", json={}, headers=headers)
            assert answer.status_code == 501
            assert "--faults" in answer.json()["message"]
        assert httpx.get(f"{running.host}/_local/health").json()["status"] == "ok"
    finally:
        stop_workspace(running)
