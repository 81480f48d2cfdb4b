"""Statement Execution through the unmodified SDK: forms of results, parameters, states, errors."""

from __future__ import annotations

import time
import uuid

import httpx
import pyarrow as pa
import pytest
from databricks.sdk.errors import BadRequest, NotFound
from databricks.sdk.service.sql import (
    Disposition,
    ExecuteStatementRequestOnWaitTimeout,
    Format,
    ServiceErrorCode,
    StatementParameterListItem,
    StatementState,
)

LONG = "SELECT sum(sqrt(id)) FROM range(1000000000000)"
SECONDS = 90


@pytest.fixture(scope="module")
def client(target):
    return target.sdk()


@pytest.fixture(scope="module")
def execute(client, target):
    """Runs a statement to its end. Parameters are (name, value, type)."""

    def run(statement, *parameters, **options):
        items = [StatementParameterListItem(n, value=v, type=t) for n, v, t in parameters]
        options = {"wait_timeout": "30s"} | options
        answer = client.statement_execution.execute_statement(
            statement, target.warehouse_id, parameters=items or None, **options
        )
        deadline = time.monotonic() + SECONDS
        while answer.status.state in (StatementState.PENDING, StatementState.RUNNING):
            assert time.monotonic() < deadline
            time.sleep(0.2)
            answer = client.statement_execution.get_statement(answer.statement_id)
        return answer

    return run


def wait_for(client, statement_id, *states):
    deadline = time.monotonic() + SECONDS
    while True:
        status = client.statement_execution.get_statement(statement_id).status
        if status.state in states:
            return status
        assert time.monotonic() < deadline, status
        time.sleep(0.2)


def test_rows_come_as_text(execute):
    answer = execute(
        "SELECT 1 AS i, 'a' AS s, cast(1.5 AS DECIMAL(12,2)) AS d, DATE'2025-01-02' AS day,"
        " true AS b, cast(null AS STRING) AS n, TIMESTAMP'2025-01-02 03:04:05' AS t,"
        " array(1, 2) AS a"
    )
    assert answer.status.state is StatementState.SUCCEEDED
    (row,) = answer.result.data_array
    assert row[:6] == ["1", "a", "1.50", "2025-01-02", "true", None]
    assert row[6].startswith("2025-01-02T03:04:05.000")
    columns = [(c.name, c.type_name.value, c.position) for c in answer.manifest.schema.columns]
    assert columns == [
        ("i", "INT", 0), ("s", "STRING", 1), ("d", "DECIMAL", 2), ("day", "DATE", 3),
        ("b", "BOOLEAN", 4), ("n", "STRING", 5), ("t", "TIMESTAMP", 6), ("a", "ARRAY", 7),
    ]  # fmt: skip
    decimal = answer.manifest.schema.columns[2]
    assert (decimal.type_precision, decimal.type_scale) == (12, 2)
    assert answer.manifest.total_row_count == 1 and not answer.manifest.truncated


@pytest.mark.parametrize(
    ("kind", "value", "back"),
    [
        ("STRING", "o'neil -- ?", "o'neil -- ?"), (None, "x", "x"), ("INT", "-7", "-7"),
        ("BIGINT", "9223372036854775807", "9223372036854775807"), ("TINYINT", "5", "5"),
        ("DOUBLE", "1.5", "1.5"), ("DECIMAL(10,3)", "2.5", "2.500"), ("BOOLEAN", "true", "true"),
        ("DATE", "2025-12-31", "2025-12-31"), ("STRING", None, None), ("INT", None, None),
        ("TIMESTAMP", "2025-01-02T03:04:05+08:00", "2025-01-01T19:04:05.000Z"),
    ],
)  # fmt: skip
def test_a_parameter_has_its_type(execute, kind, value, back):
    assert execute("SELECT :v AS v", ("v", value, kind)).result.data_array == [[back]]


def test_parameters_fill_predicates_limits_and_commands(execute, target):
    name = f"{target.catalog}.{target.schema}.sdk_{uuid.uuid4().hex[:10]}"
    execute(f"CREATE TABLE {name} (id INT, s STRING)")
    try:
        for number in ("1", "2"):
            done = execute(
                f"INSERT INTO {name} VALUES (:id, :s)", ("id", number, "INT"), ("s", "'); --", None)
            )
            assert done.status.state is StatementState.SUCCEEDED, done.status.error
        sql = f"SELECT s FROM {name} WHERE id >= :low ORDER BY id LIMIT :n"
        found = execute(sql, ("low", "1", "INT"), ("n", "1", "INT"))
        assert found.result.data_array == [["'); --"]]
    finally:
        execute(f"DROP TABLE {name}")


def test_arrow_by_links(client, execute):
    answer = execute(
        "SELECT id, cast(id AS DECIMAL(18,2)) AS d FROM range(250000)",
        disposition=Disposition.EXTERNAL_LINKS, format=Format.ARROW_STREAM,
    )  # fmt: skip
    tables = []
    for index in range(answer.manifest.total_chunk_count):
        chunk = client.statement_execution.get_statement_result_chunk_n(answer.statement_id, index)
        for link in chunk.external_links:
            content = httpx.get(link.external_link, timeout=60).content
            tables.append(pa.ipc.open_stream(content).read_all())
    whole = pa.concat_tables(tables)
    assert sorted(whole.column("id").to_pylist()) == list(range(250000))
    assert whole.schema.field("d").type == pa.decimal128(18, 2)


def test_csv_by_links(execute):
    answer = execute(
        "SELECT 1 AS a, null AS b", disposition=Disposition.EXTERNAL_LINKS, format=Format.CSV
    )
    text = httpx.get(answer.result.external_links[0].external_link, timeout=60).text
    assert [line.rstrip("\r") for line in text.splitlines()] == ["a,b", "1,null"]


def test_inline_rows_in_chunks(client, execute):
    answer = execute("SELECT id FROM range(200000)")
    found = list(answer.result.data_array)
    following = answer.result.next_chunk_index
    while following:
        chunk = client.statement_execution.get_statement_result_chunk_n(
            answer.statement_id, following
        )
        found += chunk.data_array
        following = chunk.next_chunk_index
    assert len(found) == answer.manifest.total_row_count == 200000


def test_limits_are_told(execute):
    answer = execute("SELECT id FROM range(1000)", row_limit=10)
    assert (len(answer.result.data_array), answer.manifest.truncated) == (10, True)
    answer = execute("SELECT id, repeat('x', 1000) AS s FROM range(100000)", byte_limit=10_000)
    assert answer.manifest.truncated and answer.manifest.total_row_count < 100000


def test_a_statement_fails_with_class_and_state(execute):
    answer = execute("SELECT * FROM no_such_table_anywhere")
    assert answer.status.state is StatementState.FAILED
    assert answer.status.error.error_code is ServiceErrorCode.BAD_REQUEST
    assert "TABLE_OR_VIEW_NOT_FOUND" in answer.status.error.message
    assert "42P01" in answer.status.error.message


def test_asynchronous_then_cancelled(client, target):
    answer = client.statement_execution.execute_statement(
        LONG, target.warehouse_id, wait_timeout="0s"
    )
    assert answer.status.state in (StatementState.PENDING, StatementState.RUNNING)
    wait_for(client, answer.statement_id, StatementState.RUNNING)
    client.statement_execution.cancel_execution(answer.statement_id)
    wait_for(client, answer.statement_id, StatementState.CANCELED)


def test_cancelled_when_the_wait_is_over(execute):
    cancel = ExecuteStatementRequestOnWaitTimeout.CANCEL
    answer = execute(LONG, wait_timeout="5s", on_wait_timeout=cancel)
    assert answer.status.state is StatementState.CANCELED


def test_what_the_contract_refuses(client, target):
    ask = client.statement_execution.execute_statement
    with pytest.raises(BadRequest):
        ask("SELECT 1", target.warehouse_id, wait_timeout="4s")
    with pytest.raises(BadRequest):
        ask("SELECT 1", target.warehouse_id, format=Format.ARROW_STREAM)
    with pytest.raises(NotFound):
        client.statement_execution.get_statement(str(uuid.uuid4()))


def test_catalog_and_schema_of_the_call(execute, target):
    answer = execute(
        "SELECT current_catalog(), current_schema()", catalog=target.catalog, schema=target.schema
    )
    assert answer.result.data_array == [[target.catalog, target.schema]]


def test_sessions_and_closing_as_drivers_do(client, target):
    """The SDK has no words for these; drivers call them."""
    body = {"warehouse_id": target.warehouse_id, "catalog": target.catalog, "schema": target.schema}
    session = client.api_client.do("POST", "/api/2.0/sql/sessions", body=body)["session_id"]
    answer = client.api_client.do(
        "POST", "/api/2.0/sql/statements",
        body={"warehouse_id": target.warehouse_id, "session_id": session, "wait_timeout": "30s",
              "statement": "SELECT current_schema()"},
    )  # fmt: skip
    assert answer["result"]["data_array"] == [[target.schema]]
    path = f"/api/2.0/sql/statements/{answer['statement_id']}"
    client.api_client.do("DELETE", path)
    client.api_client.do(
        "DELETE", f"/api/2.0/sql/sessions/{session}", query={"warehouse_id": target.warehouse_id}
    )
