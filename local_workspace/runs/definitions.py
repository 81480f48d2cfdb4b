"""Job definitions."""

from __future__ import annotations

import json
import sqlite3

from ..errors import bad_request
from ..store import Store, new_id, now_ms
from .job_spec import check_settings

SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    job_id INTEGER PRIMARY KEY, settings TEXT NOT NULL, created_ms INTEGER NOT NULL);
"""


class Jobs:
    """Job definitions in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        store.declare(SCHEMA)

    def create(self, settings: dict) -> int:
        check_settings(settings)
        with self._store.transaction() as db:
            job_id = new_id(db)
            db.execute(
                "INSERT INTO jobs (job_id, settings, created_ms) VALUES (?, ?, ?)",
                (job_id, json.dumps(settings), now_ms()),
            )
        return job_id

    def row(self, job_id: int) -> sqlite3.Row:
        row = self._store.row("SELECT * FROM jobs WHERE job_id = ?", job_id)
        if row is None:
            # The real service answers 400 here, and the SDK knows this text as 'not found'.
            raise bad_request(f"Job {job_id} does not exist.")
        return row

    def settings(self, job_id: int) -> dict:
        return json.loads(self.row(job_id)["settings"])

    def replace(self, job_id: int, settings: dict) -> None:
        self.row(job_id)
        check_settings(settings)
        self._store.execute(
            "UPDATE jobs SET settings = ? WHERE job_id = ?", json.dumps(settings), job_id
        )

    def delete(self, job_id: int) -> list[int]:
        """Delete a job and its runs. Returns the task runs whose files are to go."""
        self.row(job_id)
        with self._store.transaction() as db:
            tasks = db.execute(
                "SELECT run_id FROM task_runs WHERE parent_run_id IN"
                " (SELECT run_id FROM runs WHERE job_id = ?)",
                (job_id,),
            ).fetchall()
            db.execute(
                "DELETE FROM task_runs WHERE parent_run_id IN"
                " (SELECT run_id FROM runs WHERE job_id = ?)",
                (job_id,),
            )
            db.execute("DELETE FROM runs WHERE job_id = ?", (job_id,))
            db.execute("DELETE FROM jobs WHERE job_id = ?", (job_id,))
        return [row["run_id"] for row in tasks]

    def list(self, name: str | None, offset: int, limit: int) -> list[sqlite3.Row]:
        """Newest first; names are compared without case, as the service does."""
        return self._store.rows(
            "SELECT * FROM jobs WHERE (? IS NULL OR"
            " lower(json_extract(settings, '$.name')) = lower(?))"
            " ORDER BY job_id DESC LIMIT ? OFFSET ?",
            name, name, limit, offset,
        )  # fmt: skip
