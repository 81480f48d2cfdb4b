"""Serving endpoints through the unmodified SDK, on real models in processes of their own."""

from __future__ import annotations

import os
import signal
import time
from datetime import timedelta

import pytest
from databricks.sdk.errors import (
    BadRequest,
    DeadlineExceeded,
    InternalError,
    NotFound,
    ResourceConflict,
)
from databricks.sdk.service.serving import (
    EndpointCoreConfigInput,
    Route,
    TrafficConfig,
)
from serving_models import entity, model_processes, serve, workspace_with_models


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    yield from workspace_with_models(tmp_path_factory)


@pytest.fixture(scope="module")
def line(workspace):
    """Endpoint ``line`` with versions 1 and 2, half of the traffic each."""
    client = workspace.sdk()
    created = client.serving_endpoints.create_and_wait(
        name="line",
        config=EndpointCoreConfigInput(
            name="line",
            served_entities=[entity("line", "1"), entity("line", "2")],
            traffic_config=TrafficConfig(
                routes=[
                    Route(served_entity_name=name, traffic_percentage=50, served_model_name=name)
                    for name in ("line-1", "line-2")
                ]
            ),
        ),
        timeout=timedelta(seconds=240),
    )
    assert created.state.ready.value == "READY"
    yield client
    client.serving_endpoints.delete("line")


@pytest.fixture(scope="module")
def moody(workspace):
    client = workspace.sdk()
    serve(client, "moody", entity("moody"))
    yield client
    client.serving_endpoints.delete("moody")


def test_predictions_and_stable_split(line):
    def ask(number: int):
        answer = line.serving_endpoints.query(
            "line", dataframe_records=[{"a": 4.0}], client_request_id=f"bill-{number}"
        )
        return answer.served_model_name, round(answer.predictions[0], 6)

    first = [ask(number) for number in range(40)]
    assert set(first) == {("line-1", 8.0), ("line-2", 12.0)}
    assert [ask(number) for number in range(40)] == first


def test_versions_are_shown(line):
    shown = line.serving_endpoints.get("line")
    assert [
        (e.name, e.entity_version, e.state.deployment.value) for e in shown.config.served_entities
    ] == [("line-1", "1", "DEPLOYMENT_READY"), ("line-2", "2", "DEPLOYMENT_READY")]
    assert shown.config.config_version == 1
    assert "line" in [e.name for e in line.serving_endpoints.list()]


def test_schema_violation_is_mlflows_answer(line):
    with pytest.raises(BadRequest, match="Failed to enforce schema"):
        line.serving_endpoints.query("line", dataframe_records=[{"wrong": 1.0}])


def test_a_body_without_an_input_field_is_refused(line):
    with pytest.raises(BadRequest, match="exactly one of the input fields"):
        line.api_client.do("POST", "/serving-endpoints/line/invocations", body={"nothing": 1})


def test_update_config_swaps_when_the_new_model_is_ready(workspace):
    client = workspace.sdk()
    client.serving_endpoints.create_and_wait(
        name="swap",
        config=EndpointCoreConfigInput(name="swap", served_entities=[entity("line", "1", "old")]),
        timeout=timedelta(seconds=240),
    )
    waiting = client.serving_endpoints.update_config(
        name="swap", served_entities=[entity("line", "2", "new")]
    )
    answer = client.serving_endpoints.query("swap", dataframe_records=[{"a": 1.0}])
    assert answer.served_model_name == "old"
    with pytest.raises(ResourceConflict):
        client.serving_endpoints.update_config(
            name="swap", served_entities=[entity("line", "2", "third")]
        )
    updated = waiting.result(timeout=timedelta(seconds=240))
    assert updated.config.config_version == 2
    answer = client.serving_endpoints.query("swap", dataframe_records=[{"a": 1.0}])
    assert (answer.served_model_name, round(answer.predictions[0], 6)) == ("new", 3.0)
    client.serving_endpoints.delete("swap")
    with pytest.raises(NotFound):
        client.serving_endpoints.query("swap", dataframe_records=[{"a": 1.0}])


def test_unknown_version_is_refused(workspace):
    with pytest.raises(NotFound, match="no version 99"):
        workspace.sdk().serving_endpoints.create(
            name="nine", config=EndpointCoreConfigInput(
                name="nine", served_entities=[entity("line", "99")]
            ),
        )  # fmt: skip


def test_a_model_that_raises_answers_400_and_lives_on(moody):
    with pytest.raises(BadRequest, match="unexpected error while evaluating"):
        moody.serving_endpoints.query("moody", dataframe_records=[{"mood": "raise"}])
    assert calm(moody) == ["CALM"]
    logs = moody.serving_endpoints.logs("moody", "moody-1").logs
    assert "this model always has a reason" in logs


def test_a_model_that_crashes_loses_only_its_own_answer(moody):
    with pytest.raises(InternalError, match="ended during the request"):
        moody.serving_endpoints.query("moody", dataframe_records=[{"mood": "exit"}])
    assert calm(moody) == ["CALM"]
    assert moody.serving_endpoints.get("moody").state.ready.value == "READY"


def test_a_killed_model_process_is_replaced(moody, workspace):
    hosts = model_processes(workspace, "moody")
    assert len(hosts) == 1
    os.kill(hosts[0], signal.SIGKILL)
    assert calm(moody) == ["CALM"]
    assert model_processes(workspace, "moody") != hosts


def test_a_model_that_hangs_is_ended_at_its_deadline(moody, workspace):
    assert calm(moody) == ["CALM"]
    moody.api_client.do("POST", "/_local/serving", body={"invocation_seconds": 1.0})
    try:
        began = time.monotonic()
        with pytest.raises(DeadlineExceeded, match="did not answer"):
            moody.serving_endpoints.query("moody", dataframe_records=[{"mood": "hang"}])
        assert time.monotonic() - began < 5
    finally:
        moody.api_client.do("POST", "/_local/serving", body={"invocation_seconds": 60.0})
    assert calm(moody) == ["CALM"]


def calm(client) -> list:
    """Predictions for a harmless row; waits while the model is being loaded (503)."""
    deadline = time.monotonic() + 90
    while True:
        try:
            return client.serving_endpoints.query(
                "moody", dataframe_records=[{"mood": "calm"}]
            ).predictions
        except TimeoutError:  # what the SDK makes of 503 answers past its own retries
            assert time.monotonic() < deadline
