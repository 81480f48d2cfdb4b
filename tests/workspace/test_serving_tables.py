"""Inference tables: what was asked and answered, as rows that SQL reads."""

from __future__ import annotations

import json

import pytest
from databricks.sdk.errors import BadRequest, NotImplemented
from databricks.sdk.service.serving import (
    AiGatewayConfig,
    AiGatewayInferenceTableConfig,
    AiGatewayRateLimit,
    AiGatewayRateLimitRenewalPeriod,
    AutoCaptureConfigInput,
    EndpointCoreConfigInput,
)
from serving_models import READY, ask, entity, http, select, serve, until, workspace_with_models

TABLE = "main.ml.moods_payload"
COLUMNS = {
    "databricks_request_id": "string",
    "request_date": "date",
    "client_request_id": "string",
    "request_time": "timestamp",
    "status_code": "int",
    "sampling_fraction": "double",
    "execution_duration_ms": "bigint",
    "request": "string",
    "response": "string",
    "logging_error_codes": "array<string>",
    "served_entity_id": "string",
    "requester": "string",
}


def keeping(prefix: str | None = "moods", schema: str = "ml", enabled: bool = True):
    return AiGatewayInferenceTableConfig(
        catalog_name="main", schema_name=schema, table_name_prefix=prefix, enabled=enabled
    )


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    yield from workspace_with_models(tmp_path_factory)


@pytest.fixture(scope="module")
def client(workspace):
    client = workspace.sdk()
    gateway = AiGatewayConfig(inference_table_config=keeping())
    serve(client, "moody", entity("moody"), ai_gateway=gateway)
    return client


@pytest.fixture
def web(workspace, client):
    with http(workspace) as web:
        yield web


def test_the_table_is_there_before_the_first_request(client):
    described = select(client, f"DESCRIBE TABLE {TABLE}")
    assert {row[0]: row[1] for row in described} == COLUMNS
    gateway = client.serving_endpoints.get("moody").ai_gateway
    assert gateway.inference_table_config == keeping()


def test_each_answer_becomes_a_row(client, web):
    good = ask(web, "moody", "calm", client_request_id="bill-7")
    assert good.status_code == 200
    assert ask(web, "moody", "raise", client_request_id="bill-8").status_code == 400
    assert ask(web, "moody", "exit", client_request_id="bill-9").status_code == 500
    until(lambda: ask(web, "moody", "calm").status_code == 200, "the model is loaded again")
    large = ask(web, "moody", "x" * (1 << 20), client_request_id="bill-10")
    assert large.status_code == 200

    def rows():
        sql = (
            "SELECT client_request_id, status_code, request, response, served_entity_id,"
            " requester, sampling_fraction, execution_duration_ms, logging_error_codes,"
            " request_date = to_date(request_time), databricks_request_id"
            f" FROM {TABLE} WHERE client_request_id LIKE 'bill-%'"
        )
        found = {row[0]: row for row in select(client, sql)}
        return found if len(found) == 4 else None

    found = until(rows, "four rows", 30)
    entity_id = client.api_client.do("GET", "/api/2.0/serving-endpoints/moody")
    entity_id = entity_id["config"]["served_entities"][0]["id"]
    row = found["bill-7"]
    assert (row[1], row[4], float(row[6]), row[9]) == ("200", entity_id, 1.0, "true")
    assert row[5] == client.current_user.me().id
    assert json.loads(row[2]) == {
        "dataframe_records": [{"mood": "calm"}],
        "client_request_id": "bill-7",
    }
    assert json.loads(row[3]) == good.json()
    assert int(row[7]) >= 0 and json.loads(row[8]) == []
    assert found["bill-8"][1] == "400" and "unexpected error" in found["bill-8"][3]
    assert found["bill-9"][1] == "500" and "ended during the request" in found["bill-9"][3]
    sizes = ["MAX_REQUEST_SIZE_EXCEEDED", "MAX_RESPONSE_SIZE_EXCEEDED"]
    assert (found["bill-10"][2:4], json.loads(found["bill-10"][8])) == ([None, None], sizes)
    assert len({row[10] for row in found.values()}) == 4


def test_it_can_be_switched_off_and_on(client, web):
    until(lambda: ask(web, "moody", "calm").status_code == 200, "the model answers")
    client.serving_endpoints.put_ai_gateway("moody", inference_table_config=keeping(enabled=False))
    assert ask(web, "moody", "calm", client_request_id="unseen").status_code == 200
    client.serving_endpoints.put_ai_gateway("moody", inference_table_config=keeping())
    assert ask(web, "moody", "calm", client_request_id="seen").status_code == 200

    def seen():
        sql = f"SELECT client_request_id FROM {TABLE} WHERE client_request_id LIKE '%seen'"
        return select(client, sql)

    # The two requests are in one batch or in two; the later one is never first.
    until(lambda: ["seen"] in seen(), "the second request", 30)
    assert seen() == [["seen"]]


def test_the_older_setting_of_a_configuration_works_too(client, web):
    serve(client, "line", entity("line"))
    capture = AutoCaptureConfigInput(catalog_name="main", schema_name="ml")
    client.serving_endpoints.update_config_and_wait(
        "line", served_entities=[entity("line")], auto_capture_config=capture, timeout=READY
    )
    shown = client.serving_endpoints.get("line").config.auto_capture_config
    assert (shown.catalog_name, shown.schema_name) == ("main", "ml")
    assert shown.state.payload_table.name == "main.ml.line_payload"
    body = {"dataframe_records": [{"a": 1.0}]}
    assert web.post("/serving-endpoints/line/invocations", json=body).status_code == 200
    until(lambda: select(client, "SELECT count(*) FROM main.ml.line_payload") == [["1"]], "1 row")


def test_rows_outlive_a_table_that_cannot_take_them_for_a_while(client, web, workspace):
    folder = workspace.data / "tables" / "main" / "ml" / "moods_payload"
    hidden = folder / "_delta_log.hidden"
    try:
        # What stands in the way of the next commit, as a full disk would.
        (folder / "_delta_log").rename(hidden)
        (folder / "_delta_log").write_text("not a folder")
        assert ask(web, "moody", "calm", client_request_id="patient").status_code == 200
        waiting = workspace.data / "serving"
        until(lambda: list(waiting.glob("*.counted.jsonl")), "the batch waits", 30)
    finally:
        (folder / "_delta_log").unlink()
        hidden.rename(folder / "_delta_log")
    sql = f"SELECT count(*) FROM {TABLE} WHERE client_request_id = 'patient'"
    until(lambda: select(client, sql) == [["1"]], "the row", 30)
    until(lambda: not list(waiting.glob("*.counted.jsonl")), "the batch is gone", 30)


def test_a_table_that_cannot_be_is_refused(client):
    def put(config):
        client.serving_endpoints.put_ai_gateway("moody", inference_table_config=config)

    with pytest.raises(BadRequest, match="cannot be found"):
        put(keeping(schema="nowhere"))
    with pytest.raises(BadRequest, match="cannot be used"):
        put(keeping(prefix="../moods"))
    with pytest.raises(BadRequest, match="needs catalog_name"):
        put(AiGatewayInferenceTableConfig(enabled=True))
    select(client, "CREATE TABLE main.ml.taken_payload AS SELECT 1 AS n")
    with pytest.raises(BadRequest, match="exists with other columns"):
        put(keeping(prefix="taken"))
    limit = AiGatewayRateLimit(calls=1, renewal_period=AiGatewayRateLimitRenewalPeriod.MINUTE)
    with pytest.raises(NotImplemented, match="rate_limits"):
        client.serving_endpoints.put_ai_gateway("moody", rate_limits=[limit])
    config = EndpointCoreConfigInput(name="other", served_entities=[entity("moody")])
    gateway = AiGatewayConfig(inference_table_config=keeping(schema="nowhere"))
    with pytest.raises(BadRequest, match="cannot be found"):
        client.serving_endpoints.create("other", config=config, ai_gateway=gateway)
    assert client.serving_endpoints.get("moody").ai_gateway.inference_table_config == keeping()
