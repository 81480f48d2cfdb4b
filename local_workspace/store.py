"""The workspace's memory: one SQLite file in WAL mode, touched in short transactions only."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS ids (id INTEGER PRIMARY KEY AUTOINCREMENT);
CREATE TABLE IF NOT EXISTS tokens (
    id INTEGER PRIMARY KEY AUTOINCREMENT, comment TEXT NOT NULL, digest TEXT NOT NULL UNIQUE,
    created_ms INTEGER NOT NULL, expires_ms INTEGER);
CREATE TABLE IF NOT EXISTS warehouses (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, state TEXT NOT NULL, auto_start INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS jobs (
    job_id INTEGER PRIMARY KEY, settings TEXT NOT NULL, created_ms INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS runs (
    run_id INTEGER PRIMARY KEY, job_id INTEGER NOT NULL, number_in_job INTEGER NOT NULL,
    settings TEXT NOT NULL, request TEXT NOT NULL, idempotency_token TEXT UNIQUE,
    life_cycle TEXT NOT NULL, result TEXT, message TEXT NOT NULL DEFAULT '', code TEXT,
    start_ms INTEGER NOT NULL, end_ms INTEGER, cancel_requested INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS runs_of_job ON runs (job_id, run_id);
CREATE TABLE IF NOT EXISTS task_runs (
    run_id INTEGER PRIMARY KEY, parent_run_id INTEGER NOT NULL, task_key TEXT NOT NULL,
    life_cycle TEXT NOT NULL, result TEXT, message TEXT NOT NULL DEFAULT '', code TEXT,
    error TEXT, error_trace TEXT, start_ms INTEGER, end_ms INTEGER, process_group INTEGER);
CREATE INDEX IF NOT EXISTS tasks_of_run ON task_runs (parent_run_id);
CREATE TABLE IF NOT EXISTS endpoints (
    name TEXT PRIMARY KEY, id TEXT NOT NULL, config TEXT NOT NULL, config_version INTEGER NOT NULL,
    created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL);
"""


def now_ms() -> int:
    """Milliseconds since the epoch, the unit of every time in the REST contract."""
    return int(time.time() * 1000)


class Store:
    """Rows as ``sqlite3.Row``; each thread has its own connection to the same file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        with self.transaction() as db:
            for statement in SCHEMA.split(";"):
                db.execute(statement)

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
