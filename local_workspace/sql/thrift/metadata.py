"""Catalogs, schemas, tables and columns in the result shapes of TCLIService."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pyarrow as pa
from databricks.sql.thrift_api.TCLIService import ttypes

from ...engine.catalog import Catalog
from ...engine.interface import Engine

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

# java.sql.Types, size, decimal digits and radix by Spark type; a decimal brings its own size.
_KINDS = {
    "boolean": (16, 1, None, None), "tinyint": (-6, 1, 0, 10), "smallint": (5, 2, 0, 10),
    "int": (4, 4, 0, 10), "bigint": (-5, 8, 0, 10), "float": (6, 4, 7, 10),
    "double": (8, 8, 15, 10), "decimal": (3, None, None, 10), "string": (12, None, None, None),
    "date": (91, 4, None, None), "timestamp": (93, 8, None, None),
    "timestamp_ntz": (93, 8, None, None), "binary": (-2, None, None, None),
    "array": (2003, None, None, None), "map": (2000, None, None, None),
    "struct": (2002, None, None, None), "void": (0, None, None, None),
}  # fmt: skip


class Metadata:
    """What there is, by name patterns: ``%`` is any text, ``_`` any letter, None everything."""

    def __init__(self, catalog: Catalog, engine: Engine) -> None:
        self._catalog = catalog
        self._engine = engine

    def catalogs(self) -> pa.Table:
        return _table(CATALOGS, [{"TABLE_CAT": name} for name in self._catalog.catalogs()])

    def schemas(self, request: ttypes.TGetSchemasReq) -> pa.Table:
        found = self._schemas(request.catalogName, request.schemaName)
        return _table(
            SCHEMAS,
            [{"TABLE_SCHEM": schema, "TABLE_CATALOG": catalog} for catalog, schema in found],
        )

    def tables(self, request: ttypes.TGetTablesReq) -> pa.Table:
        wanted = [kind.upper() for kind in request.tableTypes or ["TABLE"]]
        rows = []
        if "TABLE" in wanted:
            for catalog, schema, table in self._tables(request):
                rows.append(_place(catalog, schema, table) | {"TABLE_TYPE": "TABLE", "REMARKS": ""})
        return _table(TABLES, rows)

    def columns(self, request: ttypes.TGetColumnsReq) -> pa.Table:
        matches = _pattern(request.columnName)
        rows = []
        for catalog, schema, table in self._tables(request):
            columns = self._engine.table_columns(catalog, schema, table)
            for position, (name, type_text) in enumerate(columns):
                if matches(name):
                    rows.append(_place(catalog, schema, table) | _column(name, type_text, position))
        return _table(COLUMNS, rows)

    def _schemas(self, catalog: str | None, schema: str | None) -> Iterator[tuple[str, str]]:
        of_catalog, of_schema = _pattern(catalog), _pattern(schema)
        for name, inner in self._catalog.all_schemas():
            if of_catalog(name) and of_schema(inner):
                yield name, inner

    def _tables(self, request) -> Iterator[tuple[str, str, str]]:
        matches = _pattern(request.tableName)
        for catalog, schema in self._schemas(request.catalogName, request.schemaName):
            for table in self._catalog.tables(catalog, schema):
                if matches(table):
                    yield catalog, schema, table


def _pattern(text: str | None):
    """A test for names. An empty pattern stands for everything, as None does."""
    if not text or text == "*":
        return lambda name: True
    parts = re.findall(r"\\.|.", text.lower(), re.DOTALL)
    special = {"%": ".*", "_": "."}
    escaped = [special.get(part) or re.escape(part[-1]) for part in parts]
    compiled = re.compile("".join(escaped), re.DOTALL)
    return lambda name: compiled.fullmatch(name.lower()) is not None


def _place(catalog: str, schema: str, table: str) -> dict:
    return {"TABLE_CAT": catalog, "TABLE_SCHEM": schema, "TABLE_NAME": table}


def _column(name: str, type_text: str, position: int) -> dict:
    base = re.match(r"[a-z_]*", type_text.lower()).group()
    kind, size, digits, radix = _KINDS.get(base, (1111, None, None, None))
    decimal = re.match(r"decimal\((\d+),(\d+)\)", type_text)
    if decimal:
        size, digits = int(decimal.group(1)), int(decimal.group(2))
    return {
        "COLUMN_NAME": name, "DATA_TYPE": kind, "TYPE_NAME": type_text.upper(),
        "COLUMN_SIZE": size, "DECIMAL_DIGITS": digits, "NUM_PREC_RADIX": radix, "NULLABLE": 1,
        "REMARKS": "", "ORDINAL_POSITION": position, "IS_NULLABLE": "YES",
        "IS_AUTO_INCREMENT": "NO",
    }  # fmt: skip


def _table(schema: pa.Schema, rows: list[dict]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=schema)
