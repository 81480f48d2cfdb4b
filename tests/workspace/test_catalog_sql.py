"""SHOW, DESCRIBE, CREATE, DROP, USE, SET and information_schema through the unmodified SDK."""

from __future__ import annotations

import shutil
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import deltalake
import pyarrow as pa
import pytest
from sql_steps import columns, failure, message, records, rows, run

DRIVER_TABLES = ["namespace", "tableName", "isTemporary", "information", "catalogName",
                 "tableType", "remarks"]  # fmt: skip
DRIVER_COLUMNS = [
    "col_name", "catalogName", "namespace", "tableName", "columnType", "columnSize",
    "decimalDigits", "radix", "isNullable", "remarks", "ordinalPosition", "isAutoIncrement",
    "isGenerated",
]  # fmt: skip


@pytest.fixture(scope="module")
def client(workspace):
    return workspace.sdk()


@pytest.fixture
def schema(client):
    """A schema of its own, by its name in the catalog main."""
    name = f"s{uuid.uuid4().hex[:10]}"
    rows(client, f"CREATE SCHEMA main.{name} COMMENT 'of a test'")
    yield name
    rows(client, f"DROP SCHEMA IF EXISTS main.{name} CASCADE")


@pytest.fixture
def bills(client, schema):
    """A table with a comment, a key that is never null and a partition."""
    name = f"main.{schema}.bills"
    rows(
        client,
        f"CREATE TABLE {name} (id BIGINT NOT NULL COMMENT 'the key', amount DECIMAL(18,2),"
        " day DATE, `odd name` STRING) USING delta PARTITIONED BY (day)"
        " COMMENT 'what vendors''s ask' TBLPROPERTIES ('team' = 'finance')",
    )
    return name


def test_every_form_of_a_schema_s_list(client, schema):
    for form in ("SHOW SCHEMAS", "SHOW DATABASES IN main", "SHOW SCHEMAS FROM `main`"):
        assert [schema] in rows(client, form)
    assert columns(client, "SHOW SCHEMAS IN main") == ["databaseName"]
    assert rows(client, f"SHOW SCHEMAS IN main LIKE '{schema[:4]}*|nothing'") == [[schema]]
    assert rows(client, f"SHOW SCHEMAS LIKE '{schema.upper()}'") == [[schema]]
    everywhere = records(client, "SHOW SCHEMAS IN ALL CATALOGS")
    assert {"databaseName": schema, "catalog": "main"} in everywhere
    assert {"databaseName": "information_schema", "catalog": "system"} in everywhere


def test_tables_as_a_person_asks(client, schema, bills):
    for form in (f"SHOW TABLES IN main.{schema}", f"SHOW TABLES FROM {schema} LIKE 'b*s'"):
        assert records(client, form) == [
            {"database": schema, "tableName": "bills", "isTemporary": "false"}
        ]
    assert rows(client, "SHOW TABLES", catalog="main", schema=schema)[0][1] == "bills"
    assert rows(client, "SHOW TABLES 'nothing'", catalog="main", schema=schema) == []


def test_tables_as_drivers_ask(client, schema, bills):
    form = f"SHOW TABLES IN CATALOG `main` SCHEMA LIKE '{schema}' LIKE 'bill.'"
    assert columns(client, form) == DRIVER_TABLES
    assert rows(client, form) == [
        [schema, "bills", "false", "", "main", "TABLE", "what vendors's ask"]
    ]
    everywhere = records(client, f"SHOW TABLES IN ALL CATALOGS SCHEMA LIKE '{schema}'")
    assert [row["tableName"] for row in everywhere] == ["bills"]
    views = records(client, "SHOW TABLES IN CATALOG main SCHEMA LIKE 'information_schema'")
    assert {row["tableType"] for row in views} == {"VIEW"}
    assert failure(client, "SHOW TABLES IN CATALOG nowhere") == (
        "NO_SUCH_CATALOG_EXCEPTION", "42704"
    )  # fmt: skip


def test_columns_as_drivers_ask(client, schema, bills):
    form = f"SHOW COLUMNS IN CATALOG `main` SCHEMA LIKE '{schema}' TABLE LIKE 'bills'"
    assert columns(client, form) == DRIVER_COLUMNS
    found = records(client, form)
    assert [row["col_name"] for row in found] == ["id", "amount", "day", "odd name"]
    assert [row["columnType"] for row in found] == ["BIGINT", "DECIMAL(18,2)", "DATE", "STRING"]
    assert [row["isNullable"] for row in found] == ["false", "true", "true", "true"]
    assert [row["ordinalPosition"] for row in found] == ["0", "1", "2", "3"]
    assert (found[1]["columnSize"], found[1]["decimalDigits"]) == ("18", "2")
    assert found[0]["remarks"] == "the key"
    assert [row["col_name"] for row in records(client, form + " LIKE 'a*'")] == ["amount"]
    plain = [["id"], ["amount"], ["day"], ["odd name"]]
    assert rows(client, f"SHOW COLUMNS IN {bills}") == plain
    assert rows(client, f"SHOW COLUMNS IN bills IN {schema}") == plain


def test_views_are_those_of_information_schema(client, schema, bills):
    assert rows(client, f"SHOW VIEWS FROM `main`.`{schema}`") == []
    names = ["namespace", "viewName", "isTemporary", "isMaterialized"]
    assert columns(client, f"SHOW VIEWS IN main.{schema}") == names
    found = [row[1] for row in rows(client, "SHOW VIEWS IN main.information_schema")]
    assert {"tables", "columns", "schemata"} <= set(found)


def test_describe_and_describe_extended(client, schema, bills):
    plain = rows(client, f"DESCRIBE TABLE {bills}")
    assert plain[:4] == [
        ["id", "bigint", "the key"], ["amount", "decimal(18,2)", None], ["day", "date", None],
        ["odd name", "string", None],
    ]  # fmt: skip
    assert plain[4:] == [
        ["# Partition Information", "", ""], ["# col_name", "data_type", "comment"],
        ["day", "date", None],
    ]  # fmt: skip
    assert rows(client, f"DESC {bills}") == plain
    extended = rows(client, f"DESCRIBE TABLE EXTENDED {bills}")
    assert extended[: len(plain)] == plain
    facts = {row[0]: row[1] for row in extended[len(plain) :]}
    assert (facts["Catalog"], facts["Database"], facts["Table"]) == ("main", schema, "bills")
    assert (facts["Type"], facts["Provider"]) == ("MANAGED", "delta")
    assert facts["Comment"] == "what vendors's ask"
    assert facts["Table Properties"] == "[team=finance]"
    assert all(row[1] is not None for row in extended)


def test_create_text_makes_the_same_table(client, schema, bills):
    text = rows(client, f"SHOW CREATE TABLE {bills}")[0][0]
    rows(client, text.replace(".bills ", ".copy "))
    for what in ("DESCRIBE TABLE", "SHOW TBLPROPERTIES"):
        assert rows(client, f"{what} main.{schema}.copy") == rows(client, f"{what} {bills}")
    assert rows(client, f"SHOW CREATE TABLE main.{schema}.copy")[0][0] == text.replace(
        ".bills ", ".copy "
    )


def test_properties(client, bills):
    assert rows(client, f"SHOW TBLPROPERTIES {bills}") == [["team", "finance"]]
    assert rows(client, f"SHOW TBLPROPERTIES {bills} ('team')") == [["team", "finance"]]
    assert "does not have" in rows(client, f"SHOW TBLPROPERTIES {bills} (nothing)")[0][1]
    rows(client, f"ALTER TABLE {bills} SET TBLPROPERTIES ('team' = 'audit')")
    assert rows(client, f"SHOW TBLPROPERTIES {bills} (team)") == [["team", "audit"]]


@pytest.mark.parametrize(
    ("sql", "error_class", "state"),
    [
        ("SHOW TABLES IN main.nowhere", "SCHEMA_NOT_FOUND", "42704"),
        ("SHOW SCHEMAS IN nowhere", "NO_SUCH_CATALOG_EXCEPTION", "42704"),
        ("SHOW COLUMNS IN main.gold.missing", "TABLE_OR_VIEW_NOT_FOUND", "42P01"),
        ("SHOW CREATE TABLE main.gold.missing", "TABLE_OR_VIEW_NOT_FOUND", "42P01"),
        ("DESCRIBE TABLE EXTENDED main.nowhere.t", "TABLE_OR_VIEW_NOT_FOUND", "42P01"),
        ("DESCRIBE HISTORY main.gold.missing", "TABLE_OR_VIEW_NOT_FOUND", "42P01"),
        ("CREATE TABLE main.nowhere.t (a INT)", "SCHEMA_NOT_FOUND", "42704"),
        ("CREATE TABLE nowhere.gold.t (a INT)", "NO_SUCH_CATALOG_EXCEPTION", "42704"),
        ("CREATE TABLE system.own.t (a INT)", "INSUFFICIENT_PERMISSIONS", "42501"),
        ("CREATE SCHEMA main.information_schema", "INSUFFICIENT_PERMISSIONS", "42501"),
        ("DELETE FROM main.information_schema.tables", "INSUFFICIENT_PERMISSIONS", "42501"),
        ("DROP SCHEMA main.nowhere", "SCHEMA_NOT_FOUND", "42704"),
        ("DROP TABLE main.nowhere.t", "TABLE_OR_VIEW_NOT_FOUND", "42P01"),
        ("USE CATALOG nowhere", "NO_SUCH_CATALOG_EXCEPTION", "42704"),
        ("USE main.nowhere", "SCHEMA_NOT_FOUND", "42704"),
        ("SET no_such_setting = 1", "CONFIG_NOT_AVAILABLE", "42K0I"),
        ("SHOW TABLES IN a.b.c", "IDENTIFIER_TOO_MANY_NAME_PARTS", "42601"),
        ("SHOW TABLES IN main.gold LIKE", "PARSE_SYNTAX_ERROR", "42601"),
        ("SHOW SCHEMAS IN main SIDEWAYS", "PARSE_SYNTAX_ERROR", "42601"),
        ("DESCRIBE TABLE", "PARSE_SYNTAX_ERROR", "42601"),
        ("CREATE SCHEMA main.x LOCATION '/tmp/x'", "UNSUPPORTED_FEATURE", "0A000"),
        ("SHOW GRANTS ON TABLE main.gold.x", "UNSUPPORTED_FEATURE", "0A000"),
        ("DESCRIBE SCHEMA main.gold", "UNSUPPORTED_FEATURE", "0A000"),
        ("DROP VIEW main.gold.v", "UNSUPPORTED_FEATURE", "0A000"),
    ],
)
def test_errors_have_class_and_sqlstate(client, sql, error_class, state):
    assert failure(client, sql) == (error_class, state)


def test_if_exists_and_if_not_exists(client, schema):
    rows(client, f"CREATE SCHEMA IF NOT EXISTS main.{schema} COMMENT 'other'")
    assert client.schemas.get(f"main.{schema}").comment == "of a test"
    rows(client, "DROP SCHEMA IF EXISTS main.nowhere")
    rows(client, "DROP TABLE IF EXISTS main.nowhere.t")
    rows(client, f"DROP TABLE IF EXISTS main.{schema}.t")


def test_names_in_any_letter_case(client, schema, bills):
    rows(client, f"INSERT INTO MAIN.{schema.upper()}.BILLS VALUES (1, 2.5, null, 'x')")
    assert rows(client, f"SELECT ID FROM Main.`{schema.upper()}`.Bills WHERE ID = 1") == [["1"]]
    asked = {"catalog": "MAIN", "schema": schema.upper()}
    assert rows(client, "SELECT count(*) FROM Bills b JOIN BILLS c ON b.id = c.id", **asked) == [
        ["1"]
    ]
    with_common = "WITH Bills AS (SELECT 7 AS id) SELECT id FROM Bills"
    assert rows(client, with_common, **asked) == [["7"]]


def test_the_schema_named_default(client, workspace):
    rows(client, "CREATE TABLE unplaced AS SELECT 1 AS a")
    assert (workspace.data / "tables" / "main" / "default" / "unplaced").is_dir()
    assert rows(client, "SELECT a FROM main.default.unplaced") == [["1"]]
    rows(client, "DROP TABLE unplaced")


def test_a_setting_is_checked_and_shown(client):
    assert rows(client, "SET timezone = 'Asia/Manila'") == [["timezone", "Asia/Manila"]]
    assert rows(client, "SET timezone") == [["timezone", "UTC"]]  # alone, a statement keeps nothing
    assert ["ANSI_MODE", "true"] in rows(client, "SET")
    rows(client, "RESET timezone")
    assert failure(client, "SET timezone = 'Mars/Base'")[0] == "INVALID_CONF_VALUE"


def test_information_schema_of_a_catalog(client, schema, bills):
    asked = f"WHERE table_schema = '{schema}'"
    found = records(client, f"SELECT * FROM main.information_schema.tables {asked}")
    assert [row["table_name"] for row in found] == ["bills"]
    assert (found[0]["table_type"], found[0]["data_source_format"]) == ("MANAGED", "DELTA")
    assert found[0]["comment"] == "what vendors's ask"
    assert found[0]["created"] and found[0]["last_altered"]
    described = records(
        client,
        f"SELECT * FROM main.information_schema.columns {asked} ORDER BY ordinal_position",
    )
    assert [row["column_name"] for row in described] == ["id", "amount", "day", "odd name"]
    assert [row["is_nullable"] for row in described] == ["NO", "YES", "YES", "YES"]
    assert [row["full_data_type"] for row in described] == [
        "bigint", "decimal(18,2)", "date", "string"
    ]  # fmt: skip
    assert (described[1]["numeric_precision"], described[1]["numeric_scale"]) == ("18", "2")
    assert (described[2]["partition_index"], described[0]["comment"]) == ("1", "the key")
    schemata = "SELECT comment FROM information_schema.schemata WHERE schema_name = :s"
    assert rows(client, schemata, ("s", schema, "STRING"), catalog="main") == [["of a test"]]


def test_information_schema_joined_aliased_and_in_capitals(client, schema, bills):
    joined = (
        "SELECT t.table_name, count(*) AS n FROM SYSTEM.INFORMATION_SCHEMA.TABLES t"
        " JOIN system.information_schema.columns c ON t.table_catalog = c.table_catalog"
        " AND t.table_schema = c.table_schema AND t.table_name = c.table_name"
        f" WHERE t.table_catalog = 'main' AND t.table_schema = '{schema}' GROUP BY 1"
    )
    assert rows(client, joined) == [["bills", "4"]]
    qualified = (
        "SELECT tables.table_name FROM main.information_schema.tables"
        f" WHERE tables.table_schema = '{schema}'"
    )
    assert rows(client, qualified) == [["bills"]]
    inside = f"SELECT count(*) FROM columns WHERE table_schema = '{schema}'"
    assert rows(client, inside, catalog="main", schema="information_schema") == [["4"]]
    kept = (
        f"CREATE TABLE main.{schema}.seen AS SELECT table_name FROM main.information_schema.tables"
    )
    rows(client, kept + f" WHERE table_schema = '{schema}'")
    assert rows(client, f"SELECT * FROM main.{schema}.seen") == [["bills"]]
    others = "SELECT count(*) FROM main.information_schema.tables WHERE table_catalog <> 'main'"
    assert rows(client, others) == [["0"]]


def test_information_schema_is_never_behind_a_finished_statement(client, schema):
    """Eight writers at once: each finds its own table at once, and never one that it dropped."""
    asked = "SELECT count(*) FROM main.information_schema.columns WHERE table_schema = '{}' AND"

    def turn(number: int) -> list[str]:
        name = f"t{number}"
        seen = []
        rows(client, f"CREATE TABLE main.{schema}.{name} (a INT, b INT) USING delta")
        seen += rows(client, asked.format(schema) + f" table_name = '{name}'")[0]
        rows(client, f"ALTER TABLE main.{schema}.{name} ADD COLUMNS (c INT)")
        seen += rows(client, asked.format(schema) + f" table_name = '{name}'")[0]
        rows(client, f"DROP TABLE main.{schema}.{name}")
        seen += rows(client, asked.format(schema) + f" table_name = '{name}'")[0]
        return seen

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(turn, range(8))) == [["2", "3", "0"]] * 8


def test_tables_and_columns_are_of_one_moment(client, schema):
    """While tables come and go, no statement sees columns of a table that it does not see."""
    stop = threading.Event()

    def churn() -> None:
        for number in range(100):
            if stop.is_set():
                return
            rows(client, f"CREATE TABLE main.{schema}.c{number % 3} (a INT) USING delta")
            rows(client, f"DROP TABLE main.{schema}.c{number % 3}")

    asked = (
        "SELECT count(*) FROM main.information_schema.columns c LEFT ANTI JOIN"
        " main.information_schema.tables t ON c.table_schema = t.table_schema"
        " AND c.table_name = t.table_name"
    )
    with ThreadPoolExecutor(1) as pool:
        churning = pool.submit(churn)
        try:
            assert [rows(client, asked) for _ in range(10)] == [[["0"]]] * 10
        finally:
            stop.set()
            churning.result()


def test_a_half_made_table_is_not_there(client, schema, workspace):
    """What a CREATE that was killed leaves behind: a log without a commit, files without a log."""
    folder = workspace.data / "tables" / "main" / schema / "half"
    (folder / "_delta_log").mkdir(parents=True)
    (folder / "_delta_log" / "00000000000000000000.json.tmp").write_text("{}")
    (folder / "part-0.parquet").write_bytes(b"not a file")
    assert rows(client, f"SHOW TABLES IN main.{schema}") == []
    assert failure(client, f"SELECT * FROM main.{schema}.half")[0] == "TABLE_OR_VIEW_NOT_FOUND"
    named = f"SELECT count(*) FROM main.information_schema.tables WHERE table_schema = '{schema}'"
    assert rows(client, named) == [["0"]]
    rows(client, f"CREATE TABLE main.{schema}.half AS SELECT 5 AS a")
    assert rows(client, f"SELECT a FROM main.{schema}.half") == [["5"]]


def test_a_table_dropped_and_made_anew_shows_its_new_columns(client, schema, workspace):
    name = f"main.{schema}.again"
    rows(client, f"CREATE TABLE {name} (a INT) USING delta")
    assert rows(client, f"DESCRIBE {name}") == [["a", "int", None]]
    rows(client, f"DROP TABLE {name}")
    rows(client, f"CREATE TABLE {name} (b STRING) USING delta")
    assert rows(client, f"DESCRIBE {name}") == [["b", "string", None]]
    folder = workspace.data / "tables" / "main" / schema / "again"
    shutil.rmtree(folder)
    deltalake.write_deltalake(str(folder), pa.table({"c": [1.5]}))
    assert rows(client, f"DESCRIBE {name}") == [["c", "double", None]]


def test_a_refusal_names_what_is_not_computed(client):
    assert "SHOW GRANTS" in message(client, "SHOW GRANTS ON TABLE main.gold.x")
    assert run(client, "SHOW CATALOGS").manifest.total_row_count >= 2
