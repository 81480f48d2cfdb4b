"""Statement Execution through the unmodified SDK, on the real engine."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import deltalake
import httpx
import pyarrow as pa
import pytest
from databricks.sdk.errors import BadRequest, NotFound
from databricks.sdk.service.sql import (
    Disposition,
    ExecuteStatementRequestOnWaitTimeout,
    Format,
)
from sql_steps import failure, rows, run

LONG = "SELECT sum(sqrt(id)) FROM range(1000000000000)"


@pytest.fixture(scope="module")
def client(workspace):
    return workspace.sdk()


def test_typed_parameters_are_values_not_text(client):
    answer = run(
        client,
        "SELECT :s AS s, :i AS i, :b AS b, :d AS d, :day AS day, :t AS t, :f AS f, :n AS n",
        ("s", "o'neil; DROP TABLE x --", "STRING"),
        ("i", "-7", "INT"),
        ("b", "true", "BOOLEAN"),
        ("d", "12.5", "DECIMAL(12,2)"),
        ("day", "2025-03-31", "DATE"),
        ("t", "2025-03-31T08:00:00+08:00", "TIMESTAMP"),
        ("f", "1.5", "DOUBLE"),
        ("n", None, "DATE"),
    )
    assert answer.result.data_array == [
        ["o'neil; DROP TABLE x --", "-7", "true", "12.50", "2025-03-31",
         "2025-03-31T00:00:00.000Z", "1.5", None]
    ]  # fmt: skip
    columns = [(c.name, c.type_text, c.type_name.value) for c in answer.manifest.schema.columns]
    assert columns == [
        ("s", "STRING", "STRING"), ("i", "INT", "INT"), ("b", "BOOLEAN", "BOOLEAN"),
        ("d", "DECIMAL(12,2)", "DECIMAL"), ("day", "DATE", "DATE"),
        ("t", "TIMESTAMP", "TIMESTAMP"), ("f", "DOUBLE", "DOUBLE"), ("n", "DATE", "DATE"),
    ]  # fmt: skip


def test_quotes_in_literals(client):
    sql = """SELECT 'o''neil' AS a, "o'neil" AS b, 'it\\'s' AS c, 'a''''b' AS d"""
    assert rows(client, sql) == [["o'neil", "o'neil", "it's", "a''b"]]


def test_parameters_in_limit_and_predicates(client):
    sql = "SELECT id FROM range(100) WHERE id > :low ORDER BY id LIMIT :n"
    assert rows(client, sql, ("low", "41", "BIGINT"), ("n", "2", "INT")) == [["42"], ["43"]]


@pytest.mark.parametrize(
    ("value", "kind"),
    [("x", "INT"), ("3000000000", "INT"), ("1234.5", "DECIMAL(4,2)"), ("2025-02-30", "DATE"),
     ("maybe", "BOOLEAN"), ("1", "GEOMETRY"), ("nan", "DECIMAL(10,2)")],
)  # fmt: skip
def test_a_value_that_does_not_fit_its_type_fails(client, value, kind):
    error_class, state = failure(client, "SELECT :v", ("v", value, kind))
    assert error_class.startswith("INVALID_PARAMETER_MARKER_VALUE")
    assert state == "22023"


def test_nested_and_special_values_as_text(client):
    sql = (
        "SELECT array(1, 2) AS a, named_struct('x', 1, 'y', 'z') AS s, map('k', 2) AS m,"
        " cast('ab' AS binary) AS b, cast(0 AS decimal(18,10)) AS d, cast(null AS int) AS n,"
        " timestamp'2025-01-02 03:04:05.123456' AS t"
    )
    assert rows(client, sql) == [
        ["[1,2]", '{"x":1,"y":"z"}', '{"k":2}', "YWI=", "0.0000000000", None,
         "2025-01-02T03:04:05.123456Z"]
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("sql", "error_class", "state"),
    [
        ("SELEC 1", "PARSE_SYNTAX_ERROR", "42601"),
        ("SELECT 1 FROM", "PARSE_SYNTAX_ERROR", "42601"),
        ("SELECT 1; SELECT 2", "PARSE_SYNTAX_ERROR", "42601"),
        ("  -- nothing", "PARSE_SYNTAX_ERROR", "42601"),
        ("SELECT * FROM main.gold.missing", "TABLE_OR_VIEW_NOT_FOUND", "42P01"),
        ("SELECT nope FROM range(1)", "UNRESOLVED_COLUMN.WITHOUT_SUGGESTION", "42703"),
        ("SELECT nosuch(1)", "UNRESOLVED_ROUTINE", "42883"),
        ("SELECT cast('x' AS int)", "CAST_INVALID_INPUT", "22018"),
        ("SELECT 1 / 0", "DIVIDE_BY_ZERO", "22012"),
        ("SELECT :missing", "UNBOUND_SQL_PARAMETER", "42P02"),
        ("DROP TABLE main.gold.missing", "TABLE_OR_VIEW_NOT_FOUND", "42P01"),
        ("SHOW TABLES IN main.nowhere", "SCHEMA_NOT_FOUND", "42704"),
        ("CREATE SCHEMA main.gold", "SCHEMA_ALREADY_EXISTS", "42P06"),
        ("SET spark.sql.sources.partitionOverwriteMode = dynamic", "CONFIG_NOT_AVAILABLE", "42K0I"),
    ],
)
def test_errors_have_class_and_sqlstate(client, sql, error_class, state):
    assert failure(client, sql) == (error_class, state)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT bround(2.5)",
        "SELECT weekday(date'2025-01-05')",
        "INSERT INTO main.silver.kept REPLACE WHERE id = 1 SELECT 2 AS id",
        "INSERT OVERWRITE main.silver.kept PARTITION (id) SELECT 2 AS id",
        "SELECT * FROM csv.`/etc/passwd`",
        "SELECT * FROM delta.`/tmp/x`",
        "CREATE TABLE main.silver.x (a int) LOCATION '/tmp/x'",
        "CREATE TABLE main.silver.x (a int) USING parquet",
        "CREATE VIEW main.silver.v AS SELECT 1",
    ],
)
def test_what_would_go_wrong_is_refused_by_name(client, sql):
    assert failure(client, sql) == ("UNSUPPORTED_FEATURE", "0A000")


def test_tables_land_as_delta_in_their_place(client, workspace):
    folder = workspace.data / "tables" / "main" / "silver"
    rows(client, "CREATE TABLE main.silver.bills (id int, amount decimal(18,2), day date)")
    answer = run(
        client,
        "INSERT INTO main.silver.bills VALUES (1, 10.00, date'2025-01-31'), (2, null, null)",
    )
    assert answer.result.data_array == [["2", "2"]]
    rows(client, "CREATE TABLE copies AS SELECT * FROM bills", catalog="main", schema="silver")
    merged = run(
        client,
        "MERGE INTO main.silver.copies t USING (SELECT 2 AS id, 5.50 AS amount UNION ALL"
        " SELECT 3, 6.00) s ON t.id = s.id WHEN MATCHED THEN UPDATE SET amount = s.amount"
        " WHEN NOT MATCHED THEN INSERT (id, amount) VALUES (s.id, s.amount)",
    )
    assert [c.name for c in merged.manifest.schema.columns][0] == "num_affected_rows"
    assert merged.result.data_array == [["2", "1", "0", "1"]]
    run(client, "DELETE FROM main.silver.copies WHERE id = 1")
    run(client, "UPDATE main.silver.copies SET amount = amount + 1 WHERE id = 3")
    kept = rows(client, "SELECT id, amount FROM main.silver.copies ORDER BY id")
    assert kept == [["2", "5.50"], ["3", "7.00"]]
    table = deltalake.DeltaTable(str(folder / "copies"))
    assert sorted(table.to_pyarrow_table().column("id").to_pylist()) == [2, 3]
    assert rows(client, "SHOW TABLES IN main.silver LIKE 'cop*'") == [["silver", "copies", "false"]]
    assert rows(client, "DESCRIBE TABLE main.silver.bills") == [
        ["id", "int", None], ["amount", "decimal(18,2)", None], ["day", "date", None]
    ]  # fmt: skip
    rows(client, "DROP TABLE main.silver.copies")
    assert not (folder / "copies").exists()
    rows(client, "DROP TABLE IF EXISTS main.silver.copies")
    assert failure(client, "SELECT * FROM main.silver.copies")[1] == "42P01"
    run(client, "DROP TABLE main.silver.bills")


def test_words_of_statements_as_column_names(client):
    sql = "WITH q AS (SELECT 1 AS merge, 2 AS `insert`) SELECT merge, `insert` FROM q"
    assert rows(client, sql) == [["1", "2"]]
    assert rows(client, "SELECT 3 AS update, 4 AS delete", row_limit=5) == [["3", "4"]]


def test_inserts_with_common_tables(client):
    rows(client, "CREATE TABLE main.silver.w (a int, b int GENERATED ALWAYS AS (a + 1))")
    with_first = "WITH q AS (SELECT 1 AS a) INSERT INTO main.silver.w (a) SELECT a FROM q"
    assert failure(client, with_first) == ("PARSE_SYNTAX_ERROR", "42601")  # Sail has no such form
    insert_first = "INSERT INTO main.silver.w (a) WITH q AS (SELECT 1 AS a) SELECT a FROM q"
    assert rows(client, insert_first) == [["1", "1"]]
    assert rows(client, "SELECT a, b FROM main.silver.w") == [["1", "2"]]
    rows(client, "DROP TABLE main.silver.w")


def test_catalogs_and_schemas(client):
    assert rows(client, "SHOW CATALOGS") == [["main"], ["system"]]
    rows(client, "CREATE SCHEMA IF NOT EXISTS main.extra")
    listed = [row[0] for row in rows(client, "SHOW SCHEMAS IN main")]
    assert {"bronze", "silver", "gold", "landing", "ml", "extra"} <= set(listed)
    rows(client, "CREATE TABLE main.extra.t AS SELECT 1 AS a")
    assert failure(client, "DROP SCHEMA main.extra") == ("SCHEMA_NOT_EMPTY", "2BP01")
    rows(client, "DROP SCHEMA main.extra CASCADE")
    assert "extra" not in [row[0] for row in rows(client, "SHOW SCHEMAS")]
    assert failure(client, "CREATE SCHEMA main.`../up`") == ("INVALID_IDENTIFIER", "42602")


def test_a_table_written_by_another_process_is_seen_with_its_new_columns(client, workspace):
    folder = str(workspace.data / "tables" / "main" / "bronze" / "outside")
    deltalake.write_deltalake(folder, pa.table({"a": [1, 2]}))
    assert rows(client, "SELECT sum(a) FROM main.bronze.outside") == [["3"]]
    deltalake.write_deltalake(
        folder, pa.table({"a": ["x"], "n": [7]}), mode="overwrite", schema_mode="overwrite"
    )
    assert rows(client, "SELECT n, a FROM main.bronze.outside") == [["7", "x"]]
    described = rows(client, "DESCRIBE main.bronze.outside")
    assert [row[:2] for row in described] == [["a", "string"], ["n", "bigint"]]


def test_row_limit_truncates_and_says_so(client):
    answer = run(client, "SELECT id FROM range(1000)", row_limit=10)
    assert (len(answer.result.data_array), answer.manifest.truncated) == (10, True)
    answer = run(client, "SELECT id FROM range(10)", row_limit=10)
    assert (len(answer.result.data_array), answer.manifest.truncated) == (10, False)
    answer = run(client, "SELECT id FROM range(100000)", byte_limit=8000)
    assert answer.manifest.truncated
    assert 0 < answer.manifest.total_row_count <= 1000


def test_arrow_links_in_several_chunks_without_a_token(client):
    answer = run(
        client,
        "SELECT id, cast(id AS decimal(18,2)) AS d, if(id % 3 = 0, null, 'x') AS s"
        " FROM range(300000)",
        disposition=Disposition.EXTERNAL_LINKS,
        format=Format.ARROW_STREAM,
    )
    assert answer.manifest.total_row_count == 300000
    assert answer.manifest.total_chunk_count == len(answer.manifest.chunks) >= 3
    tables = []
    links = answer.result.external_links
    while links:
        got = httpx.get(links[0].external_link)
        assert got.status_code == 200
        tables.append(pa.ipc.open_stream(got.content).read_all())
        assert tables[-1].num_rows == links[0].row_count
        following = links[0].next_chunk_index
        links = (
            following
            and client.statement_execution.get_statement_result_chunk_n(
                answer.statement_id, following
            ).external_links
        )
    whole = pa.concat_tables(tables)
    assert whole.schema.field("d").type == pa.decimal128(18, 2)
    assert sorted(whole.column("id").to_pylist()) == list(range(300000))
    assert whole.column("s").null_count == 100000
    link = answer.result.external_links[0].external_link
    assert httpx.get(link[:-1] + ("0" if link[-1] != "0" else "1")).status_code == 403
    assert httpx.get(link.replace("/0?", "/1?")).status_code == 403


def test_inline_results_in_several_chunks(client):
    answer = run(client, "SELECT id FROM range(250000)")
    got = [row[0] for row in answer.result.data_array]
    following = answer.result.next_chunk_index
    while following:
        chunk = client.statement_execution.get_statement_result_chunk_n(
            answer.statement_id, following
        )
        got += [row[0] for row in chunk.data_array]
        following = chunk.next_chunk_index
    assert len(got) == answer.manifest.total_row_count == 250000
    assert got[-1] == "249999"
    with pytest.raises(BadRequest):
        client.statement_execution.get_statement_result_chunk_n(answer.statement_id, 99)


def test_an_inline_result_over_the_limit_fails_with_advice(client):
    answer = run(client, "SELECT repeat('x', 1000) AS a, id FROM range(60000)")
    assert answer.status.state.value == "FAILED"
    assert "EXTERNAL_LINKS" in answer.status.error.message


def test_empty_results(client):
    answer = run(client, "SELECT 1 AS a WHERE false")
    assert (answer.result.row_count, answer.manifest.total_row_count) == (0, 0)
    assert answer.manifest.schema.columns[0].type_text == "INT"


@pytest.mark.parametrize("wait", ["4s", "51s", "10", "-1s", "abc"])
def test_wait_timeout_rules(client, wait):
    with pytest.raises(BadRequest, match="wait_timeout"):
        run(client, "SELECT 1", wait_timeout=wait)


def test_forms_that_the_contract_refuses(client):
    with pytest.raises(BadRequest, match="EXTERNAL_LINKS"):
        run(client, "SELECT 1", format=Format.ARROW_STREAM)
    with pytest.raises(BadRequest, match="EXTERNAL_LINKS"):
        run(client, "SELECT 1", format=Format.CSV)
    with pytest.raises(NotFound):
        client.statement_execution.get_statement("00000000-0000-0000-0000-000000000000")


def wait_state(client, statement_id, *states, seconds=10):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        state = client.statement_execution.get_statement(statement_id).status.state.value
        if state in states:
            return state
        time.sleep(0.1)
    raise AssertionError(f"still {state} after {seconds} s")


def test_cancel_of_a_long_statement_while_short_ones_run(client):
    started = [run(client, LONG, wait_timeout="0s") for _ in range(2)]
    assert all(answer.status.state.value in ("PENDING", "RUNNING") for answer in started)
    for answer in started:
        wait_state(client, answer.statement_id, "RUNNING")
    began = time.monotonic()
    assert rows(client, "SELECT 1") == [["1"]]
    assert time.monotonic() - began < 5
    for answer in started:
        client.statement_execution.cancel_execution(answer.statement_id)
    for answer in started:
        assert wait_state(client, answer.statement_id, "CANCELED") == "CANCELED"
    for answer in started:
        client.statement_execution.cancel_execution(answer.statement_id)  # no effect any more
    assert rows(client, "SELECT 2") == [["2"]]


@pytest.mark.parametrize("delay", [0, 0.005, 0.01, 0.02, 0.04, 0.08])
def test_a_cancel_is_not_lost_however_early_it_comes(client, delay):
    """It may come before, while, or after the engine is told of the statement."""
    answer = run(client, LONG, wait_timeout="0s")
    time.sleep(delay)
    client.statement_execution.cancel_execution(answer.statement_id)
    assert wait_state(client, answer.statement_id, "CANCELED") == "CANCELED"


def test_on_wait_timeout_cancel(client):
    answer = run(
        client, LONG, wait_timeout="5s",
        on_wait_timeout=ExecuteStatementRequestOnWaitTimeout.CANCEL,
    )  # fmt: skip
    assert answer.status.state.value == "CANCELED"


def test_a_finished_wait_returns_the_result_later(client):
    answer = run(client, "SELECT count(*) FROM range(1000)", wait_timeout="0s")
    wait_state(client, answer.statement_id, "SUCCEEDED")
    later = client.statement_execution.get_statement(answer.statement_id)
    assert later.result.data_array == [["1000"]]


def test_concurrent_writers_all_land(client):
    rows(client, "CREATE TABLE main.silver.counter AS SELECT 1 AS id, 0 AS n")

    def add(_):
        answer = run(workspace_client, "UPDATE main.silver.counter SET n = n + 1 WHERE id = 1")
        return answer.status.state.value

    workspace_client = client
    with ThreadPoolExecutor(4) as pool:
        states = list(pool.map(add, range(8)))
    assert states == ["SUCCEEDED"] * 8
    assert rows(client, "SELECT n FROM main.silver.counter") == [["8"]]
    rows(client, "DROP TABLE main.silver.counter")


def engine_pid(workspace) -> int:
    listed = subprocess.run(
        ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(workspace.process.pid)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = [line for line in listed.stdout.splitlines() if "spark server" in line]
    assert len(found) == 1, listed.stdout
    return int(found[0].split()[0])


def test_a_killed_engine_comes_back_and_nothing_is_lost(client, workspace):
    rows(client, "CREATE TABLE main.silver.kept2 AS SELECT 1 AS id")
    waiting = run(client, LONG, wait_timeout="0s")
    wait_state(client, waiting.statement_id, "RUNNING")
    before = engine_pid(workspace)
    threading.Timer(0.2, os.kill, (before, signal.SIGKILL)).start()
    assert wait_state(client, waiting.statement_id, "FAILED", "SUCCEEDED") == "FAILED"
    told = client.statement_execution.get_statement(waiting.statement_id).status.error
    assert told.error_code.value == "TEMPORARILY_UNAVAILABLE"
    assert rows(client, "SELECT id FROM main.silver.kept2") == [["1"]]
    assert engine_pid(workspace) != before
    rows(client, "DROP TABLE main.silver.kept2")
