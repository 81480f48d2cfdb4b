"""Job definitions and their schedules."""

from __future__ import annotations

import datetime as dt
import json
import sqlite3

from ..access.tokens import USER
from ..errors import ApiError, bad_request, not_found
from ..store import Store, new_id, now_ms
from .job_spec import check_no_job_loop, check_settings, merged, next_firing
from .starts import RunOrder, create_run, job_settings
from .transitions import Transition

SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    job_id INTEGER PRIMARY KEY, settings TEXT NOT NULL, created_ms INTEGER NOT NULL,
    creator TEXT, next_ms INTEGER);
CREATE INDEX IF NOT EXISTS scheduled_jobs ON jobs (next_ms) WHERE next_ms IS NOT NULL;
"""


class Jobs:
    """Job definitions in the store; ``next_ms`` is when the schedule of a job fires next."""

    def __init__(self, store: Store) -> None:
        self._store = store
        store.declare(SCHEMA)

    def create(self, settings: dict, creator: str) -> int:
        if not settings.get("tasks"):
            raise bad_request("tasks: a job needs at least one task.")
        check_settings(settings)
        with self._store.transaction() as db:
            job_id = new_id(db)
            db.execute(
                "INSERT INTO jobs (job_id, settings, created_ms, creator, next_ms)"
                " VALUES (?, ?, ?, ?, ?)",
                (job_id, json.dumps(settings), now_ms(), creator, _next(settings, now_ms())),
            )
        return job_id

    def row(self, job_id: int) -> sqlite3.Row:
        row = self._store.row("SELECT * FROM jobs WHERE job_id = ?", job_id)
        if row is None:
            # The real service answers 400 here, and the SDK knows this text as 'not found'.
            raise bad_request(f"Job {job_id} does not exist.")
        return row

    def replace(self, job_id: int, settings: dict) -> None:
        """New settings instead of the old ones; only ``run_as`` stays when it is left out."""
        with self._store.transaction() as db:
            old = job_settings(db, job_id)
            kept = {name: old[name] for name in ("run_as",) if name in old}
            self._write(db, job_id, old, kept | settings)

    def update(self, job_id: int, settings: dict, remove: list[str]) -> None:
        with self._store.transaction() as db:
            old = job_settings(db, job_id)
            self._write(db, job_id, old, merged(old, settings, remove))

    def delete(self, job_id: int) -> list[int]:
        """Delete a job and its runs. Returns the attempts whose files are to go."""
        with self._store.transaction() as db:
            if not db.execute("DELETE FROM jobs WHERE job_id = ?", (job_id,)).rowcount:
                raise not_found(f"Job {job_id} does not exist.")
            runs = db.execute("SELECT run_id FROM runs WHERE job_id = ?", (job_id,)).fetchall()
            return [attempt for run in runs for attempt in delete_run(db, run["run_id"])]

    def list(
        self, name: str | None, before: int | None, offset: int, limit: int
    ) -> list[sqlite3.Row]:
        """Newest first; names are compared without case, as the service does."""
        return self._store.rows(
            "SELECT * FROM jobs WHERE (? IS NULL OR"
            " lower(json_extract(settings, '$.name')) = lower(?))"
            " AND (? IS NULL OR job_id < ?) ORDER BY job_id DESC LIMIT ? OFFSET ?",
            name, name, before, before, limit, offset,
        )  # fmt: skip

    def due(self, now: int) -> list[sqlite3.Row]:
        return self._store.rows("SELECT job_id FROM jobs WHERE next_ms <= ? ORDER BY next_ms", now)

    def next_due(self) -> int | None:
        return self._store.row("SELECT MIN(next_ms) AS due FROM jobs")["due"]

    def fire(self, change: Transition, job_id: int, now: int) -> None:
        """The schedule of a job has come: one run, however many firings were missed."""
        row = change.db.execute(
            "SELECT * FROM jobs WHERE job_id = ? AND next_ms <= ?", (job_id, now)
        ).fetchone()
        if row is None:
            return
        settings = json.loads(row["settings"])
        change.db.execute(
            "UPDATE jobs SET next_ms = ? WHERE job_id = ?", (_next(settings, now), job_id)
        )
        create_run(change, RunOrder(job_id, row["creator"] or USER, cause="PERIODIC"))

    def apply_timeout(self, db: sqlite3.Connection, job_id: int) -> None:
        """A new timeout holds for the runs that are under way, too."""
        timeout = job_settings(db, job_id).get("timeout_seconds") or 0
        db.execute(
            "UPDATE runs SET deadline_ms = CASE WHEN ? THEN begun_ms + ? END"
            " WHERE job_id = ? AND end_ms IS NULL AND begun_ms IS NOT NULL",
            (timeout, timeout * 1000, job_id),
        )

    def _write(self, db: sqlite3.Connection, job_id: int, old: dict, settings: dict) -> None:
        if not settings.get("tasks"):
            raise bad_request("tasks: a job needs at least one task.")
        check_settings(settings)
        check_no_job_loop(job_id, settings, lambda called: _called(db, called))
        db.execute("UPDATE jobs SET settings = ? WHERE job_id = ?", (json.dumps(settings), job_id))
        if settings.get("schedule") != old.get("schedule"):
            db.execute(
                "UPDATE jobs SET next_ms = ? WHERE job_id = ?", (_next(settings, now_ms()), job_id)
            )


def delete_run(db: sqlite3.Connection, run_id: int) -> list[int]:
    """Delete a run with its attempts and repairs. Returns the attempts whose files are to go.

    Its idempotency token is kept: it must not start another run.
    """
    attempts = db.execute("SELECT run_id FROM task_runs WHERE parent_run_id = ?", (run_id,))
    found = [row["run_id"] for row in attempts.fetchall()]
    db.execute(
        "INSERT OR IGNORE INTO deleted_run_tokens SELECT idempotency_token FROM runs"
        " WHERE run_id = ? AND idempotency_token IS NOT NULL",
        (run_id,),
    )
    db.execute("DELETE FROM task_runs WHERE parent_run_id = ?", (run_id,))
    db.execute("DELETE FROM repairs WHERE run_id = ?", (run_id,))
    db.execute("DELETE FROM runs WHERE run_id = ?", (run_id,))
    return found


def _called(db: sqlite3.Connection, job_id: int) -> dict | None:
    row = db.execute("SELECT settings FROM jobs WHERE job_id = ?", (job_id,)).fetchone()
    return json.loads(row["settings"]) if row else None


def _next(settings: dict, now: int) -> int | None:
    """When the schedule fires after ``now`` (milliseconds); None without one or after its end."""
    if not settings.get("schedule"):
        return None
    try:
        return next_firing(settings["schedule"], dt.datetime.fromtimestamp(now / 1000, dt.UTC))
    except ApiError:
        return None  # it was checked when it was set: its last firing has passed
