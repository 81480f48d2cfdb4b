"""Which kind of statement a text is, as the query history names it."""

from __future__ import annotations

import re

KINDS = {
    "ALTER", "ANALYZE", "COPY", "CREATE", "DELETE", "DESCRIBE", "DROP", "EXPLAIN", "GRANT",
    "INSERT", "MERGE", "OPTIMIZE", "REFRESH", "REPLACE", "REVOKE", "SELECT", "SET", "SHOW",
    "TRUNCATE", "UPDATE", "USE",
}  # fmt: skip
_SAME = {"DESC": "DESCRIBE", "WITH": "SELECT", "VALUES": "SELECT", "FROM": "SELECT",
         "TABLE": "SELECT", "RESET": "SET"}  # fmt: skip
_BEFORE = re.compile(r"[\s(]+|--[^\n]*|/\*.*?\*/", re.DOTALL)
_WORD = re.compile(r"[A-Za-z]+")


def kind_of(sql: str) -> str:
    """SELECT, INSERT ... by the first word; OTHER for what the history has no name for."""
    at = 0
    while skipped := _BEFORE.match(sql, at):
        at = skipped.end()
    first = _WORD.match(sql, at)
    word = first.group().upper() if first else ""
    word = _SAME.get(word, word)
    return word if word in KINDS else "OTHER"
