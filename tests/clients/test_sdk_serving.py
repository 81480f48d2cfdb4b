"""Serving endpoints through the unmodified SDK: made, asked, read, changed, deleted.

A real endpoint takes a quarter of an hour to start; the same calls go to both.
"""

from __future__ import annotations

import json
import time
import uuid
from datetime import timedelta

import pytest
from databricks.sdk.errors import AlreadyExists, BadRequest, NotFound, ResourceConflict
from databricks.sdk.service.serving import (
    AiGatewayConfig,
    AiGatewayInferenceTableConfig,
    DataframeSplitInput,
    EndpointCoreConfigInput,
    EndpointTag,
    Route,
    ServedEntityInput,
    TrafficConfig,
)
from test_mlflow import environment, experiment_of, fresh_name, session

READY = timedelta(minutes=30)


@pytest.fixture(scope="module")
def model(target):
    """A registered model with one version that doubles ``x``."""
    kind = "http" if target.embedded else "unity"
    name = fresh_name(target, kind)
    session(environment(target, kind) | {"KEEP": "1"}, name, experiment_of(target))
    yield name
    target.sdk().registered_models.delete(name)


def entity(model: str, name: str, scale_to_zero: bool = True) -> ServedEntityInput:
    return ServedEntityInput(
        name=name,
        entity_name=model,
        entity_version="1",
        workload_size="Small",
        scale_to_zero_enabled=scale_to_zero,
    )


def routes(**shares: int) -> TrafficConfig:
    return TrafficConfig(
        routes=[
            Route(served_entity_name=name, served_model_name=name, traffic_percentage=share)
            for name, share in shares.items()
        ]
    )


@pytest.fixture(scope="module")
def endpoint(target, model):
    """An endpoint with two entities, an inference table and a tag. Yields (client, its name)."""
    client = target.sdk()
    name = f"suite-{uuid.uuid4().hex[:8]}"
    table = AiGatewayInferenceTableConfig(
        catalog_name=target.catalog, schema_name=target.schema,
        table_name_prefix=name.replace("-", "_"), enabled=True,
    )  # fmt: skip
    config = EndpointCoreConfigInput(
        name=name,
        served_entities=[entity(model, "champion"), entity(model, "challenger")],
        traffic_config=routes(champion=50, challenger=50),
    )
    made = client.serving_endpoints.create_and_wait(
        name,
        config=config,
        ai_gateway=AiGatewayConfig(inference_table_config=table),
        tags=[EndpointTag("team", "finance")],
        description="doubles",
        timeout=READY,
    )
    assert (made.name, made.state.ready.value) == (name, "READY")
    yield client, name
    client.serving_endpoints.delete(name)
    with pytest.raises(NotFound):
        client.serving_endpoints.get(name)


def test_it_is_shown_as_it_was_made(endpoint, target, model):
    client, name = endpoint
    shown = client.serving_endpoints.get(name)
    assert shown.description == "doubles" and shown.creator and shown.id
    assert shown.state.config_update.value == "NOT_UPDATING"
    assert [(tag.key, tag.value) for tag in shown.tags] == [("team", "finance")]
    kept = shown.ai_gateway.inference_table_config
    assert (kept.catalog_name, kept.schema_name, kept.enabled) == (
        target.catalog, target.schema, True,
    )  # fmt: skip
    entities = {e.name: e for e in shown.config.served_entities}
    assert entities.keys() == {"champion", "challenger"}
    one = entities["champion"]
    assert (one.entity_name, one.entity_version, one.workload_size, one.workload_type.value) == (
        model, "1", "Small", "CPU",
    )  # fmt: skip
    assert one.scale_to_zero_enabled is True
    assert one.state.deployment.value == "DEPLOYMENT_READY"
    shares = {r.served_model_name: r.traffic_percentage for r in shown.config.traffic_config.routes}
    assert shares == {"champion": 50, "challenger": 50}
    assert shown.config.config_version == 1
    assert name in [each.name for each in client.serving_endpoints.list()]


def test_every_format_of_a_request_is_answered(endpoint):
    client, name = endpoint
    query = client.serving_endpoints.query
    split = DataframeSplitInput(columns=["x"], data=[[1.0], [2.0]], index=[0, 1])
    assert query(name, dataframe_split=split).predictions == [2.0, 4.0]
    assert query(name, dataframe_records=[{"x": 1.0}, {"x": 2.0}]).predictions == [2.0, 4.0]
    assert query(name, inputs={"x": [1.0, 2.0]}).predictions == [2.0, 4.0]
    assert query(name, instances=[{"x": 1.0}, {"x": 2.0}]).predictions == [2.0, 4.0]


def test_the_answer_names_the_entity(endpoint, target):
    client, name = endpoint

    def ask(number: int) -> str:
        answer = client.serving_endpoints.query(
            name, dataframe_records=[{"x": 1.0}], client_request_id=f"bill-{number}"
        )
        return answer.served_model_name

    first = [ask(number) for number in range(24)]
    assert set(first) == {"champion", "challenger"}
    if target.embedded:  # a real endpoint draws at random
        assert [ask(number) for number in range(24)] == first


def test_a_request_that_the_model_cannot_read_is_refused(endpoint):
    client, name = endpoint
    with pytest.raises(BadRequest, match="Failed to enforce schema"):
        client.serving_endpoints.query(name, dataframe_records=[{"wrong": 1.0}])
    path = f"/serving-endpoints/{name}/invocations"
    with pytest.raises(BadRequest, match="exactly one of the input fields"):
        client.api_client.do("POST", path, body={"nothing": 1})


def test_answers_are_kept_in_the_inference_table(endpoint, target):
    client, name = endpoint
    if not target.embedded:
        pytest.skip("a real table gets its rows within the hour")
    asked = uuid.uuid4().hex
    client.serving_endpoints.query(name, dataframe_records=[{"x": 4.0}], client_request_id=asked)
    table = f"{target.catalog}.{target.schema}.{name.replace('-', '_')}_payload"
    answer = client.statement_execution.execute_statement(
        f"SELECT status_code, request, response, requester FROM {table}"
        f" WHERE client_request_id = '{asked}'",
        target.warehouse_id,
    )
    [[status, request, response, requester]] = answer.result.data_array
    assert status == "200" and requester == client.current_user.me().id
    assert json.loads(request)["dataframe_records"] == [{"x": 4.0}]
    assert json.loads(response) == {"predictions": [8.0]}


def test_logs_and_metrics_can_be_read(endpoint, target):
    client, name = endpoint
    client.serving_endpoints.query(name, dataframe_records=[{"x": 1.0}], client_request_id="a")
    build = client.serving_endpoints.build_logs(name, "champion").logs
    assert build
    assert isinstance(client.serving_endpoints.logs(name, "champion").logs, str)
    text = client.serving_endpoints.export_metrics(name).contents.read().decode()
    assert "request_count_total" in text
    if target.embedded:
        assert "mlflow" in build
        for metric in ("request_latency_ms_bucket", "cpu_usage_percentage", "mem_usage_percentage"):
            assert f'{metric}{{endpoint_name="{name}"' in text
    with pytest.raises(NotFound):
        client.serving_endpoints.logs(name, "nobody")


def test_tags_are_changed_one_by_one(endpoint):
    client, name = endpoint
    added = client.serving_endpoints.patch(
        name, add_tags=[EndpointTag("cost", "7"), EndpointTag("stage", "test")]
    )
    assert {"team", "cost", "stage"} <= {tag.key for tag in added.tags}
    client.serving_endpoints.patch(name, delete_tags=["cost", "stage"])
    tags = client.serving_endpoints.get(name).tags
    assert [(tag.key, tag.value) for tag in tags] == [("team", "finance")]


def test_a_name_is_taken_once_and_must_be_one(endpoint, model):
    client, name = endpoint
    config = EndpointCoreConfigInput(name=name, served_entities=[entity(model, "a")])
    with pytest.raises((AlreadyExists, ResourceConflict)):
        client.serving_endpoints.create(name, config=config)
    with pytest.raises(BadRequest):
        client.serving_endpoints.create("not a name", config=config)
    with pytest.raises(NotFound):
        client.serving_endpoints.query(f"{name}-x", dataframe_records=[{"x": 1.0}])
    with pytest.raises(BadRequest, match="100"):
        client.serving_endpoints.update_config(
            name,
            served_entities=[entity(model, "a"), entity(model, "b")],
            traffic_config=routes(a=50, b=40),
        )


def test_the_table_can_be_switched_off(endpoint):
    client, name = endpoint
    before = client.serving_endpoints.get(name).ai_gateway.inference_table_config
    off = AiGatewayInferenceTableConfig(
        before.catalog_name, False, before.schema_name, before.table_name_prefix
    )
    changed = client.serving_endpoints.put_ai_gateway(name, inference_table_config=off)
    assert changed.inference_table_config.enabled is False
    kept = client.serving_endpoints.get(name).ai_gateway.inference_table_config
    assert kept.enabled is False
    client.serving_endpoints.put_ai_gateway(name, inference_table_config=before)


def test_an_update_replaces_what_is_served(endpoint, model):
    client, name = endpoint
    waiting = client.serving_endpoints.update_config(
        name, served_entities=[entity(model, "only", scale_to_zero=False)]
    )
    with pytest.raises(ResourceConflict):
        client.serving_endpoints.update_config(name, served_entities=[entity(model, "other")])
    shown = waiting.result(timeout=READY)
    assert [e.name for e in shown.config.served_entities] == ["only"]
    assert [r.served_model_name for r in shown.config.traffic_config.routes] == ["only"]
    assert shown.config.config_version == 2
    deadline = time.monotonic() + 60
    while True:
        answer = client.serving_endpoints.query(name, dataframe_records=[{"x": 1.0}])
        if answer.served_model_name == "only":
            break
        assert time.monotonic() < deadline
    assert answer.predictions == [2.0]
