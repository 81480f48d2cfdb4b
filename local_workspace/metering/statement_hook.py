"""What a statement that names the catalog ``system`` meets: fresh tables that it cannot change."""

from __future__ import annotations

import logging

from ..engine.catalog import SYSTEM
from ..engine.interface import EngineError
from ..engine.sql_text import Statement
from .system_tables import SystemTables

log = logging.getLogger("local_workspace.metering")

# Words between the verb of a writing statement and the name of what it writes to.
_BEFORE_NAME = {
    "INTO", "OVERWRITE", "TABLE", "FROM", "OR", "REPLACE", "SCHEMA", "DATABASE", "IF", "NOT",
    "EXISTS", "EXTERNAL", "VIEW", "VOLUME", "FUNCTION", "TEMPORARY", "TEMP", "MATERIALIZED",
    "COLUMN", "ON",
}  # fmt: skip
_READING = {"SELECT", "WITH", "VALUES", "FROM", "TABLE", "SHOW", "DESCRIBE", "DESC", "EXPLAIN",
            "USE", "SET", "LIST"}  # fmt: skip


class SystemHook:
    """Called with each statement before it runs, and the (catalog, schema) it starts from."""

    def __init__(self, tables: SystemTables) -> None:
        self._tables = tables

    def __call__(self, statement: Statement, place: tuple[str, str]) -> None:
        """Raises EngineError for a statement that would write to the catalog."""
        named = any(token.name.lower() == SYSTEM for token in statement.tokens)
        if not named and place[0].lower() != SYSTEM:
            return
        if statement.main_verb not in _READING and _writes_to_system(statement, place):
            raise EngineError(
                "[INSUFFICIENT_PERMISSIONS] Insufficient privileges: the catalog `system` is "
                "read-only. SQLSTATE: 42501",
                "INSUFFICIENT_PERMISSIONS",
                "42501",
            )
        try:
            self._tables.refresh()
        except Exception:
            # The tables are as they were at the last refresh; what is missing is still stored.
            log.exception("the system tables could not be refreshed for a statement")


def _writes_to_system(statement: Statement, place: tuple[str, str]) -> bool:
    at = statement.words.index(statement.main_verb) + 1
    if statement.verb == "WITH":
        # WITH x AS (...) INSERT INTO ...: the last time that the verb stands alone.
        at = len(statement.words) - statement.words[::-1].index(statement.main_verb)
    while at < len(statement.tokens) and statement.words[at] in _BEFORE_NAME:
        at += 1
    parts, _ = statement.name_at(at)
    words = statement.words
    is_schema = "SCHEMA" in words[:3] or "DATABASE" in words[:3]
    full = 2 if is_schema else 3
    catalog = parts[0] if len(parts) >= full else place[0]
    return catalog.lower() == SYSTEM
