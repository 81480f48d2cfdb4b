"""information_schema: what the catalog holds, as views that any statement can read.

A statement that names one gets the rows of that moment, all of its views from one look at the
catalog. The views of the system catalog show every catalog.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from itertools import chain

import pyarrow as pa

from ..access.principals import OWNER
from ..engine.catalog import INFORMATION_SCHEMA, SYSTEM, Catalog, CatalogError
from ..engine.table_info import KEEP, Column, TableInfo, Tables
from ..engine.table_types import type_facts
from .objects import Objects

_TEXT, _INT, _TIME = pa.string(), pa.int32(), pa.timestamp("us", "UTC")
_WHEN = {"created": _TIME, "created_by": _TEXT, "last_altered": _TIME, "last_altered_by": _TEXT}
_OF_TABLE = {"table_catalog": _TEXT, "table_schema": _TEXT, "table_name": _TEXT}

VIEWS = {
    "schemata": pa.schema(
        {"catalog_name": _TEXT, "schema_name": _TEXT, "schema_owner": _TEXT, "comment": _TEXT}
        | _WHEN
    ),
    "tables": pa.schema(
        _OF_TABLE
        | {
            "table_type": _TEXT, "is_insertable_into": _TEXT, "commit_action": _TEXT,
            "table_owner": _TEXT, "comment": _TEXT,
        }
        | _WHEN
        | {"data_source_format": _TEXT, "storage_sub_directory": _TEXT}
    ),
    "columns": pa.schema(
        _OF_TABLE
        | {
            "column_name": _TEXT, "ordinal_position": _INT, "column_default": _TEXT,
            "is_nullable": _TEXT, "full_data_type": _TEXT, "data_type": _TEXT,
            "character_maximum_length": _INT, "character_octet_length": _TEXT,
            "numeric_precision": _INT, "numeric_precision_radix": _INT, "numeric_scale": _INT,
            "datetime_precision": _INT, "interval_type": _TEXT, "interval_precision": _INT,
            "maximum_cardinality": _INT, "is_identity": _TEXT, "identity_generation": _TEXT,
            "identity_start": _TEXT, "identity_increment": _TEXT, "identity_maximum": _TEXT,
            "identity_minimum": _TEXT, "identity_cycle": _TEXT, "is_generated": _TEXT,
            "generation_expression": _TEXT, "is_system_time_period_start": _TEXT,
            "is_system_time_period_end": _TEXT,
            "system_time_period_timestamp_generation": _TEXT, "is_updatable": _TEXT,
            "partition_index": _INT, "comment": _TEXT,
        }
    ),
}  # fmt: skip
_SPARK = {_TEXT: "string", _INT: "int", _TIME: "timestamp"}
_LOG = {_TEXT: "string", _INT: "integer", _TIME: "timestamp"}


class InformationSchema:
    """The views and their rows."""

    def __init__(self, catalog: Catalog, tables: Tables, objects: Objects) -> None:
        self._catalog = catalog
        self._tables = tables
        self._objects = objects

    def views(self, names: set[str], catalog: str) -> dict[tuple[str, str], pa.Table]:
        """Rows of the views that a statement can mean, by (catalog, view).

        ``names`` are all lower-case names in the statement, ``catalog`` is the one in use.
        """
        catalogs = {name for name in self._catalog.catalogs() if name in names | {catalog}}
        wanted = [view for view in VIEWS if view in names]
        seen = []
        if {"tables", "columns"} & set(wanted):
            everything = SYSTEM in catalogs
            seen = [one for one in self.all_tables() if everything or one.catalog in catalogs]
        make = {
            "schemata": self._schemata,
            "tables": lambda: map(_table_row, seen),
            "columns": lambda: chain.from_iterable(map(_column_rows, seen)),
        }
        return {
            (name, view): whole if name == SYSTEM else _of_catalog(whole, name)
            for view in wanted
            for whole in [pa.Table.from_pylist(list(make[view]()), schema=VIEWS[view])]
            for name in catalogs
        }

    def info(self, catalog: str, schema: str, table: str) -> TableInfo:
        """Facts of a table or view. Raises CatalogError when there is none of this name."""
        if schema == INFORMATION_SCHEMA:
            self._catalog.schemas(catalog)
            return view_info(catalog, table)
        return self._tables.info(catalog, schema, table)

    def names(self, catalog: str, schema: str) -> list[str]:
        """Names of the tables and views of a schema. Raises CatalogError."""
        if schema == INFORMATION_SCHEMA:
            self._catalog.schemas(catalog)
            return sorted(VIEWS)
        return self._catalog.tables(catalog, schema)

    def all_tables(self) -> Iterator[TableInfo]:
        """Every table and view of every catalog."""
        for key in self._catalog.all_tables():
            with suppress(CatalogError):  # dropped since it was listed
                yield self._tables.info(*key)
        for catalog in self._catalog.catalogs():
            for view in VIEWS:
                yield view_info(catalog, view)

    def _schemata(self) -> Iterator[dict]:
        for catalog in self._objects.catalogs():
            for schema in self._objects.schemas(catalog):
                with suppress(CatalogError):
                    facts = self._objects.schema_facts(catalog, schema)
                    yield {
                        "catalog_name": catalog, "schema_name": schema,
                        "schema_owner": facts.owner, "comment": facts.comment,
                        **_when(facts.created_ms, facts.updated_ms, facts.owner),
                    }  # fmt: skip


@lru_cache(1000)
def view_info(catalog: str, view: str) -> TableInfo:
    """A view of information_schema as a table. Raises CatalogError when there is no such view."""
    if view not in VIEWS:
        text = f"The table or view `{catalog}`.`{INFORMATION_SCHEMA}`.`{view}` cannot be found."
        raise CatalogError("TABLE_OR_VIEW_NOT_FOUND", "42P01", text)
    columns = tuple(
        Column(
            column.name, at, _SPARK[column.type], True,
            {"name": column.name, "type": _LOG[column.type], "nullable": True, "metadata": {}},
        )
        for at, column in enumerate(VIEWS[view])
    )  # fmt: skip
    return TableInfo(catalog, INFORMATION_SCHEMA, view, columns, kind="VIEW")


def _of_catalog(whole: pa.Table, catalog: str) -> pa.Table:
    kept = pa.array([name == catalog for name in whole.column(0).to_pylist()], pa.bool_())
    return whole.filter(kept)


def _table_row(table: TableInfo) -> dict:
    is_view = table.kind == "VIEW"
    return {
        **_place(table), "table_type": table.kind,
        "is_insertable_into": "NO" if is_view or table.catalog == SYSTEM else "YES",
        "commit_action": "PRESERVE", "table_owner": OWNER.user_name, "comment": table.comment,
        **_when(table.created_ms, table.updated_ms, OWNER.user_name),
        "data_source_format": "UNKNOWN_DATA_SOURCE_FORMAT" if is_view else "DELTA",
        "storage_sub_directory": None,
    }  # fmt: skip


@lru_cache(KEEP)
def _column_rows(table: TableInfo) -> list[dict]:
    return [_place(table) | _column_row(column) for column in table.columns]


def _column_row(column: Column) -> dict:
    facts = type_facts(column.type_text)
    decimal = facts.name == "DECIMAL"
    number = facts.radix is not None
    start, increment = column.identity or (None, None)
    return {
        "column_name": column.name, "ordinal_position": column.position + 1,
        "column_default": column.default, "is_nullable": "YES" if column.nullable else "NO",
        "full_data_type": column.type_text, "data_type": facts.name,
        "numeric_precision": facts.size if decimal else facts.bits,
        "numeric_precision_radix": (10 if decimal else 2) if number else None,
        "numeric_scale": None if facts.name in ("FLOAT", "DOUBLE") else facts.digits,
        "datetime_precision": {"DATE": 0, "TIMESTAMP": 3, "TIMESTAMP_NTZ": 3}.get(facts.name),
        "is_identity": "NO" if column.identity is None else "YES",
        "identity_start": _text(start), "identity_increment": _text(increment),
        "is_generated": "ALWAYS" if column.generation else "NEVER",
        "generation_expression": column.generation, "is_system_time_period_start": "NO",
        "is_system_time_period_end": "NO", "is_updatable": "YES",
        "partition_index": None if column.partition_index is None else column.partition_index + 1,
        "comment": column.comment,
    }  # fmt: skip


def _place(table: TableInfo) -> dict:
    return {"table_catalog": table.catalog, "table_schema": table.schema, "table_name": table.name}


def _when(created_ms: int, updated_ms: int, user: str) -> dict:
    return {
        "created": _moment(created_ms), "created_by": user,
        "last_altered": _moment(updated_ms), "last_altered_by": user,
    }  # fmt: skip


def _moment(millis: int) -> dt.datetime | None:
    return dt.datetime.fromtimestamp(millis / 1000, dt.UTC) if millis else None


def _text(value: int | None) -> str | None:
    return None if value is None else str(value)
