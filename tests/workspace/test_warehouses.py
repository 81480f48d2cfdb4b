"""The warehouse: waking, refusing, stopping by itself; what it does with running statements."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from databricks.sdk.errors import BadRequest
from sql_steps import rows, run
from workspace_process import init_workspace, serve_workspace, stop_workspace

LONG = "SELECT sum(sqrt(id)) FROM range(1000000000000)"


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """The SDK on a workspace of its own: what is stopped here must not be missed elsewhere."""
    data = tmp_path_factory.mktemp("workspace")
    running = serve_workspace(data, init_workspace(data), options=("--faults",))
    yield running.sdk()
    stop_workspace(running)


@pytest.fixture(autouse=True)
def as_it_was(client):
    yield
    client.api_client.do("POST", "/_local/reset")
    client.warehouses.edit("local", auto_stop_mins=0)
    client.warehouses.start("local").result()


def configure(client, **settings):
    client.api_client.do("POST", "/_local/warehouse", body=settings)


def ahead(client, seconds):
    client.api_client.do("POST", "/_local/clock", body={"ahead_seconds": seconds})


def state(client):
    return client.warehouses.get("local").state.value


def wait_for(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_stopping_cancels_what_runs_and_is_seen_to_take_its_time(client):
    started = [run(client, LONG, wait_timeout="0s").statement_id for _ in range(3)]
    get = client.statement_execution.get_statement
    wait_for(lambda: all(get(one).status.state.value == "RUNNING" for one in started))
    client.warehouses.stop("local")
    assert state(client) in ("STOPPING", "STOPPED")
    wait_for(lambda: state(client) == "STOPPED")
    assert {get(one).status.state.value for one in started} == {"CANCELED"}


def test_many_statements_wake_it_once(client):
    configure(client, start_seconds=1.0)
    client.warehouses.stop("local").result()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: rows(client, f"SELECT {n}"), range(8)))
    assert answers == [[[str(n)]] for n in range(8)]
    assert state(client) == "RUNNING"


def test_a_statement_that_waits_for_the_start_can_be_cancelled(client):
    configure(client, start_seconds=300)
    client.warehouses.stop("local").result()
    waiting = run(client, "SELECT 1", wait_timeout="0s").statement_id
    get = client.statement_execution.get_statement
    assert (get(waiting).status.state.value, state(client)) == ("PENDING", "STARTING")
    client.statement_execution.cancel_execution(waiting)
    wait_for(lambda: get(waiting).status.state.value == "CANCELED")
    another = run(client, "SELECT 1", wait_timeout="0s").statement_id
    client.warehouses.stop("local")  # a start can be taken back
    wait_for(lambda: get(another).status.state.value in ("CANCELED", "FAILED"))
    wait_for(lambda: state(client) == "STOPPED")


def test_it_stops_after_its_idle_minutes(client):
    client.warehouses.edit("local", auto_stop_mins=10)
    rows(client, "SELECT 1")
    ahead(client, 9 * 60)
    assert state(client) == "RUNNING"
    rows(client, "SELECT 1")
    ahead(client, 18 * 60)
    assert state(client) == "RUNNING"  # nine minutes since the last statement
    ahead(client, 20 * 60)
    assert state(client) == "STOPPED"
    assert rows(client, "SELECT 2") == [["2"]]  # wakes it
    assert state(client) == "RUNNING"


def test_it_does_not_stop_under_a_running_statement(client):
    client.warehouses.edit("local", auto_stop_mins=10)
    started = run(client, LONG, wait_timeout="0s").statement_id
    ahead(client, 3600)
    assert state(client) == "RUNNING"
    client.statement_execution.cancel_execution(started)
    wait_for(lambda: state(client) == "STOPPED")


def test_zero_minutes_mean_never(client):
    rows(client, "SELECT 1")
    ahead(client, 30 * 24 * 3600)
    assert state(client) == "RUNNING"


def test_it_refuses_when_it_may_not_start_by_itself(client):
    configure(client, auto_start=False)
    client.warehouses.stop("local").result()
    with pytest.raises(BadRequest, match="start it") as refused:
        run(client, "SELECT 1")
    assert refused.value.error_code == "INVALID_STATE"
    client.warehouses.start("local").result()
    assert rows(client, "SELECT 1") == [["1"]]


@pytest.mark.parametrize(
    "changes",
    [
        {"cluster_size": "Giant"}, {"auto_stop_mins": 5}, {"auto_stop_mins": -1}, {"name": " "},
        {"name": "x" * 100}, {"min_num_clusters": 0}, {"min_num_clusters": 3},
        {"max_num_clusters": 41},
    ],
)  # fmt: skip
def test_edits_that_make_no_sense(client, changes):
    before = client.warehouses.get("local").as_dict()
    with pytest.raises(BadRequest):
        client.warehouses.edit("local", **changes)
    assert client.warehouses.get("local").as_dict() == before


def test_sessions_are_counted(client):
    before = client.warehouses.get("local").num_active_sessions
    body = {"warehouse_id": "local"}
    opened = client.api_client.do("POST", "/api/2.0/sql/sessions", body=body)["session_id"]
    assert client.warehouses.get("local").num_active_sessions == before + 1
    client.api_client.do("DELETE", f"/api/2.0/sql/sessions/{opened}")
    assert client.warehouses.get("local").num_active_sessions == before
