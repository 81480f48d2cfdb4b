"""Catalogs, schemas, tables and columns in the result shapes of TCLIService."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
from databricks.sql.thrift_api.TCLIService import ttypes

from ...engine.table_info import Column, TableInfo
from ...engine.table_types import type_facts
from ...unity.information_schema import InformationSchema
from ...unity.objects import Objects
from ..catalog_statements.patterns import sql_like

_TEXT, _INT = pa.string(), pa.int32()

CATALOGS = pa.schema({"TABLE_CAT": _TEXT})
SCHEMAS = pa.schema({"TABLE_SCHEM": _TEXT, "TABLE_CATALOG": _TEXT})
TABLES = pa.schema(
    {
        "TABLE_CAT": _TEXT, "TABLE_SCHEM": _TEXT, "TABLE_NAME": _TEXT, "TABLE_TYPE": _TEXT,
        "REMARKS": _TEXT, "TYPE_CAT": _TEXT, "TYPE_SCHEM": _TEXT, "TYPE_NAME": _TEXT,
        "SELF_REFERENCING_COL_NAME": _TEXT, "REF_GENERATION": _TEXT,
    }
)  # fmt: skip
COLUMNS = pa.schema(
    {
        "TABLE_CAT": _TEXT, "TABLE_SCHEM": _TEXT, "TABLE_NAME": _TEXT, "COLUMN_NAME": _TEXT,
        "DATA_TYPE": _INT, "TYPE_NAME": _TEXT, "COLUMN_SIZE": _INT, "BUFFER_LENGTH": pa.int8(),
        "DECIMAL_DIGITS": _INT, "NUM_PREC_RADIX": _INT, "NULLABLE": _INT, "REMARKS": _TEXT,
        "COLUMN_DEF": _TEXT, "SQL_DATA_TYPE": _INT, "SQL_DATETIME_SUB": _INT,
        "CHAR_OCTET_LENGTH": _INT, "ORDINAL_POSITION": _INT, "IS_NULLABLE": _TEXT,
        "SCOPE_CATALOG": _TEXT, "SCOPE_SCHEMA": _TEXT, "SCOPE_TABLE": _TEXT,
        "SOURCE_DATA_TYPE": pa.int16(), "IS_AUTO_INCREMENT": _TEXT,
    }
)  # fmt: skip

_KINDS = {"MANAGED": "TABLE", "VIEW": "VIEW"}


class Metadata:
    """What there is, by name patterns: ``%`` is any text, ``_`` any letter, None everything."""

    def __init__(self, objects: Objects, information_schema: InformationSchema) -> None:
        self._objects = objects
        self._information_schema = information_schema

    def catalogs(self) -> pa.Table:
        return _table(CATALOGS, [{"TABLE_CAT": name} for name in self._objects.catalogs()])

    def schemas(self, request: ttypes.TGetSchemasReq) -> pa.Table:
        of_catalog, of_schema = sql_like(request.catalogName), sql_like(request.schemaName)
        rows = [
            {"TABLE_SCHEM": schema, "TABLE_CATALOG": catalog}
            for catalog in self._objects.catalogs()
            if of_catalog(catalog)
            for schema in self._objects.schemas(catalog)
            if of_schema(schema)
        ]
        return _table(SCHEMAS, rows)

    def tables(self, request: ttypes.TGetTablesReq) -> pa.Table:
        kinds = {kind.upper() for kind in request.tableTypes or _KINDS.values()}
        rows = [
            _place(table) | {"TABLE_TYPE": _KINDS[table.kind], "REMARKS": table.comment or ""}
            for table in self._tables(request)
            if _KINDS[table.kind] in kinds
        ]
        return _table(TABLES, rows)

    def columns(self, request: ttypes.TGetColumnsReq) -> pa.Table:
        matches = sql_like(request.columnName)
        rows = [
            _place(table) | _column(column)
            for table in self._tables(request)
            for column in table.columns
            if matches(column.name)
        ]
        return _table(COLUMNS, rows)

    def _tables(self, request: ttypes.TGetTablesReq | ttypes.TGetColumnsReq) -> Iterator[TableInfo]:
        tests = [
            sql_like(name) for name in (request.catalogName, request.schemaName, request.tableName)
        ]
        for table in self._information_schema.all_tables():
            if all(test(name) for test, name in zip(tests, table.key, strict=True)):
                yield table


def _place(table: TableInfo) -> dict:
    return {"TABLE_CAT": table.catalog, "TABLE_SCHEM": table.schema, "TABLE_NAME": table.name}


def _column(column: Column) -> dict:
    facts = type_facts(column.type_text)
    return {
        "COLUMN_NAME": column.name, "DATA_TYPE": facts.code,
        "TYPE_NAME": column.type_text.upper(), "COLUMN_SIZE": facts.size,
        "DECIMAL_DIGITS": facts.digits, "NUM_PREC_RADIX": facts.radix,
        "NULLABLE": int(column.nullable), "REMARKS": column.comment or "",
        "COLUMN_DEF": column.default, "ORDINAL_POSITION": column.position,
        "IS_NULLABLE": "YES" if column.nullable else "NO", "IS_AUTO_INCREMENT": "NO",
    }  # fmt: skip


def _table(schema: pa.Schema, rows: list[dict]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=schema)
