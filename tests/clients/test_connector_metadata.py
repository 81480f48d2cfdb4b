"""Catalogs, schemas, tables and columns as the connector's cursors list them."""

from __future__ import annotations

import pytest
from connectors import BACKENDS, connect, table

# The sea backend hands on what SHOW answers, under SHOW's own names.
SEA_NAMES = {
    "TABLE_CAT": "catalog",
    "TABLE_SCHEM": "databaseName",
    "TABLE_NAME": "tableName",
    "COLUMN_NAME": "col_name",
}
COLUMNS = (
    "id BIGINT NOT NULL, amount DECIMAL(18,2), name STRING, day DATE, at TIMESTAMP, ok BOOLEAN,"
    " tags ARRAY<STRING>, part STRUCT<x:INT>"
)
TYPES = {
    "id": "BIGINT",
    "amount": "DECIMAL(18,2)",
    "name": "STRING",
    "day": "DATE",
    "at": "TIMESTAMP",
    "ok": "BOOLEAN",
    "tags": "ARRAY<STRING>",
    "part": "STRUCT<X:INT>",
}


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request):
    return request.param


@pytest.fixture
def cur(target, backend):
    with connect(target, backend) as connection, connection.cursor() as made:
        yield made


@pytest.fixture(scope="module")
def example(target):
    """A table with a name of its own: (catalog, schema, table)."""
    with table(target, COLUMNS) as name:
        yield name.split(".")


def values(cur, backend: str, column: str) -> list[str]:
    """One column of the answer, by its name in JDBC's terms."""
    label = SEA_NAMES[column] if backend == "sea" else column
    labels = [description[0] for description in cur.description]
    return [row[labels.index(label)] for row in cur.fetchall()]


def test_catalogs(target, cur, backend):
    cur.catalogs()
    assert target.catalog in values(cur, backend, "TABLE_CAT")


def test_schemas_of_a_catalog(target, cur, backend):
    cur.schemas(catalog_name=target.catalog)
    assert target.schema in values(cur, backend, "TABLE_SCHEM")


def test_schemas_by_pattern(target, cur, backend):
    cur.schemas(catalog_name=target.catalog, schema_name=target.schema[:2] + "%")
    found = values(cur, backend, "TABLE_SCHEM")
    assert target.schema in found
    assert all(name.startswith(target.schema[:2]) for name in found)


def test_a_table_by_its_name(cur, backend, example):
    catalog, schema, name = example
    cur.tables(catalog_name=catalog, schema_name=schema, table_name=name)
    assert values(cur, backend, "TABLE_NAME") == [name]


def test_tables_by_pattern(cur, backend, example):
    catalog, schema, name = example
    cur.tables(catalog_name=catalog, schema_name=schema, table_name="clients%")
    assert name in values(cur, backend, "TABLE_NAME")
    cur.tables(catalog_name=catalog, schema_name=schema, table_name="no_such_table%")
    assert values(cur, backend, "TABLE_NAME") == []


def test_tables_of_a_kind(cur, backend, example):
    catalog, schema, name = example
    for kind, expected in (("TABLE", [name]), ("VIEW", [])):
        cur.tables(catalog_name=catalog, schema_name=schema, table_name=name, table_types=[kind])
        assert values(cur, backend, "TABLE_NAME") == expected


def test_tables_of_every_catalog(cur, backend, example):
    cur.tables(schema_name=example[1], table_name=example[2])
    assert values(cur, backend, "TABLE_NAME") == [example[2]]


def test_columns_in_their_order(cur, backend, example):
    catalog, schema, name = example
    cur.columns(catalog_name=catalog, schema_name=schema, table_name=name)
    assert values(cur, backend, "COLUMN_NAME") == list(TYPES)


def test_columns_have_types_and_say_what_may_be_null(cur, backend, example):
    if backend == "sea":
        pytest.skip("the sea backend does not shape SHOW COLUMNS")
    catalog, schema, name = example
    rows = cur.columns(catalog_name=catalog, schema_name=schema, table_name=name).fetchall()
    assert {row.COLUMN_NAME: row.TYPE_NAME.upper() for row in rows} == TYPES
    assert {row.COLUMN_NAME for row in rows if not row.NULLABLE} <= {"id"}
    amount = next(row for row in rows if row.COLUMN_NAME == "amount")
    assert (amount.COLUMN_SIZE, amount.DECIMAL_DIGITS) == (18, 2)


def test_columns_by_pattern(cur, backend, example):
    catalog, schema, name = example
    cur.columns(catalog_name=catalog, schema_name=schema, table_name=name, column_name="am%")
    assert values(cur, backend, "COLUMN_NAME") == ["amount"]


def test_columns_of_a_table_that_does_not_exist(target, cur, backend):
    cur.columns(catalog_name=target.catalog, schema_name=target.schema, table_name="no_such_table")
    assert cur.fetchall() == []


def test_an_underscore_stands_for_one_letter(cur, backend, example):
    """In SHOW's patterns it does not: there, the clients' patterns are texts with * and |."""
    if backend == "sea":
        pytest.skip("the sea backend hands the pattern to SHOW as it is")
    catalog, schema, name = example
    cur.tables(catalog_name=catalog, schema_name=schema, table_name=name[:-1] + "_")
    assert values(cur, backend, "TABLE_NAME") == [name]
