"""The connector when answers come late or not at all: rows are complete, or there is an error."""

from __future__ import annotations

import httpx
import pytest
from conftest import Target
from connectors import BACKENDS, cursor
from workspace_process import init_workspace, serve_workspace, stop_workspace

ROWS = 1_000_000
MANY_FILES = f"SELECT id, concat('vendor ', id % 1000) AS vendor FROM range({ROWS})"


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    """(target, HTTP client) of a workspace of its own that makes faults on demand."""
    data = tmp_path_factory.mktemp("faulty")
    made = init_workspace(data)
    running = serve_workspace(data, made, options=("--faults",))
    headers = {"Authorization": f"Bearer {made.token}"}
    with httpx.Client(base_url=running.host, headers=headers, timeout=60) as http:
        yield Target(running.host, made.token, "local", "main", "gold", True), http
    stop_workspace(running)


@pytest.fixture
def plan(faulty):
    """Plans a fault; what was not used is forgotten after the test."""
    http = faulty[1]

    def add(**fault) -> None:
        http.post("/_local/faults", json=fault).raise_for_status()

    yield add
    http.delete("/_local/faults").raise_for_status()


@pytest.mark.parametrize("backend", ["kernel", "sea"])
def test_no_part_of_a_result_is_lost_when_a_link_to_one_is_late(faulty, plan, backend):
    """The kernel (1.3.0) ends a result too early when it asks link by link and one is late."""
    plan(path="/api/2.0/sql/statements/*/result/chunks/6", delay_seconds=0.7, times=1)
    with cursor(faulty[0], backend) as made:
        found = made.execute(MANY_FILES).fetchall_arrow()
    assert found.num_rows == ROWS
    assert sorted(found.column("id").to_pylist()) == list(range(ROWS))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_workspace_that_is_busy_for_a_moment(faulty, plan, backend):
    """503 with Retry-After: the client asks again by itself."""
    path = "/sql/1.0/warehouses/*" if backend == "thrift" else "/api/2.0/sql/statements"
    with cursor(faulty[0], backend, _retry_delay_min=0.1, _retry_delay_max=5) as made:
        plan(path=path, status=503, retry_after=1, times=1)
        assert made.execute("SELECT 1 AS a").fetchone() == (1,)
