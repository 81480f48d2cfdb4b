"""CREATE SCHEMA, DROP SCHEMA and DROP TABLE; and where CREATE TABLE may make a table."""

from __future__ import annotations

from collections.abc import Callable

from ...engine.catalog import CatalogError
from ...engine.sail_guard import refusal
from ...unity.objects import Facts, require_writable
from ..answers import Compute, done
from ..words import Words
from .context import Context


def create(words: Words, context: Context) -> Compute | None:
    """CREATE SCHEMA. None for CREATE TABLE, which the engine does where a schema exists."""
    words.expect("CREATE")
    if words.take_any("SCHEMA", "DATABASE"):
        return _create_schema(words, context)
    words.take("OR", "REPLACE")
    if words.take("TABLE"):
        words.take("IF", "NOT", "EXISTS")
        _check_place(*context.table_name(words.name())[:2], context)
    return None


def _create_schema(words: Words, context: Context) -> Compute:
    optional = words.take("IF", "NOT", "EXISTS")
    catalog, schema = context.schema_name(words.name(most=2))
    comment, properties = None, {}
    while not words.done:
        if words.take("COMMENT"):
            comment = words.string()
        elif words.take("WITH", "DBPROPERTIES"):
            properties = _pairs(words)
        elif words.take_any("LOCATION", "MANAGED"):
            raise refusal("CREATE SCHEMA with a location: schemas live in the workspace's folder")
        else:
            raise words.wrong()
    facts = Facts(context.user, comment, properties)
    return lambda: _nothing(context.objects.create_schema(catalog, schema, facts, optional))


def _pairs(words: Words) -> dict[str, str]:
    words.expect("(")
    pairs = {}
    while True:
        key = words.string() if words.next.kind == "string" else ".".join(words.name(most=9))
        words.take("=")
        pairs[key] = words.string()
        if not words.take(","):
            break
    words.expect(")")
    return pairs


def _check_place(catalog: str, schema: str, context: Context) -> None:
    """The engine would make a table of a schema that is no folder somewhere else."""
    context.objects.require_schema(catalog, schema)
    require_writable(catalog, schema)


def drop(words: Words, context: Context) -> Compute:
    """DROP SCHEMA [IF EXISTS] s [CASCADE | RESTRICT]; DROP TABLE [IF EXISTS] t"""
    words.expect("DROP")
    if words.take_any("SCHEMA", "DATABASE"):
        return _drop_schema(words, context)
    if words.take("TABLE"):
        return _drop_table(words, context)
    raise refusal(f"DROP {words.next.text.upper()}")


def _drop_schema(words: Words, context: Context) -> Compute:
    optional = words.take("IF", "EXISTS")
    catalog, schema = context.schema_name(words.name(most=2))
    cascade = words.take_any("CASCADE", "RESTRICT") == "CASCADE"
    words.end()
    return lambda: _unless_missing(
        optional, lambda: context.objects.drop_schema(catalog, schema, cascade)
    )


def _drop_table(words: Words, context: Context) -> Compute:
    optional = words.take("IF", "EXISTS")
    parts = words.name()
    words.end()

    def act() -> None:
        table = context.table(parts)
        require_writable(table.catalog, table.schema)
        context.engine.catalog.drop_table(*table.key)

    return lambda: _unless_missing(optional, act)


def _unless_missing(optional: bool, act: Callable[[], None]):
    missing = ("SCHEMA_NOT_FOUND", "TABLE_OR_VIEW_NOT_FOUND", "NO_SUCH_CATALOG_EXCEPTION")
    try:
        act()
    except CatalogError as error:
        if not optional or error.error_class not in missing:
            raise
    return done()


def _nothing(_: None):
    return done()
