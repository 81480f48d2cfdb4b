"""Warehouses, clusters and the query history through the unmodified SDK."""

from __future__ import annotations

import time

import httpx
import pytest
from databricks.sdk.errors import BadRequest, InvalidParameterValue, NotFound
from databricks.sdk.errors.platform import ResourceDoesNotExist
from databricks.sdk.service.compute import ClusterDetails, GetEventsOrder
from databricks.sdk.service.compute import State as ClusterState
from databricks.sdk.service.sql import (
    QueryFilter,
    QueryStatementType,
    QueryStatus,
    State,
    TimeRange,
)

SECONDS = 30


@pytest.fixture
def client(target):
    return target.sdk()


@pytest.fixture
def local(target):
    """The embedded workspace's SDK client; what is stopped or resized here must not be real."""
    if not target.embedded:
        pytest.skip("it would stop or change compute that others use")
    client = target.sdk()
    yield client
    client.warehouses.edit(target.warehouse_id, auto_stop_mins=0, cluster_size="2X-Small")
    client.warehouses.start(target.warehouse_id).result()
    client.clusters.ensure_cluster_is_running("local")
    httpx.post(f"{target.host}/_local/reset", headers=_token(target))


def _token(target):
    return {"Authorization": f"Bearer {target.token}"}


def _warehouse(target, **settings):
    address = f"{target.host}/_local/warehouse"
    answer = httpx.post(address, json=settings, headers=_token(target))
    if answer.status_code == 501:
        pytest.skip("the workspace was started without the controls for tests")
    assert answer.status_code == 200, answer.text


def test_a_warehouse_says_how_it_is_reached(client, target):
    assert target.warehouse_id in [one.id for one in client.warehouses.list()]
    found = client.warehouses.get(target.warehouse_id)
    assert found.name and found.cluster_size and found.state in State
    assert found.odbc_params.path == target.http_path
    assert found.odbc_params.hostname in target.host
    assert target.http_path in found.jdbc_url and found.jdbc_url.startswith("jdbc:databricks://")
    with pytest.raises(NotFound):
        client.warehouses.get("no-such-warehouse")


def test_stop_and_start(local, target):
    assert local.warehouses.stop(target.warehouse_id).result().state is State.STOPPED
    assert local.warehouses.get(target.warehouse_id).num_clusters == 0
    assert local.warehouses.start(target.warehouse_id).result().state is State.RUNNING
    assert local.warehouses.get(target.warehouse_id).num_clusters == 1


def test_a_statement_wakes_a_stopped_warehouse(local, target):
    _warehouse(target, start_seconds=1.5)
    local.warehouses.stop(target.warehouse_id).result()
    answer = local.statement_execution.execute_statement(
        "SELECT 1", target.warehouse_id, wait_timeout="0s"
    )
    assert answer.status.state.value == "PENDING"
    assert local.warehouses.get(target.warehouse_id).state is State.STARTING
    deadline = time.monotonic() + SECONDS
    while answer.status.state.value in ("PENDING", "RUNNING"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
        answer = local.statement_execution.get_statement(answer.statement_id)
    assert answer.status.state.value == "SUCCEEDED"
    assert local.warehouses.get(target.warehouse_id).state is State.RUNNING


def test_a_warehouse_may_refuse_until_it_is_started(local, target):
    _warehouse(target, auto_start=False)
    local.warehouses.stop(target.warehouse_id).result()
    with pytest.raises(BadRequest, match="start it"):
        local.statement_execution.execute_statement("SELECT 1", target.warehouse_id)
    assert local.warehouses.get(target.warehouse_id).state is State.STOPPED


def test_resize(local, target):
    local.warehouses.edit(target.warehouse_id, cluster_size="Large", max_num_clusters=3)
    found = local.warehouses.get(target.warehouse_id)
    assert (found.cluster_size, found.max_num_clusters) == ("Large", 3)
    assert found.num_clusters == 1  # there is one machine
    local.warehouses.edit(target.warehouse_id, max_num_clusters=1)
    with pytest.raises(BadRequest, match="cluster_size"):
        local.warehouses.edit(target.warehouse_id, cluster_size="Huge")
    with pytest.raises(BadRequest, match="auto_stop_mins"):
        local.warehouses.edit(target.warehouse_id, auto_stop_mins=5)


def test_the_cluster_starts_resizes_and_ends(local):
    (cluster,) = list(local.clusters.list())
    assert isinstance(cluster, ClusterDetails) and cluster.state is ClusterState.RUNNING
    local.clusters.delete(cluster.cluster_id).result()
    assert local.clusters.get(cluster.cluster_id).state is ClusterState.TERMINATED
    with pytest.raises(BadRequest, match="Terminated"):
        local.clusters.resize(cluster.cluster_id, num_workers=2)
    assert local.clusters.start(cluster.cluster_id).result().state is ClusterState.RUNNING
    with pytest.raises(BadRequest, match="Running"):
        local.clusters.start(cluster.cluster_id)
    assert local.clusters.resize(cluster.cluster_id, num_workers=2).result().num_workers == 2
    events = list(local.clusters.events(cluster.cluster_id, limit=3, order=GetEventsOrder.DESC))
    kinds = [event.type.value for event in events]
    assert kinds[:5] == ["RUNNING", "RESIZING", "RUNNING", "STARTING", "TERMINATING"]


def test_an_unknown_cluster(client):
    with pytest.raises((ResourceDoesNotExist, InvalidParameterValue), match="does not exist"):
        client.clusters.get("0000-000000-nothing")


def test_versions_and_node_types(client):
    assert client.clusters.select_spark_version()
    assert client.clusters.select_node_type(min_cores=1)


def test_history_lists_statements_newest_first(client, target):
    texts = [f"SELECT {number} AS history_{target.schema}" for number in range(3)]
    ids = []
    for text in [*texts, "SELECT no_such_column"]:
        answer = client.statement_execution.execute_statement(text, target.warehouse_id)
        ids.append(answer.statement_id)
    wanted = QueryFilter(statement_ids=ids)
    deadline = time.monotonic() + SECONDS
    while True:
        found = client.query_history.list(filter_by=wanted, include_metrics=True).res or []
        if len(found) == 4 and all(one.is_final for one in found):
            break
        assert time.monotonic() < deadline
        time.sleep(0.5)
    by_id = {one.query_id: one for one in found}
    assert set(by_id) == set(ids)
    first, failed = by_id[ids[0]], by_id[ids[3]]
    assert (first.query_text, first.status) == (texts[0], QueryStatus.FINISHED)
    assert first.statement_type is QueryStatementType.SELECT
    assert first.warehouse_id == target.warehouse_id and first.user_name
    assert first.duration >= 0 and first.query_end_time_ms >= first.query_start_time_ms
    assert failed.status is QueryStatus.FAILED and "UNRESOLVED_COLUMN" in failed.error_message
    starts = [one.query_start_time_ms for one in found]
    assert starts == sorted(starts, reverse=True)


def test_history_pages_and_filters(client, target):
    if not target.embedded:
        pytest.skip("a shared history has no known size")
    for number in range(5):
        client.statement_execution.execute_statement(f"SELECT {number}", target.warehouse_id)
    pages, token = [], None
    while len(pages) < 3:
        page = client.query_history.list(max_results=2, page_token=token)
        assert len(page.res) <= 2
        pages.append([one.query_id for one in page.res])
        token = page.next_page_token
    flat = [one for page in pages for one in page]
    assert len(set(flat)) == len(flat) == 6
    failed = client.query_history.list(filter_by=QueryFilter(statuses=[QueryStatus.FAILED]))
    assert all(one.status is QueryStatus.FAILED for one in failed.res or [])
    now = int(time.time() * 1000)
    future = TimeRange(start_time_ms=now + 3_600_000, end_time_ms=now + 7_200_000)
    none = client.query_history.list(filter_by=QueryFilter(query_start_time_range=future))
    assert not none.res
    with pytest.raises(BadRequest, match="max_results"):
        client.query_history.list(max_results=5000)


def test_a_running_statement_is_in_the_history(client, target):
    answer = client.statement_execution.execute_statement(
        "SELECT sum(sqrt(id)) FROM range(1000000000000)", target.warehouse_id, wait_timeout="0s"
    )
    wanted = QueryFilter(statement_ids=[answer.statement_id])
    deadline = time.monotonic() + SECONDS
    while True:
        found = client.query_history.list(filter_by=wanted).res or []
        if found and found[0].status is QueryStatus.RUNNING:
            break
        assert time.monotonic() < deadline, found
        time.sleep(0.2)
    client.statement_execution.cancel_execution(answer.statement_id)
    while client.query_history.list(filter_by=wanted).res[0].status is not QueryStatus.CANCELED:
        assert time.monotonic() < deadline
        time.sleep(0.2)
