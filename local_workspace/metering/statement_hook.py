"""What a statement that names the catalog ``system`` meets: fresh tables that it cannot change."""

from __future__ import annotations

import logging

from ..engine.catalog import SYSTEM, CatalogError
from ..engine.sail_errors import engine_error
from ..engine.sql_text import QUERY_WORDS, Statement
from ..unity.objects import require_writable
from .system_tables import SystemTables

log = logging.getLogger("local_workspace.metering")

# Words between the verb of a writing statement and the name of what it writes to.
_BEFORE_NAME = {
    "INTO", "OVERWRITE", "TABLE", "FROM", "OR", "REPLACE", "SCHEMA", "DATABASE", "IF", "NOT",
    "EXISTS", "EXTERNAL", "VIEW", "VOLUME", "FUNCTION", "TEMPORARY", "TEMP", "MATERIALIZED", "ON",
}  # fmt: skip
_READING = QUERY_WORDS | {"SHOW", "DESCRIBE", "DESC", "EXPLAIN", "USE", "SET", "RESET"}


class SystemHook:
    """Called with each statement before it runs, and the (catalog, schema) it starts from."""

    def __init__(self, tables: SystemTables) -> None:
        self._tables = tables

    def __call__(self, statement: Statement, place: tuple[str, str]) -> None:
        """Raises EngineError for a statement that would write to the catalog."""
        named = any(token.name.lower() == SYSTEM for token in statement.tokens)
        if not named and place[0] != SYSTEM:
            return
        if statement.main_verb not in _READING:
            try:
                require_writable(*_written(statement, place))
            except CatalogError as error:
                raise engine_error(error) from error
        try:
            self._tables.refresh()
        except Exception:
            # The tables are as they were at the last refresh; what is missing is still stored.
            log.exception("the system tables could not be refreshed for a statement")


def _written(statement: Statement, place: tuple[str, str]) -> tuple[str, str]:
    """Catalog and schema of what a statement writes to."""
    words = statement.words
    at = words.index(statement.main_verb) + 1
    if statement.verb == "WITH":  # WITH x AS (...) INSERT INTO ...: the verb stands last
        at = len(words) - words[::-1].index(statement.main_verb)
    while at < len(words) and words[at] in _BEFORE_NAME:
        at += 1
    parts = [part.lower() for part in statement.name_at(at)[0]]
    own = 1 if "SCHEMA" in words[:3] or "DATABASE" in words[:3] else 2
    catalog = parts[-own - 1] if len(parts) > own else place[0]
    schema = parts[-own] if len(parts) >= own else place[1]
    return catalog, schema
