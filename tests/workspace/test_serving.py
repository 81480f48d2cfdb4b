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
from serving_models import entity, http, model_processes, serve, workspace_with_models


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
        assert time.monotonic() - began < 60  # the model itself would take 600
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


WRONG = [
    ({"config": {}}, 400, "at least one"),
    ({"config": {"served_entities": []}}, 400, "at least one"),
    ({"config": {"served_entities": "line"}}, 400, "served_entities"),
    ({"config": {"served_entities": [{"entity_name": 5}]}}, 400, "entity_name"),
    ({"config": {"served_entities": [{"entity_name": "main.ml.line"}]}}, 400, "entity_version"),
    ({"name": "no spaces", "config": {"served_entities": [{}]}}, 400, "name"),
    ({"name": "x" * 64, "config": {"served_entities": [{}]}}, 400, "63 letters"),
    ({"name": None, "config": {"served_entities": [{}]}}, 400, "name"),
    (["not", "an", "object"], 400, ""),
]
WRONG_ENTITIES = [
    ([{"entity_version": "²"}], None, 400, "numeric"),
    ([{"entity_version": "9" * 30}], None, 400, "numeric"),
    ([{"entity_version": "99"}], None, 404, "no version 99"),
    ([{"entity_name": "main.ml.nothing"}], None, 404, "no version 1"),
    ([{"name": "../../x"}], None, 400, "name"),
    ([{"environment_vars": {"A": "1"}}], None, 501, "environment_vars"),
    ([{"external_model": {"name": "x"}}], None, 501, "external_model"),
    ([{"workload_type": "GPU_SMALL"}], None, 501, "GPU_SMALL"),
    ([{"name": "a"}, {"name": "a"}], None, 400, "used twice"),
    ([{"name": "a"}, {"name": "b"}], None, 400, "need routes"),
    ([{"name": "a"}], [("a", 99)], 400, "sum to 99"),
    ([{"name": "a"}], [("b", 100)], 400, "no served entity 'b'"),
    ([{"name": "a"}], [("a", 101), ("a", -1)], 400, "between 0 and 100"),
    ([{"name": "a"}], [("a", "many")], 400, "traffic_percentage"),
    ([{"name": "a"}], [("a", None)], 400, "traffic_percentage"),
]


def make(workspace, body) -> tuple[int, str]:
    with http(workspace) as web:
        answer = web.post("/api/2.0/serving-endpoints", json=body)
        assert web.get("/api/2.0/serving-endpoints/wrong").status_code == 404
    return answer.status_code, answer.json().get("message", "")


@pytest.mark.parametrize(("body", "status", "text"), WRONG)
def test_a_wrong_body_is_refused_by_name(workspace, body, status, text):
    body = {"name": "wrong"} | body if isinstance(body, dict) else body
    found, message = make(workspace, body)
    assert found == status and text in message, message


@pytest.mark.parametrize(("entities", "shares", "status", "text"), WRONG_ENTITIES)
def test_a_wrong_entity_or_route_is_refused_by_name(workspace, entities, shares, status, text):
    default = {"entity_name": "main.ml.line", "entity_version": "1"}
    config: dict = {"served_entities": [default | given for given in entities]}
    if shares is not None:
        config["traffic_config"] = {
            "routes": [
                {"served_entity_name": name, "traffic_percentage": share} for name, share in shares
            ]
        }
    found, message = make(workspace, {"name": "wrong", "config": config})
    assert found == status and text in message, message


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        (b"", 400, "valid JSON"),
        (b"\xff\xfe", 400, "valid JSON"),
        (b"[" * 100_000, 400, "RecursionError"),
        (b'{"dataframe_records": ' + b"[" * 100_000, 400, "RecursionError"),
        (b"[]", 400, "Received a list"),
        (b"7", 400, "unexpected input type"),
        (b'{"inputs": {"a": [1.0]}, "instances": [1]}', 400, "exactly one of the input fields"),
        (b'{"dataframe_split": {"columns": ["a"]}}', 400, ""),
        (b'{"dataframe_records": [{"a": "many"}]}', 400, "Failed"),
        (b'{"inputs": {"a": [' + b"9" * 5000 + b"]}}", 400, "4300 digits"),
        (b" " * (17 << 20), 413, "larger than 16 MiB"),
    ],
    ids=lambda value: None if isinstance(value, bytes) else value,
)
def test_a_request_that_is_none_gets_mlflows_answer_or_ours(workspace, line, body, status, text):
    with http(workspace) as web:
        answer = web.post("/serving-endpoints/line/invocations", content=body)
        assert answer.status_code == status, answer.text[:300]
        assert text in answer.json()["message"], answer.text[:300]
        good = web.post("/serving-endpoints/line/invocations", json={"inputs": {"a": [1.0]}})
        assert good.status_code == 200


def test_only_json_is_read(workspace, line):
    with http(workspace) as web:
        answer = web.post(
            "/serving-endpoints/line/invocations",
            content="a\n1.0\n", headers={"Content-Type": "text/csv; charset=utf-8"},
        )  # fmt: skip
    assert answer.status_code == 501 and "text/csv" in answer.json()["message"]


def test_the_id_of_a_long_request_decides_too(line):
    records = [{"a": 1.0}] * 20_000
    for number in range(6):
        name = f"long-{number}"
        short = line.serving_endpoints.query(
            "line", dataframe_records=records[:1], client_request_id=name
        )
        long = line.serving_endpoints.query(
            "line", dataframe_records=records, client_request_id=name
        )
        assert long.served_model_name == short.served_model_name
        assert len(long.predictions) == 20_000
