"""Statements beside each other: cancel, time-outs, many at once, an engine that is replaced."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from databricks.sdk.service.sql import ExecuteStatementRequestOnWaitTimeout
from sql_steps import rows, run

LONG = "SELECT sum(sqrt(id)) FROM range(1000000000000)"
# Its join has no equality: the engine's threads do not yield while they compute it.
STUBBORN = "SELECT count(*) FROM range(1000000) a JOIN range(1000000) b ON a.id + b.id > 5"
MANY = 40


@pytest.fixture(scope="module")
def client(workspace):
    return workspace.sdk()


def wait_state(client, statement_id, *states, seconds=10):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        state = client.statement_execution.get_statement(statement_id).status.state.value
        if state in states:
            return state
        time.sleep(0.1)
    raise AssertionError(f"still {state} after {seconds} s")


def test_cancel_of_a_long_statement_while_short_ones_run(client):
    started = [run(client, LONG, wait_timeout="0s") for _ in range(2)]
    assert all(answer.status.state.value in ("PENDING", "RUNNING") for answer in started)
    for answer in started:
        wait_state(client, answer.statement_id, "RUNNING")
    began = time.monotonic()
    assert rows(client, "SELECT 1") == [["1"]]
    assert time.monotonic() - began < 5
    for answer in started:
        client.statement_execution.cancel_execution(answer.statement_id)
    for answer in started:
        assert wait_state(client, answer.statement_id, "CANCELED") == "CANCELED"
    for answer in started:
        client.statement_execution.cancel_execution(answer.statement_id)  # no effect any more
    assert rows(client, "SELECT 2") == [["2"]]


@pytest.mark.parametrize("delay", [0, 0.005, 0.01, 0.02, 0.04, 0.08])
def test_a_cancel_is_not_lost_however_early_it_comes(client, delay):
    """It may come before, while, or after the engine is told of the statement."""
    answer = run(client, LONG, wait_timeout="0s")
    time.sleep(delay)
    client.statement_execution.cancel_execution(answer.statement_id)
    assert wait_state(client, answer.statement_id, "CANCELED") == "CANCELED"


def test_on_wait_timeout_cancel(client):
    answer = run(
        client, LONG, wait_timeout="5s",
        on_wait_timeout=ExecuteStatementRequestOnWaitTimeout.CANCEL,
    )  # fmt: skip
    assert answer.status.state.value == "CANCELED"


def test_a_finished_wait_returns_the_result_later(client):
    answer = run(client, "SELECT count(*) FROM range(1000)", wait_timeout="0s")
    wait_state(client, answer.statement_id, "SUCCEEDED")
    later = client.statement_execution.get_statement(answer.statement_id)
    assert later.result.data_array == [["1000"]]


@pytest.mark.parametrize("statement", [LONG, STUBBORN])
def test_many_long_statements_keep_no_short_one_waiting(client, statement):
    """Measured in rounds of answers, not in seconds: each short one is done while all the long
    ones still run."""
    started = [run(client, statement, wait_timeout="0s").statement_id for _ in range(MANY)]
    try:
        for one in started:
            wait_state(client, one, "RUNNING", seconds=60)
        for number in range(5):
            assert rows(client, f"SELECT {number}") == [[str(number)]]
        assert {state_of(client, one) for one in started} == {"RUNNING"}
    finally:
        for one in started:
            client.statement_execution.cancel_execution(one)
    for one in started:
        assert wait_state(client, one, "CANCELED", seconds=60) == "CANCELED"


def state_of(client, statement_id):
    return client.statement_execution.get_statement(statement_id).status.state.value


def test_a_statement_ends_at_the_timeout_of_its_session(client):
    session = client.api_client.do(
        "POST", "/api/2.0/sql/sessions",
        body={"warehouse_id": "local", "session_confs": {"STATEMENT_TIMEOUT": "1"}},
    )["session_id"]  # fmt: skip
    answer = client.api_client.do(
        "POST", "/api/2.0/sql/statements",
        body={"statement": LONG, "warehouse_id": "local", "session_id": session,
              "wait_timeout": "0s"},
    )  # fmt: skip
    assert wait_state(client, answer["statement_id"], "FAILED", seconds=30) == "FAILED"
    status = client.statement_execution.get_statement(answer["statement_id"]).status
    assert "STATEMENT_TIMEOUT" in status.error.message
    assert status.error.error_code.value == "DEADLINE_EXCEEDED"


def test_closing_a_statement_that_runs_cancels_it(client):
    answer = run(client, LONG, wait_timeout="0s")
    path = f"/api/2.0/sql/statements/{answer.statement_id}"
    client.api_client.do("DELETE", path)
    assert wait_state(client, answer.statement_id, "CANCELED", "CLOSED") == "CANCELED"


def test_concurrent_writers_all_land(client):
    rows(client, "CREATE TABLE main.silver.counter AS SELECT 1 AS id, 0 AS n")

    def add(_):
        answer = run(workspace_client, "UPDATE main.silver.counter SET n = n + 1 WHERE id = 1")
        return answer.status.state.value

    workspace_client = client
    with ThreadPoolExecutor(4) as pool:
        states = list(pool.map(add, range(8)))
    assert states == ["SUCCEEDED"] * 8
    assert rows(client, "SELECT n FROM main.silver.counter") == [["8"]]
    rows(client, "DROP TABLE main.silver.counter")


def engine_pids(workspace) -> list[int]:
    """The engine's processes, the oldest first."""
    found = []
    for child in psutil.Process(workspace.process.pid).children():
        try:
            if {"spark", "server"} <= set(child.cmdline()):
                found.append((child.create_time(), child.pid))
        except psutil.Error:  # it ended meanwhile
            continue
    return [pid for _, pid in sorted(found)]


def wait_engines(workspace, condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition(found := engine_pids(workspace)):
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
    return found


def test_a_killed_engine_comes_back_and_nothing_is_lost(client, workspace):
    rows(client, "CREATE TABLE main.silver.kept2 AS SELECT 1 AS id")
    waiting = run(client, LONG, wait_timeout="0s")
    wait_state(client, waiting.statement_id, "RUNNING")
    before = engine_pids(workspace)[-1]
    threading.Timer(0.2, os.kill, (before, signal.SIGKILL)).start()
    assert wait_state(client, waiting.statement_id, "FAILED", "SUCCEEDED") == "FAILED"
    told = client.statement_execution.get_statement(waiting.statement_id).status.error
    assert told.error_code.value == "TEMPORARILY_UNAVAILABLE"
    assert rows(client, "SELECT id FROM main.silver.kept2") == [["1"]]
    assert before not in engine_pids(workspace)
    rows(client, "DROP TABLE main.silver.kept2")


def test_a_grown_engine_is_replaced_and_nobody_notices(client, workspace):
    """The engine loses memory with each text it parses, so after some it is started anew."""
    running = run(client, LONG, wait_timeout="0s").statement_id
    wait_state(client, running, "RUNNING")
    before = engine_pids(workspace)[-1]
    failures, done = [], threading.Event()

    def ask(number):
        while not done.is_set():
            got = rows(client, "SELECT :n AS n, count(*) AS c FROM range(10)", ("n", number, "INT"))
            if got != [[number, "10"]]:
                failures.append(got)

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask, str(number)) for number in range(4)]
        try:
            wait_engines(workspace, lambda found: found[-1] != before, seconds=120)
        finally:
            done.set()
        for one in asking:
            one.result()
    assert failures == []
    assert before in engine_pids(workspace)  # its long statement goes on
    assert state_of(client, running) == "RUNNING"
    client.statement_execution.cancel_execution(running)
    assert wait_state(client, running, "CANCELED", seconds=60) == "CANCELED"
    wait_engines(workspace, lambda found: before not in found)


def test_a_new_catalog_can_be_used_at_once(client, workspace):
    folder = workspace.data / "tables" / "other" / "place"
    folder.mkdir(parents=True)
    try:
        rows(client, "CREATE TABLE other.place.t AS SELECT 5 AS a")
        assert rows(client, "SELECT a FROM other.place.t") == [["5"]]
    finally:
        rows(client, "DROP TABLE IF EXISTS other.place.t")
        folder.rmdir()
        folder.parent.rmdir()
    assert rows(client, "SELECT 1") == [["1"]]
