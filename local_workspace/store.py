"""The workspace's memory: one SQLite file in WAL mode, touched in short transactions only."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .clock import now_ms

__all__ = ["Store", "new_id", "now_ms"]

SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS ids (id INTEGER PRIMARY KEY AUTOINCREMENT);
"""


_TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"


class Store:
    """Rows as ``sqlite3.Row``; each thread has its own connection to the same file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        self.declare(SCHEMA)

    def declare(self, schema: str) -> None:
        """Create the tables and indexes of a part, and the columns that an older file lacks.

        ``schema`` holds CREATE ... IF NOT EXISTS statements; each part brings its own. A column
        added later needs a default or must be nullable.
        """
        wanted = sqlite3.connect(":memory:", isolation_level=None)
        wanted.executescript(schema)
        with self.transaction() as db:
            tables = [name for (name,) in wanted.execute(_TABLES)]
            present = {row["name"] for row in db.execute(_TABLES)}
            for table in [name for name in tables if name in present]:
                have = {row["name"] for row in db.execute(f"PRAGMA table_info({table})")}
                for _, name, kind, required, default, _key in wanted.execute(
                    f"PRAGMA table_info({table})"
                ):
                    if name not in have:
                        rule = f" DEFAULT {default}" if default is not None else ""
                        rule = (" NOT NULL" if required else "") + rule
                        db.execute(f"ALTER TABLE {table} ADD COLUMN {name} {kind}{rule}")
            for statement in schema.split(";"):
                db.execute(statement)
        wanted.close()

    def _connection(self) -> sqlite3.Connection:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(self._path, timeout=10, isolation_level=None)
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            self._local.connection = connection
        return connection

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A write transaction: committed at the end of the block, rolled back on any error."""
        connection = self._connection()
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    def rows(self, sql: str, *values: object) -> list[sqlite3.Row]:
        return self._connection().execute(sql, values).fetchall()

    def row(self, sql: str, *values: object) -> sqlite3.Row | None:
        return self._connection().execute(sql, values).fetchone()

    def execute(self, sql: str, *values: object) -> int:
        """Run one write statement in its own transaction and return the number of rows."""
        with self.transaction() as db:
            return db.execute(sql, values).rowcount

    def meta(self, key: str) -> str | None:
        row = self.row("SELECT value FROM meta WHERE key = ?", key)
        return row["value"] if row else None


def new_id(db: sqlite3.Connection) -> int:
    """One sequence for jobs, runs and tasks; small on purpose (JavaScript clients)."""
    return db.execute("INSERT INTO ids DEFAULT VALUES").lastrowid
