"""SHOW: what there is, in the columns that clients look for.

Two families: the forms a person writes (SHOW TABLES IN a.b), and the forms that drivers send for
their catalog functions (SHOW TABLES IN CATALOG a SCHEMA LIKE ...), which answer more columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from ...engine.catalog import CatalogError
from ...engine.interface import Result
from ...engine.sail_guard import refusal
from ...engine.table_info import Column, TableInfo
from ...engine.table_types import type_facts
from ..answers import BOOLEAN, INT, STRING, Compute, answer, texts
from ..words import Words
from .context import Context
from .create_text import create_table
from .patterns import like

_TABLES = {"database": STRING, "tableName": STRING, "isTemporary": BOOLEAN}
_VIEWS = {"namespace": STRING, "viewName": STRING, "isTemporary": BOOLEAN,
          "isMaterialized": BOOLEAN}  # fmt: skip
_DRIVER_TABLES = {
    "namespace": STRING, "tableName": STRING, "isTemporary": BOOLEAN, "information": STRING,
    "catalogName": STRING, "tableType": STRING, "remarks": STRING,
}  # fmt: skip
_DRIVER_COLUMNS = {
    "col_name": STRING, "catalogName": STRING, "namespace": STRING, "tableName": STRING,
    "columnType": STRING, "columnSize": INT, "decimalDigits": INT, "radix": INT,
    "isNullable": STRING, "remarks": STRING, "ordinalPosition": INT, "isAutoIncrement": STRING,
    "isGenerated": STRING,
}  # fmt: skip


def prepare(words: Words, context: Context) -> Compute:
    """The answer to a SHOW statement, to be computed. Raises EngineError, CatalogError."""
    words.expect("SHOW")
    what = words.take_any(*_FORMS)
    if not what:
        raise refusal(f"SHOW {words.next.text.upper()}")
    compute = _FORMS[what](words, context)
    words.end()
    return compute


def _catalogs(words: Words, context: Context) -> Compute:
    fits = like(_pattern(words))
    return lambda: texts(["catalog"], [(c,) for c in context.objects.catalogs() if fits(c)])


def _schemas(words: Words, context: Context) -> Compute:
    inside = bool(words.take_any("IN", "FROM"))
    if inside and words.take("ALL", "CATALOGS"):
        fits = like(_pattern(words))
        return lambda: texts(
            ["databaseName", "catalog"],
            [
                (schema, catalog)
                for catalog in context.objects.catalogs()
                for schema in context.objects.schemas(catalog)
                if fits(schema)
            ],
        )
    catalog = words.name(most=1)[0].lower() if inside else context.catalog
    fits = like(_pattern(words))
    return lambda: texts(
        ["databaseName"], [(name,) for name in context.objects.schemas(catalog) if fits(name)]
    )


def _tables(words: Words, context: Context) -> Compute:
    inside = bool(words.take_any("IN", "FROM"))
    catalogs = _driver_catalogs(words, context) if inside else None
    if catalogs is not None:
        of_schema = like(_clause(words, "SCHEMA", "LIKE"))
        found = _found(context, catalogs, of_schema, like(_pattern(words)))
        return lambda: answer(_DRIVER_TABLES, map(_driver_table, found()))
    place = _schema(words, context, inside)
    fits = like(_pattern(words))
    return lambda: answer(
        _TABLES,
        [
            (place[1], name, False)
            for name in context.information_schema.names(*place)
            if fits(name)
        ],
    )


def _views(words: Words, context: Context) -> Compute:
    place = _schema(words, context, bool(words.take_any("IN", "FROM")))
    fits = like(_pattern(words))

    def compute() -> Result:
        names = [name for name in context.information_schema.names(*place) if fits(name)]
        views = [
            name for name in names if context.information_schema.info(*place, name).kind == "VIEW"
        ]
        return answer(_VIEWS, [(place[1], name, False, False) for name in views])

    return compute


def _columns(words: Words, context: Context) -> Compute:
    if not words.take_any("IN", "FROM"):
        raise words.wrong()
    catalogs = _driver_catalogs(words, context)
    if catalogs is None:
        return _columns_of_table(words, context)
    of_schema = like(_clause(words, "SCHEMA", "LIKE"))
    of_table = like(_clause(words, "TABLE", "LIKE"))
    of_column = like(_pattern(words))
    found = _found(context, catalogs, of_schema, of_table)
    return lambda: answer(
        _DRIVER_COLUMNS,
        (
            _driver_column(table, column)
            for table in found()
            for column in table.columns
            if of_column(column.name)
        ),
    )


def _columns_of_table(words: Words, context: Context) -> Compute:
    parts = words.name()
    if words.take_any("IN", "FROM"):
        parts = [*words.name(most=2), parts[-1]]
    return lambda: texts(["col_name"], [(c.name,) for c in context.table(parts).columns])


def _properties(words: Words, context: Context) -> Compute:
    parts = words.name()
    wanted = None
    if words.take("("):
        wanted = words.string() if words.next.kind == "string" else ".".join(words.name(most=9))
        words.expect(")")

    def compute() -> Result:
        table = context.table(parts)
        known = table.properties or {}
        if wanted is None:
            return texts(["key", "value"], sorted(known.items()))
        missing = f"Table {table.full_name} does not have property: {wanted}"
        return texts(["key", "value"], [(wanted, known.get(wanted, missing))])

    return compute


def _create_table(words: Words, context: Context) -> Compute:
    words.expect("TABLE")
    parts = words.name()
    return lambda: texts(["createtab_stmt"], [(create_table(context.table(parts)),)])


_FORMS = {
    "CATALOGS": _catalogs, "SCHEMAS": _schemas, "DATABASES": _schemas, "TABLES": _tables,
    "VIEWS": _views, "COLUMNS": _columns, "TBLPROPERTIES": _properties, "CREATE": _create_table,
}  # fmt: skip


def _pattern(words: Words) -> str | None:
    given = words.take("LIKE") or words.next.kind == "string"
    return words.string() if given else None


def _clause(words: Words, *keywords: str) -> str | None:
    return words.string() if words.take(*keywords) else None


def _schema(words: Words, context: Context, given: bool) -> tuple[str, str]:
    if not given:
        return context.catalog, context.schema
    return context.schema_name(words.name(most=2))


def _driver_catalogs(words: Words, context: Context) -> list[str] | None:
    """The catalogs that a driver's form means; None when the statement has another form."""
    if words.take("ALL", "CATALOGS"):
        return context.objects.catalogs()
    if words.next.word == "CATALOG" and words.tokens[words.at + 1 : words.at + 2]:
        if words.tokens[words.at + 1].text != ".":
            words.expect("CATALOG")
            return [words.name(most=1)[0].lower()]
    return None


def _found(context: Context, catalogs: list[str], of_schema, of_table):
    """A function that lists the tables whose names fit. It raises for an unknown catalog."""

    def tables() -> Iterator[TableInfo]:
        for catalog in catalogs:
            for schema in filter(of_schema, context.objects.schemas(catalog)):
                with suppress(CatalogError):  # dropped since it was listed
                    for name in filter(of_table, context.information_schema.names(catalog, schema)):
                        with suppress(CatalogError):
                            yield context.information_schema.info(catalog, schema, name)

    return tables


def _driver_table(table: TableInfo) -> dict:
    return {
        "namespace": table.schema, "tableName": table.name, "isTemporary": False,
        "information": "", "catalogName": table.catalog,
        "tableType": "VIEW" if table.kind == "VIEW" else "TABLE", "remarks": table.comment or "",
    }  # fmt: skip


def _driver_column(table: TableInfo, column: Column) -> dict:
    facts = type_facts(column.type_text)
    return {
        "col_name": column.name, "catalogName": table.catalog, "namespace": table.schema,
        "tableName": table.name, "columnType": column.type_text.upper(),
        "columnSize": facts.size, "decimalDigits": facts.digits, "radix": facts.radix,
        "isNullable": "true" if column.nullable else "false", "remarks": column.comment or "",
        "ordinalPosition": column.position, "isAutoIncrement": "YES" if column.identity else "NO",
        "isGenerated": "YES" if column.generation else "NO",
    }  # fmt: skip
