"""Runs, attempts of tasks and repairs in the store: the tables, and what is read from them.

A row of ``task_runs`` is one attempt of one task; it keeps the task as it was when the attempt
was made. Who changes states: ``transitions``.
"""

from __future__ import annotations

import json
import sqlite3

from ..store import Store

SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    run_id INTEGER PRIMARY KEY, job_id INTEGER NOT NULL, number_in_job INTEGER NOT NULL,
    settings TEXT NOT NULL, request TEXT NOT NULL, idempotency_token TEXT UNIQUE,
    kind TEXT NOT NULL DEFAULT 'JOB_RUN', cause TEXT NOT NULL DEFAULT 'ONE_TIME', creator TEXT,
    parent_task_run_id INTEGER, life_cycle TEXT NOT NULL, result TEXT,
    message TEXT NOT NULL DEFAULT '', code TEXT, stop_reason TEXT, start_ms INTEGER NOT NULL,
    begun_ms INTEGER, deadline_ms INTEGER, end_ms INTEGER, spent_ms INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS runs_of_job ON runs (job_id, run_id);
CREATE INDEX IF NOT EXISTS live_runs ON runs (job_id) WHERE end_ms IS NULL;
CREATE INDEX IF NOT EXISTS child_runs ON runs (parent_task_run_id)
    WHERE parent_task_run_id IS NOT NULL;
CREATE TABLE IF NOT EXISTS task_runs (
    run_id INTEGER PRIMARY KEY, parent_run_id INTEGER NOT NULL, task_key TEXT NOT NULL,
    task TEXT, attempt_number INTEGER NOT NULL DEFAULT 0, original_run_id INTEGER,
    repair_id INTEGER, life_cycle TEXT NOT NULL, result TEXT, message TEXT NOT NULL DEFAULT '',
    code TEXT, stop_reason TEXT, error TEXT, error_trace TEXT, output TEXT, start_ms INTEGER,
    not_before_ms INTEGER, deadline_ms INTEGER, end_ms INTEGER);
CREATE INDEX IF NOT EXISTS tasks_of_run ON task_runs (parent_run_id);
CREATE INDEX IF NOT EXISTS live_tasks ON task_runs (parent_run_id) WHERE end_ms IS NULL;
CREATE TABLE IF NOT EXISTS repairs (
    repair_id INTEGER PRIMARY KEY, run_id INTEGER NOT NULL, type TEXT NOT NULL,
    start_ms INTEGER NOT NULL, end_ms INTEGER, life_cycle TEXT, result TEXT,
    message TEXT NOT NULL DEFAULT '', code TEXT);
CREATE INDEX IF NOT EXISTS repairs_of_run ON repairs (run_id);
CREATE TABLE IF NOT EXISTS deleted_run_tokens (token TEXT PRIMARY KEY);
"""

# Without what may be long: error, error_trace, output.
_BRIEF = (
    "run_id, parent_run_id, task_key, task, attempt_number, original_run_id, repair_id,"
    " life_cycle, result, message, code, stop_reason, start_ms, end_ms"
)


class RunStore:
    """Reads of runs. An unfinished run has no ``end_ms``."""

    def __init__(self, store: Store) -> None:
        self._store = store
        store.declare(SCHEMA)

    def run(self, run_id: int) -> sqlite3.Row | None:
        return self._store.row("SELECT * FROM runs WHERE run_id = ?", run_id)

    def task(self, run_id: int) -> sqlite3.Row | None:
        """One attempt with everything that is known of it."""
        return self._store.row("SELECT * FROM task_runs WHERE run_id = ?", run_id)

    def tasks(self, run_id: int, offset: int = 0, limit: int = -1) -> list[sqlite3.Row]:
        """All attempts of a run in the order in which they were made, without long texts."""
        return self._store.rows(
            f"SELECT {_BRIEF} FROM task_runs WHERE parent_run_id = ? ORDER BY run_id"
            " LIMIT ? OFFSET ?",
            run_id, limit, offset,
        )  # fmt: skip

    def repairs(self, run_id: int) -> list[sqlite3.Row]:
        """The original run, if it was repaired, and its repairs; the last is the present one."""
        return self._store.rows("SELECT * FROM repairs WHERE run_id = ? ORDER BY repair_id", run_id)

    def child(self, task_run_id: int) -> sqlite3.Row | None:
        """The run that a run_job_task started."""
        return self._store.row("SELECT * FROM runs WHERE parent_task_run_id = ?", task_run_id)

    def started_attempts(self) -> list[sqlite3.Row]:
        """Attempts that are under way."""
        return self._store.rows(
            f"SELECT {_BRIEF} FROM task_runs WHERE end_ms IS NULL AND start_ms IS NOT NULL"
        )

    def due_attempts(self, now: int) -> list[sqlite3.Row]:
        """Attempts whose wait is over or whose timeout has come."""
        return self._store.rows(
            "SELECT run_id, life_cycle FROM task_runs WHERE end_ms IS NULL AND"
            " (life_cycle = 'WAITING_FOR_RETRY' AND not_before_ms <= ?"
            " OR life_cycle = 'RUNNING' AND deadline_ms <= ?)",
            now, now,
        )  # fmt: skip

    def due_runs(self, now: int) -> list[int]:
        rows = self._store.rows(
            "SELECT run_id FROM runs WHERE end_ms IS NULL AND stop_reason IS NULL"
            " AND deadline_ms <= ?",
            now,
        )
        return [row["run_id"] for row in rows]

    def next_due(self) -> int | None:
        """When the next of these comes, in milliseconds."""
        times = self._store.row(
            "SELECT (SELECT MIN(CASE life_cycle WHEN 'RUNNING' THEN deadline_ms"
            " WHEN 'WAITING_FOR_RETRY' THEN not_before_ms END) FROM task_runs"
            " WHERE end_ms IS NULL) AS task,"
            " (SELECT MIN(deadline_ms) FROM runs WHERE end_ms IS NULL AND stop_reason IS NULL)"
            " AS run"
        )
        return min((time for time in times if time is not None), default=None)

    def unfinished(self, job_id: int) -> list[int]:
        rows = self._store.rows(
            "SELECT run_id FROM runs WHERE job_id = ? AND end_ms IS NULL ORDER BY run_id DESC",
            job_id,
        )
        return [row["run_id"] for row in rows]

    def queued(self, job_id: int | None) -> list[int]:
        rows = self._store.rows(
            "SELECT run_id FROM runs WHERE life_cycle = 'QUEUED' AND end_ms IS NULL"
            " AND (? IS NULL OR job_id = ?) ORDER BY run_id DESC",
            job_id, job_id,
        )  # fmt: skip
        return [row["run_id"] for row in rows]

    def list(
        self,
        *,
        job_id: int | None = None,
        active: bool = False,
        completed: bool = False,
        kind: str | None = None,
        since_ms: int | None = None,
        until_ms: int | None = None,
        before: int | None = None,
        offset: int = 0,
        limit: int = -1,
    ) -> list[sqlite3.Row]:
        """Newest first; ``before`` is a run id that the page lies below."""
        tests, values = [], []
        for test, value in (
            ("job_id = ?", job_id), ("kind = ?", kind), ("start_ms >= ?", since_ms),
            ("start_ms <= ?", until_ms), ("run_id < ?", before),
        ):  # fmt: skip
            if value is not None:
                tests.append(test)
                values.append(value)
        if active or completed:
            tests.append("end_ms IS NULL" if active else "end_ms IS NOT NULL")
        where = f"WHERE {' AND '.join(tests)}" if tests else ""
        return self._store.rows(
            f"SELECT * FROM runs {where} ORDER BY run_id DESC LIMIT ? OFFSET ?",
            *values, limit, offset,
        )  # fmt: skip


def settings_of(run: sqlite3.Row) -> dict:
    return json.loads(run["settings"])


def request_of(run: sqlite3.Row) -> dict:
    return json.loads(run["request"])
