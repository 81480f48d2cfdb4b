"""Statement Execution through the unmodified SDK, on the real engine."""

from __future__ import annotations

import deltalake
import pyarrow as pa
import pytest
from databricks.sdk.errors import BadRequest, NotFound
from databricks.sdk.service.sql import Format
from sql_steps import failure, rows, run


@pytest.fixture(scope="module")
def client(workspace):
    return workspace.sdk()


def test_quotes_in_literals(client):
    sql = """SELECT 'o''neil' AS a, "o'neil" AS b, 'it\\'s' AS c, 'a''''b' AS d"""
    assert rows(client, sql) == [["o'neil", "o'neil", "it's", "a''b"]]


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


def test_integers_that_overflow_wrap(client):
    """A known limit of the engine, which checks casts only. Sum what may be large as decimals."""
    assert rows(client, "SELECT 2147483647 + 1") == [["-2147483648"]]
    large = "(SELECT 9223372036854775807 AS n UNION ALL SELECT 1)"
    assert rows(client, f"SELECT sum(n) FROM {large}") == [["-9223372036854775808"]]
    exact = "sum(cast(n AS DECIMAL(38,0)))"
    assert rows(client, f"SELECT {exact} FROM {large}") == [["9223372036854775808"]]
