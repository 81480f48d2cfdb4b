"""Catalogs, schemas, tables and volumes as the SDK lists, reads, makes and deletes them."""

from __future__ import annotations

import io
import json
import uuid

import pytest
from connectors import table
from databricks.sdk.errors import BadRequest, NotFound, PermissionDenied
from databricks.sdk.service.catalog import (
    ColumnTypeName,
    DataSourceFormat,
    TableType,
    VolumeType,
)

COLUMNS = (
    "id BIGINT NOT NULL COMMENT 'key', amount DECIMAL(18,2), tags ARRAY<STRING>,"
    " place STRUCT<city: STRING, zip: INT>, at TIMESTAMP"
)


@pytest.fixture(scope="module")
def client(target):
    return target.sdk()


@pytest.fixture(scope="module")
def example(target):
    """A table of its own, by its full name."""
    with table(target, COLUMNS) as name:
        yield name


@pytest.fixture
def schema(target, client):
    """A schema of its own that is removed with all that is in it."""
    name = f"clients_{uuid.uuid4().hex[:12]}"
    made = client.schemas.create(name, target.catalog, comment="made by a test",
                                 properties={"team": "finance"})  # fmt: skip
    yield made
    try:
        client.schemas.delete(made.full_name, force=True)
    except NotFound:
        pass


def test_the_metastore_of_the_workspace(client):
    assigned = client.metastores.current()
    assert assigned.metastore_id
    assert assigned.workspace_id == client.get_workspace_id()


def test_catalogs(target, client):
    listed = {catalog.name: catalog for catalog in client.catalogs.list()}
    assert target.catalog in listed
    got = client.catalogs.get(target.catalog)
    assert (got.name, got.full_name) == (target.catalog, target.catalog)
    assert got.owner and got.created_at and got.metastore_id
    assert got.metastore_id == listed[target.catalog].metastore_id


def test_a_catalog_that_does_not_exist(client):
    with pytest.raises(NotFound, match="does not exist") as raised:
        client.catalogs.get("no_such_catalog")
    assert raised.value.error_code == "CATALOG_DOES_NOT_EXIST"
    with pytest.raises(NotFound):
        list(client.schemas.list("no_such_catalog"))


def test_schemas(target, client, schema):
    names = {found.name for found in client.schemas.list(target.catalog)}
    assert {schema.name, target.schema, "information_schema"} <= names
    got = client.schemas.get(schema.full_name)
    assert (got.comment, got.properties) == ("made by a test", {"team": "finance"})
    assert (got.catalog_name, got.full_name) == (target.catalog, schema.full_name)
    assert got.created_at == schema.created_at and got.schema_id == schema.schema_id
    assert got.owner == got.created_by == client.current_user.me().user_name


def test_a_schema_is_made_once_and_its_name_is_lower_case(target, client, schema):
    with pytest.raises(BadRequest, match="already exists"):
        client.schemas.create(schema.name, target.catalog)
    assert client.schemas.get(schema.full_name.upper()).name == schema.name


def test_a_schema_with_something_in_it_is_deleted_only_by_force(target, client, schema):
    statement = f"CREATE TABLE {schema.full_name}.t (a INT) USING DELTA"
    client.statement_execution.execute_statement(statement, target.warehouse_id)
    with pytest.raises(BadRequest):
        client.schemas.delete(schema.full_name)
    assert client.tables.exists(f"{schema.full_name}.t").table_exists
    client.schemas.delete(schema.full_name, force=True)
    with pytest.raises(NotFound) as raised:
        client.schemas.get(schema.full_name)
    assert raised.value.error_code == "SCHEMA_DOES_NOT_EXIST"
    assert not client.tables.exists(f"{schema.full_name}.t").table_exists


def test_a_table_and_its_columns(client, example):
    got = client.tables.get(example)
    assert got.full_name == example
    assert (got.table_type, got.data_source_format) == (TableType.MANAGED, DataSourceFormat.DELTA)
    assert got.owner and got.table_id and got.created_at and got.storage_location
    columns = [(c.name, c.type_name, c.type_text, c.position, c.nullable) for c in got.columns]
    kinds = ColumnTypeName
    assert columns == [
        ("id", kinds.LONG, "bigint", 0, False),
        ("amount", kinds.DECIMAL, "decimal(18,2)", 1, True),
        ("tags", kinds.ARRAY, "array<string>", 2, True),
        ("place", kinds.STRUCT, "struct<city:string,zip:int>", 3, True),
        ("at", kinds.TIMESTAMP, "timestamp", 4, True),
    ]
    assert got.columns[0].comment == "key"
    assert (got.columns[1].type_precision, got.columns[1].type_scale) == (18, 2)
    assert json.loads(got.columns[0].type_json)["name"] == "id"


def test_tables_of_a_schema(target, client, example):
    place = (target.catalog, target.schema)
    listed = {found.full_name: found for found in client.tables.list(*place)}
    assert [column.name for column in listed[example].columns][:2] == ["id", "amount"]
    short = {found.full_name: found for found in client.tables.list(*place, omit_columns=True)}
    assert example in short and not short[example].columns
    assert [found.name for found in client.tables.list(target.catalog, "information_schema")]


def test_a_list_in_pages_is_the_whole_list(target, client, schema):
    for name in ("a", "b", "c"):
        statement = f"CREATE TABLE {schema.full_name}.{name} (a INT) USING DELTA"
        client.statement_execution.execute_statement(statement, target.warehouse_id)
    listed = client.tables.list(target.catalog, schema.name, max_results=2)
    assert [found.name for found in listed] == ["a", "b", "c"]


def test_table_summaries_by_pattern(target, client, example):
    name = example.rpartition(".")[2]
    found = list(
        client.tables.list_summaries(
            target.catalog, schema_name_pattern=target.schema, table_name_pattern=name[:-1] + "%"
        )
    )
    assert example in [summary.full_name for summary in found]
    nothing = client.tables.list_summaries(target.catalog, table_name_pattern="no_such_table%")
    assert list(nothing) == []


def test_a_table_is_deleted(target, client, schema):
    name = f"{schema.full_name}.gone"
    client.statement_execution.execute_statement(
        f"CREATE TABLE {name} (a INT) USING DELTA", target.warehouse_id
    )
    client.tables.delete(name)
    for call in (client.tables.get, client.tables.delete):
        with pytest.raises(NotFound) as raised:
            call(name)
        assert raised.value.error_code == "TABLE_DOES_NOT_EXIST"


def test_volumes(target, client, schema):
    made = client.volumes.create(target.catalog, schema.name, "inbox", VolumeType.MANAGED,
                                 comment="files")  # fmt: skip
    assert made.full_name == f"{schema.full_name}.inbox"
    path = f"/Volumes/{target.catalog}/{schema.name}/inbox/a.txt"
    client.files.upload(path, io.BytesIO(b"one"))
    assert client.files.download(path).contents.read() == b"one"
    got = client.volumes.read(made.full_name)
    assert (got.volume_id, got.comment, got.volume_type) == (
        made.volume_id, "files", VolumeType.MANAGED
    )  # fmt: skip
    assert [found.name for found in client.volumes.list(target.catalog, schema.name)] == ["inbox"]
    with pytest.raises(BadRequest, match="already exists"):
        client.volumes.create(target.catalog, schema.name, "inbox", VolumeType.MANAGED)
    client.volumes.delete(made.full_name)
    with pytest.raises(NotFound):
        client.volumes.read(made.full_name)
    with pytest.raises(NotFound):
        client.files.download(path)


def test_what_the_workspace_keeps_is_not_changed(target, client):
    with pytest.raises((PermissionDenied, BadRequest)):
        client.schemas.delete(f"{target.catalog}.information_schema")
