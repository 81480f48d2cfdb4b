"""What the embedded workspace can be told to do wrong, and what the SDK makes of it."""

from __future__ import annotations

import pytest
from databricks.sdk.errors import InternalError


@pytest.fixture
def local(target):
    """Calls a control of the embedded workspace; everything is undone afterwards."""
    if not target.embedded:
        pytest.skip("a real workspace plays no faults on demand")
    client = target.sdk().api_client

    def call(method, control, /, **body):
        return client.do(method, f"/_local/{control}", body=body or None)

    yield call
    call("POST", "reset")


def test_what_the_sdk_does_not_try_again_reaches_the_caller(target, local):
    local("POST", "faults", path="/api/2.0/sql/warehouses", status=500, message="made up")
    with pytest.raises(InternalError, match="made up"):
        list(target.sdk().warehouses.list())
    assert list(target.sdk().warehouses.list())


def test_a_busy_answer_and_a_dropped_connection_are_tried_again(target, local):
    path = "/api/2.0/sql/warehouses"
    local("POST", "faults", path=path, status=429, retry_after=1)
    local("POST", "faults", path=path, drop="before")
    local("POST", "faults", path="/nowhere", status=503, times=3)
    assert list(target.sdk().warehouses.list())
    assert [fault["path"] for fault in local("GET", "faults")["faults"]] == ["/nowhere"]
    local("DELETE", "faults")
    assert local("GET", "faults") == {"faults": []}


def test_health_needs_no_token(target, local):
    assert local("GET", "health")["status"] == "ok"


def test_the_clock_can_be_set_ahead(local):
    now = local("POST", "clock", ahead_seconds=0)["now_ms"]
    assert local("POST", "clock", ahead_seconds=60)["now_ms"] >= now + 60_000


def test_a_warehouse_can_be_told_not_to_start_by_itself(target, local):
    local("POST", "warehouse", auto_start=True, start_seconds=0)
    local("POST", "serving", invocation_seconds=60)
    assert target.sdk().warehouses.get(target.warehouse_id).id == target.warehouse_id
