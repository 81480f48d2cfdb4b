"""What of statements outlives the workspace: states, results, sessions, the warehouse."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import time

import httpx
import pyarrow as pa
import pytest
from databricks.sdk.errors import NotFound
from databricks.sdk.service.sql import Disposition, Format
from sql_steps import rows, run
from workspace_process import free_port, init_workspace, serve_workspace, stop_workspace

LONG = "SELECT sum(sqrt(id)) FROM range(1000000000000)"
STATEMENTS = "/api/2.0/sql/statements"


class Served:
    """A workspace that is ended and served again in the same folder."""

    def __init__(self, data) -> None:
        self.data = data
        self.port = free_port()
        self.made = init_workspace(data)
        self.begin()

    def begin(self):
        self.running = serve_workspace(self.data, self.made, self.port, options=("--faults",))
        self.client = self.running.sdk()
        return self.client

    def again(self, how=signal.SIGKILL):
        self.running.process.send_signal(how)
        self.running.process.wait(20)
        self.running.process.stdout.close()
        return self.begin()

    def post(self, path, **body):
        headers = {"Authorization": f"Bearer {self.running.token}"}
        answer = httpx.post(self.running.host + path, json=body, headers=headers, timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    made = Served(tmp_path_factory.mktemp("workspace"))
    yield made
    stop_workspace(made.running)


def state(client, statement_id):
    return client.statement_execution.get_statement(statement_id).status


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_statement_that_ran_has_failed_and_says_why(served, how):
    started = run(served.client, LONG, wait_timeout="0s").statement_id
    timed_out = run(served.client, LONG, wait_timeout="5s")
    assert timed_out.status.state.value == "RUNNING"
    client = served.again(how)
    for one in (started, timed_out.statement_id):
        status = state(client, one)
        assert status.state.value in ("FAILED", "CANCELED")
        if how is signal.SIGKILL:
            assert status.state.value == "FAILED"
            assert "workspace stopped" in status.error.message
            assert status.error.error_code.value == "TEMPORARILY_UNAVAILABLE"
    assert rows(client, "SELECT 1") == [["1"]]
    listed = client.query_history.list().res
    assert {one.query_id for one in listed if not one.is_final} == set()


def test_finished_results_can_still_be_read(served):
    client = served.client
    small = run(client, "SELECT 1 AS a, 'x' AS b")
    nothing = run(client, "SELECT 1 AS a WHERE false")
    failed = run(client, "SELECT no_such_column")
    large = run(
        client, "SELECT id FROM range(250000) ORDER BY id",
        disposition=Disposition.EXTERNAL_LINKS, format=Format.ARROW_STREAM,
    )  # fmt: skip
    closed = run(client, "SELECT 2")
    client.api_client.do("DELETE", f"{STATEMENTS}/{closed.statement_id}")
    client = served.again()
    found = client.statement_execution.get_statement(small.statement_id)
    assert found.as_dict() == small.as_dict()
    assert client.statement_execution.get_statement(nothing.statement_id).manifest.as_dict() == (
        nothing.manifest.as_dict()
    )
    assert state(client, failed.statement_id).as_dict() == failed.status.as_dict()
    assert state(client, closed.statement_id).state.value == "CLOSED"
    again = client.statement_execution.get_statement(large.statement_id)
    assert again.manifest.as_dict() == large.manifest.as_dict()
    ids = []
    for index in range(again.manifest.total_chunk_count):
        chunk = client.statement_execution.get_statement_result_chunk_n(large.statement_id, index)
        content = httpx.get(chunk.external_links[0].external_link).content
        ids += pa.ipc.open_stream(content).read_all().column("id").to_pylist()
    assert ids == list(range(250000))
    # A link from before is good until it expires: the workspace's secret is the same.
    assert httpx.get(large.result.external_links[0].external_link).status_code == 200


def test_results_whose_files_are_gone_are_not_promised(served):
    client = served.client
    large = run(
        client, "SELECT id FROM range(250000)",
        disposition=Disposition.EXTERNAL_LINKS, format=Format.ARROW_STREAM,
    )  # fmt: skip
    spool = served.data / "spool" / "results"
    stray = spool / "00000000-0000-0000-0000-000000000000"
    stray.mkdir()
    (stray / "0.arrow").write_bytes(b"x")
    shutil.rmtree(spool / large.statement_id)
    client = served.again()
    found = client.statement_execution.get_statement(large.statement_id)
    assert found.status.state.value == "CLOSED" and found.result is None
    assert not stray.exists()


def test_results_expire_and_their_files_are_removed(served):
    client = served.client
    kept = run(
        client, "SELECT id FROM range(250000)",
        disposition=Disposition.EXTERNAL_LINKS, format=Format.ARROW_STREAM,
    )  # fmt: skip
    folder = served.data / "spool" / "results" / kept.statement_id
    assert len(list(folder.iterdir())) == kept.manifest.total_chunk_count
    served.post("/_local/clock", ahead_seconds=3700)
    try:
        deadline = time.monotonic() + 90
        while folder.exists():
            rows(client, "SELECT 1")  # what is old goes when something new has come
            assert time.monotonic() < deadline
            time.sleep(0.5)
        assert state(client, kept.statement_id).state.value == "CLOSED"
        listed = client.query_history.list().res
        assert kept.statement_id in {one.query_id for one in listed}  # its record stays
    finally:
        served.post("/_local/clock", ahead_seconds=0)


def test_sessions_outlive_a_restart_with_what_they_were_told(served):
    session = served.post("/api/2.0/sql/sessions", warehouse_id="local")["session_id"]
    order = {"warehouse_id": "local", "session_id": session}
    served.post(STATEMENTS, statement="USE main.gold", **order)
    served.post(STATEMENTS, statement="SET TIMEZONE = 'Asia/Manila'", **order)
    served.again()
    question = "SELECT current_catalog(), current_schema(), current_timezone()"
    answer = served.post(STATEMENTS, statement=question, **order)
    assert answer["result"]["data_array"] == [["main", "gold", "Asia/Manila"]]


def test_the_warehouse_comes_back_in_the_state_it_was_left_in(served):
    client = served.client
    client.warehouses.edit("local", cluster_size="Medium", auto_stop_mins=15)
    client.warehouses.stop("local").result()
    client.clusters.delete("local").result()
    client = served.again()
    found = client.warehouses.get("local")
    assert (found.state.value, found.cluster_size, found.auto_stop_mins) == (
        "STOPPED", "Medium", 15,
    )  # fmt: skip
    assert client.clusters.get("local").state.value == "TERMINATED"
    client.warehouses.start("local").result()
    assert served.again().warehouses.get("local").state.value == "RUNNING"


def test_the_store_keeps_no_more_results_than_it_says(served):
    """Old records of a long history go; so do their results, at the next look."""
    client = served.client
    first = run(client, "SELECT 1").statement_id
    with sqlite3.connect(served.data / "workspace.db", timeout=10) as db:
        db.execute("UPDATE statements SET made_ms = 1, ended_ms = 1 WHERE id = ?", (first,))
    db.close()
    deadline = time.monotonic() + 90
    while True:
        rows(client, "SELECT 1")
        try:
            state(client, first)
        except NotFound:
            break
        assert time.monotonic() < deadline
        time.sleep(0.5)
