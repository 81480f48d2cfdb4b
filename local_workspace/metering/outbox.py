"""Rows on their way from the store into the ``system`` tables.

A row waits here from the transaction in which it was found until its Delta commit is known: the
number of the last row stands in the commit, so that a kill between the two doubles nothing.
"""

from __future__ import annotations

import json
import sqlite3

from ..store import Store

SCHEMA = """
CREATE TABLE IF NOT EXISTS system_outbox (
    number INTEGER PRIMARY KEY AUTOINCREMENT, target TEXT NOT NULL, body TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS outbox_of_table ON system_outbox (target, number);
CREATE TABLE IF NOT EXISTS system_marks (
    source TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (source, key));
"""


class Outbox:
    """``target`` is ``schema.table`` in the catalog ``system``; a body has the table's columns."""

    def __init__(self, store: Store) -> None:
        self._store = store
        store.declare(SCHEMA)

    def waiting(self) -> list[str]:
        """Tables that rows wait for."""
        rows = self._store.rows("SELECT DISTINCT target FROM system_outbox ORDER BY target")
        return [row["target"] for row in rows]

    def batch(self, target: str, limit: int) -> list[tuple[int, dict]]:
        """The oldest rows of a table as (number, body)."""
        rows = self._store.rows(
            "SELECT number, body FROM system_outbox WHERE target = ? ORDER BY number LIMIT ?",
            target, limit,
        )  # fmt: skip
        return [(row["number"], json.loads(row["body"])) for row in rows]

    def number_after(self, number: int) -> None:
        """Let rows get higher numbers than ``number``.

        A store that was restored may be older than its tables: rows that are made from now on
        must not look like those that the tables have.
        """
        with self._store.transaction() as db:
            raised = db.execute(
                "UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = 'system_outbox'",
                (number,),
            )
            if not raised.rowcount:
                db.execute("INSERT INTO sqlite_sequence VALUES ('system_outbox', ?)", (number,))

    def written(self, target: str, upto: int) -> None:
        """Forget the rows of a table up to a number: the table has them."""
        self._store.execute(
            "DELETE FROM system_outbox WHERE target = ? AND number <= ?", target, upto
        )


def put(db: sqlite3.Connection, target: str, bodies: list[dict]) -> None:
    """Add rows, in the transaction that marks them as found."""
    db.executemany(
        "INSERT INTO system_outbox (target, body) VALUES (?, ?)",
        [(target, json.dumps(body)) for body in bodies],
    )


def mark(db: sqlite3.Connection, source: str, key: str, value: str) -> None:
    db.execute("INSERT OR REPLACE INTO system_marks VALUES (?, ?, ?)", (source, key, value))


def marked(db: sqlite3.Connection, source: str, key: str, default: str) -> str:
    row = db.execute(
        "SELECT value FROM system_marks WHERE source = ? AND key = ?", (source, key)
    ).fetchone()
    return row["value"] if row else default
