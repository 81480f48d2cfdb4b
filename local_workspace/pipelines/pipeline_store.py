"""Pipelines and their updates in the store: every change of state is one short transaction."""

from __future__ import annotations

import json
import sqlite3
import uuid

from ..clock import now_ms
from ..errors import conflict, not_found
from ..store import Store

FINAL = ("COMPLETED", "FAILED", "CANCELED")
_OPEN = "state NOT IN ('COMPLETED', 'FAILED', 'CANCELED')"

SCHEMA = """
CREATE TABLE IF NOT EXISTS pipelines (
    number INTEGER PRIMARY KEY AUTOINCREMENT, pipeline_id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL, spec TEXT NOT NULL, run_as TEXT, creator TEXT NOT NULL,
    created_ms INTEGER NOT NULL, modified_ms INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS pipeline_updates (
    number INTEGER PRIMARY KEY AUTOINCREMENT, update_id TEXT NOT NULL UNIQUE,
    pipeline_id TEXT NOT NULL, config TEXT NOT NULL, request TEXT NOT NULL, cause TEXT NOT NULL,
    user_name TEXT NOT NULL, state TEXT NOT NULL, message TEXT NOT NULL DEFAULT '',
    created_ms INTEGER NOT NULL, started_ms INTEGER, ended_ms INTEGER);
CREATE UNIQUE INDEX IF NOT EXISTS one_active_update ON pipeline_updates (pipeline_id)
    WHERE state NOT IN ('COMPLETED', 'FAILED', 'CANCELED');
CREATE INDEX IF NOT EXISTS updates_of_pipeline ON pipeline_updates (pipeline_id, number)
"""


class PipelineStore:
    """Definitions and updates. An update that has ended never changes again."""

    def __init__(self, store: Store) -> None:
        self._store = store
        store.declare(SCHEMA)

    def create(
        self, spec: dict, run_as: dict | None, creator: str, duplicates: bool
    ) -> sqlite3.Row:
        pipeline_id = str(uuid.uuid4())
        now = now_ms()
        with self._store.transaction() as db:
            if not duplicates:
                _refuse_taken(db, spec["name"], pipeline_id)
            db.execute(
                "INSERT INTO pipelines (pipeline_id, name, spec, run_as, creator, created_ms,"
                " modified_ms) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (pipeline_id, spec["name"], json.dumps(spec), run_as and json.dumps(run_as),
                 creator, now, now),
            )  # fmt: skip
        return self.pipeline(pipeline_id)

    def pipeline(self, pipeline_id: str) -> sqlite3.Row:
        row = self._store.row("SELECT * FROM pipelines WHERE pipeline_id = ?", pipeline_id)
        if row is None:
            raise _unknown(pipeline_id)
        return row

    def replace(
        self, pipeline_id: str, spec: dict, run_as: dict | None, expected_ms: int | None,
        duplicates: bool,
    ) -> None:  # fmt: skip
        """Replace a spec. Raises ApiError 409 when it changed after ``expected_ms``."""
        with self._store.transaction() as db:
            row = db.execute(
                "SELECT name, modified_ms FROM pipelines WHERE pipeline_id = ?", (pipeline_id,)
            ).fetchone()
            if row is None:
                raise _unknown(pipeline_id)
            if expected_ms is not None and row["modified_ms"] > expected_ms:
                text = "The pipeline was modified after expected_last_modified."
                raise conflict(text, "RESOURCE_CONFLICT")
            if spec["name"] != row["name"] and not duplicates:
                _refuse_taken(db, spec["name"], pipeline_id)
            # Strictly later, so that two edits within one millisecond can be told apart.
            modified = max(now_ms(), row["modified_ms"] + 1)
            db.execute(
                "UPDATE pipelines SET name = ?, spec = ?, run_as = ?, modified_ms = ?"
                " WHERE pipeline_id = ?",
                (spec["name"], json.dumps(spec), run_as and json.dumps(run_as), modified,
                 pipeline_id),
            )  # fmt: skip

    def delete(self, pipeline_id: str) -> None:
        with self._store.transaction() as db:
            for table in ("pipeline_events", "pipeline_updates", "pipelines"):
                db.execute(f"DELETE FROM {table} WHERE pipeline_id = ?", (pipeline_id,))

    def list(
        self, name_like: str | None, order: str, after: tuple | None, limit: int
    ) -> list[sqlite3.Row]:
        """A page by ``order``, e.g. ``name DESC``; ``after`` is (value, number) of the last row."""
        column, way = order.split()
        sign = "<" if way == "DESC" else ">"
        return self._store.rows(
            "SELECT * FROM pipelines WHERE (? IS NULL OR name LIKE ?)"
            f" AND (? IS NULL OR ({column}, number) {sign} (?, ?))"
            f" ORDER BY {column} {way}, number {way} LIMIT ?",
            name_like, name_like, *((1, *after) if after else (None, None, None)), limit,
        )  # fmt: skip

    # -- updates -------------------------------------------------------------------------------

    def start(
        self,
        db: sqlite3.Connection,
        pipeline_id: str,
        request: dict,
        cause: str,
        user_name: str,
    ) -> sqlite3.Row:
        """Insert an update that waits. Raises ApiError 409 while another one is active."""
        active = db.execute(
            f"SELECT update_id FROM pipeline_updates WHERE pipeline_id = ? AND {_OPEN}",
            (pipeline_id,),
        ).fetchone()
        if active is not None:
            text = f"An active update {active['update_id']} already exists for this pipeline."
            raise conflict(text, "RESOURCE_CONFLICT")
        update_id = str(uuid.uuid4())
        made = db.execute(
            "INSERT INTO pipeline_updates (update_id, pipeline_id, config, request, cause,"
            " user_name, state, created_ms) SELECT ?, pipeline_id, spec, ?, ?, ?, 'QUEUED', ?"
            " FROM pipelines WHERE pipeline_id = ?",
            (update_id, json.dumps(request), cause, user_name, now_ms(), pipeline_id),
        )
        if not made.rowcount:
            raise _unknown(pipeline_id)
        return db.execute(
            "SELECT * FROM pipeline_updates WHERE update_id = ?", (update_id,)
        ).fetchone()

    def update(self, pipeline_id: str, update_id: str) -> sqlite3.Row:
        row = self._store.row(
            "SELECT * FROM pipeline_updates WHERE pipeline_id = ? AND update_id = ?",
            pipeline_id, update_id,
        )  # fmt: skip
        if row is None:
            self.pipeline(pipeline_id)
            raise not_found(f"The specified update {update_id[:80]} was not found.")
        return row

    def updates(self, pipeline_id: str, before: int | None, limit: int) -> list[sqlite3.Row]:
        """Newest first; ``before`` is the number of an update that the page lies below."""
        return self._store.rows(
            "SELECT * FROM pipeline_updates WHERE pipeline_id = ? AND (? IS NULL OR number < ?)"
            " ORDER BY number DESC LIMIT ?",
            pipeline_id, before, before, limit,
        )  # fmt: skip

    def active(self, pipeline_id: str) -> sqlite3.Row | None:
        return self._store.row(
            f"SELECT * FROM pipeline_updates WHERE pipeline_id = ? AND {_OPEN}", pipeline_id
        )

    def unfinished(self) -> list[sqlite3.Row]:
        return self._store.rows(f"SELECT * FROM pipeline_updates WHERE {_OPEN} ORDER BY number")

    # The changes of state below belong in one transaction with the event that tells of them.

    @staticmethod
    def take(db: sqlite3.Connection, update_id: str) -> bool:
        """Move an update from waiting to begun. False when it was cancelled meanwhile."""
        changed = db.execute(
            "UPDATE pipeline_updates SET state = 'CREATED', started_ms = ?"
            " WHERE update_id = ? AND state = 'QUEUED'",
            (now_ms(), update_id),
        )
        return bool(changed.rowcount)

    @staticmethod
    def progress(db: sqlite3.Connection, update_id: str, state: str) -> bool:
        """Move a running update on. False when it is being stopped or has ended."""
        changed = db.execute(
            f"UPDATE pipeline_updates SET state = ? WHERE update_id = ? AND {_OPEN}"
            " AND state <> 'STOPPING'",
            (state, update_id),
        )
        return bool(changed.rowcount)

    @staticmethod
    def end(
        db: sqlite3.Connection, update_id: str, state: str, message: str, waiting: bool = False
    ) -> bool:
        """End an update, if ``waiting`` only one that has not begun. False when nothing ended."""
        condition = "state = 'QUEUED'" if waiting else _OPEN
        changed = db.execute(
            "UPDATE pipeline_updates SET state = ?, message = ?, ended_ms = ?"
            f" WHERE update_id = ? AND {condition}",
            (state, message, now_ms(), update_id),
        )
        return bool(changed.rowcount)


def _unknown(pipeline_id: str) -> Exception:
    return not_found(f"The specified pipeline {pipeline_id[:80]} was not found.")


def _refuse_taken(db: sqlite3.Connection, name: str, pipeline_id: str) -> None:
    taken = db.execute(
        "SELECT pipeline_id FROM pipelines WHERE name = ? AND pipeline_id <> ?",
        (name, pipeline_id),
    ).fetchone()
    if taken is not None:
        raise conflict(
            f"A pipeline named '{name}' exists already ({taken['pipeline_id']}); "
            "allow_duplicate_names allows another one.",
            "RESOURCE_CONFLICT",
        )
