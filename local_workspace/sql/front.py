"""Statements about the catalog, answered from the tables folder, and the shape of DML answers.

Sail keeps its catalog per session and parses few of these in Databricks' form, so they are
answered here, in the columns that Databricks clients expect.
"""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from functools import partial

import pyarrow as pa

from ..engine.catalog import Catalog, CatalogError
from ..engine.interface import Engine, Operation, Parameter, Result
from ..engine.sail_errors import engine_error
from ..engine.sail_guard import refusal
from ..engine.sql_text import SqlTextError, Statement

Rows = list[tuple]


class _Answer:
    """An operation that is computed here, at once; there is nothing to cancel."""

    def __init__(self, compute: Callable[[], Result]) -> None:
        self._compute = compute

    def run(self) -> Result:
        try:
            return self._compute()
        except CatalogError as error:
            raise engine_error(error) from error

    def cancel(self) -> None:
        return None

    def close(self) -> None:
        return None


class _Reshaped:
    """An engine operation whose one-row answer is replaced by Databricks' columns."""

    def __init__(self, inner: Operation, reshape: Callable[[Result], Result]) -> None:
        self._inner = inner
        self._reshape = reshape
        self.cancel = inner.cancel
        self.close = inner.close

    def run(self) -> Result:
        return self._reshape(self._inner.run())


class SqlFront:
    """What the REST layer calls: catalog statements here, everything else on the engine."""

    def __init__(
        self,
        engine: Engine,
        catalog: Catalog,
        before: Callable[[Statement, tuple[str, str]], None],
    ) -> None:
        """``before`` sees each statement first, with the (catalog, schema) it starts from."""
        self._engine = engine
        self._catalog = catalog
        self._before = before

    def statement(
        self,
        sql: str,
        parameters: list[Parameter],
        catalog: str | None = None,
        schema: str | None = None,
        row_limit: int | None = None,
    ) -> Operation:
        """Prepare any statement. Raises EngineError when it is refused before it runs."""
        try:
            parsed = Statement(sql)
        except SqlTextError:
            return self._engine.statement(sql, parameters, catalog, schema, row_limit)
        place = (catalog or self._catalog.default, schema or "default")
        self._before(parsed, place)
        try:
            answer = self._catalog_answer(parsed, place)
        except CatalogError as error:
            raise engine_error(error) from error
        if answer is not None:
            return _Answer(answer)
        operation = self._engine.statement(sql, parameters, catalog, schema, row_limit)
        reshape = _dml_shape(parsed)
        return _Reshaped(operation, reshape) if reshape else operation

    def _catalog_answer(
        self, parsed: Statement, place: tuple[str, str]
    ) -> Callable[[], Result] | None:
        words = parsed.words + ["", "", "", ""]
        if words[0] == "SHOW":
            return self._show(parsed, place)
        if words[0] in ("DESCRIBE", "DESC"):
            return self._describe(parsed, place)
        if words[0] == "CREATE" and words[1] in ("SCHEMA", "DATABASE"):
            at, optional = _after_exists(words, 2)
            catalog, schema = self._schema_name(parsed.name_at(at)[0], place)
            return lambda: _done(self._catalog.create_schema(catalog, schema, optional))
        if words[0] == "DROP":
            return self._drop(parsed, place)
        return None

    def _show(self, parsed: Statement, place: tuple[str, str]) -> Callable[[], Result]:
        what = parsed.words[1] if len(parsed.tokens) > 1 else ""
        at, names = 2, []
        if len(parsed.tokens) > 2 and parsed.words[2] in ("IN", "FROM"):
            names, at = parsed.name_at(3)
        if at < len(parsed.tokens) and parsed.words[at] == "LIKE":
            at += 1
        rest = parsed.tokens[at:]
        if len(rest) > 1 or (rest and rest[0].kind != "string"):
            raise refusal("SHOW statements of this form")
        pattern = rest[0].text[1:-1] if rest else "*"
        if what == "CATALOGS" and not names:
            return lambda: _text_rows(
                ["catalog"], [(name,) for name in self._catalog.catalogs() if _like(name, pattern)]
            )
        if what in ("SCHEMAS", "DATABASES") and len(names) <= 1:
            catalog = names[0] if names else place[0]
            return lambda: _text_rows(
                ["databaseName"],
                [(name,) for name in self._catalog.schemas(catalog) if _like(name, pattern)],
            )
        if what == "TABLES" and len(names) <= 2:
            catalog, schema = self._schema_name(names or [place[1]], place)
            return lambda: self._show_tables(catalog, schema, pattern)
        raise refusal(f"SHOW {what or '(nothing)'}")

    def _show_tables(self, catalog: str, schema: str, pattern: str) -> Result:
        names = [n for n in self._catalog.tables(catalog, schema) if _like(n, pattern)]
        table = pa.table(
            {
                "database": pa.array([schema] * len(names), pa.string()),
                "tableName": pa.array(names, pa.string()),
                "isTemporary": pa.array([False] * len(names), pa.bool_()),
            }
        )
        return Result(table.schema, ["string", "string", "boolean"], iter(table.to_batches()))

    def _describe(self, parsed: Statement, place: tuple[str, str]) -> Callable[[], Result]:
        at = 2 if parsed.words[1:2] == ["TABLE"] else 1
        parts, end = parsed.name_at(at)
        if not parts or end != len(parsed.tokens):
            raise refusal("DESCRIBE statements of this form")
        catalog, schema, table = self._table_name(parts, place)
        return lambda: _text_rows(
            ["col_name", "data_type", "comment"],
            [(n, t, None) for n, t in self._engine.table_columns(catalog, schema, table)],
        )

    def _drop(self, parsed: Statement, place: tuple[str, str]) -> Callable[[], Result]:
        words = parsed.words + ["", ""]
        at, optional = _after_exists(words, 2)
        parts, end = parsed.name_at(at)
        tail = parsed.words[end:]
        if words[1] in ("SCHEMA", "DATABASE") and tail in ([], ["CASCADE"], ["RESTRICT"]):
            catalog, schema = self._schema_name(parts, place)
            drop = partial(self._catalog.drop_schema, catalog, schema, tail == ["CASCADE"])
            return lambda: _done(_maybe(drop, optional, "SCHEMA_NOT_FOUND"))
        if words[1] == "TABLE" and not tail:
            key = self._table_name(parts, place)
            return lambda: _done(
                _maybe(lambda: self._catalog.drop_table(*key), optional, "TABLE_OR_VIEW_NOT_FOUND")
            )
        raise refusal(f"DROP {words[1]}")

    def _schema_name(self, parts: list[str], place: tuple[str, str]) -> tuple[str, str]:
        if not 1 <= len(parts) <= 2:
            raise refusal("a schema is named by one or two parts")
        names = [place[0], *parts][-2:]
        return names[0].lower(), names[1].lower()

    def _table_name(self, parts: list[str], place: tuple[str, str]) -> tuple[str, str, str]:
        if not 1 <= len(parts) <= 3:
            raise refusal("a table is named by one to three parts")
        names = [*place, *parts][-3:] if len(parts) < 3 else parts
        return names[0].lower(), names[1].lower(), names[2].lower()


def _after_exists(words: list[str], at: int) -> tuple[int, bool]:
    """Skip IF EXISTS or IF NOT EXISTS at ``at``. Returns (next position, whether it was there)."""
    if words[at] == "IF":
        return (at + 3, True) if words[at + 1] == "NOT" else (at + 2, True)
    return at, False


def _maybe(action: Callable[[], None], optional: bool, missing: str) -> None:
    try:
        action()
    except CatalogError as error:
        if not optional or error.error_class != missing:
            raise


def _like(name: str, pattern: str) -> bool:
    """SHOW patterns: '*' and '%' stand for any text, '|' separates alternatives."""
    choices = pattern.lower().replace("%", "*").split("|")
    return any(fnmatchcase(name, choice.strip()) for choice in choices)


def _done(nothing: None) -> Result:
    return Result(pa.schema([]), [], iter(()))


def _text_rows(names: list[str], rows: Rows) -> Result:
    arrays = [pa.array([row[at] for row in rows], pa.string()) for at in range(len(names))]
    table = pa.table(arrays, names=names)
    return Result(table.schema, ["string"] * len(names), iter(table.to_batches()))


def _dml_shape(parsed: Statement) -> Callable[[Result], Result] | None:
    """How to show the engine's answer to a statement that is no query."""
    verb = parsed.main_verb
    if parsed.is_query or verb == "EXPLAIN":
        return None
    if verb in ("INSERT", "CREATE"):
        return _inserted
    if verb in ("UPDATE", "DELETE"):
        return lambda result: _uncounted(result, ["num_affected_rows"])
    if verb == "MERGE":
        kinds = ("affected", "updated", "deleted", "inserted")
        return lambda result: _uncounted(result, [f"num_{kind}_rows" for kind in kinds])
    return _drained


def _drained(result: Result) -> Result:
    for _ in result.batches:
        continue
    return _done(None)


def _inserted(result: Result) -> Result:
    # CREATE TABLE without AS answers true, and has no rows to count.
    if result.type_texts != ["bigint"]:
        return _drained(result)
    counts = [batch.column(0)[0].as_py() for batch in result.batches if batch.num_rows]
    names = ["num_affected_rows", "num_inserted_rows"]
    table = pa.table([pa.array(counts[:1], pa.int64())] * 2, names=names)
    return Result(table.schema, ["bigint"] * 2, iter(table.to_batches()))


def _uncounted(result: Result, names: list[str]) -> Result:
    # Sail answers UPDATE, DELETE and MERGE with the rows it rewrote, not the rows that the
    # statement touched. A number that is wrong is not shown: null says "not known".
    _drained(result)
    table = pa.table([pa.nulls(1, pa.int64())] * len(names), names=names)
    return Result(table.schema, ["bigint"] * len(names), iter(table.to_batches()))
