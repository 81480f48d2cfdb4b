"""Runs and task runs in the store: every change of state is one short transaction."""

from __future__ import annotations

import json
import sqlite3

from ..errors import bad_request
from ..store import Store, new_id, now_ms

ACTIVE = "('PENDING', 'RUNNING', 'TERMINATING')"

SCHEMA = """
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
"""


class RunStore:
    """State changes of runs; the rules of the real service about states are in here."""

    def __init__(self, store: Store) -> None:
        self._store = store
        store.declare(SCHEMA)

    def create(self, job_id: int, settings: dict, request: dict) -> tuple[sqlite3.Row, bool]:
        """Insert a run with its tasks, or find the run of the same idempotency token.

        Returns (run, whether it was made now).
        """
        token = request.get("idempotency_token") or None
        now = now_ms()
        with self._store.transaction() as db:
            if token:
                known = db.execute(
                    "SELECT * FROM runs WHERE idempotency_token = ?", (token,)
                ).fetchone()
                if known is not None:
                    if known["job_id"] != job_id:
                        raise bad_request("The idempotency token belongs to another job's run.")
                    return known, False
            run_id = new_id(db)
            life, result, message = self._first_state(db, job_id, settings, request)
            number = (
                db.execute("SELECT COUNT(*) AS n FROM runs WHERE job_id = ?", (job_id,)).fetchone()[
                    "n"
                ]
                + 1
            )
            db.execute(
                "INSERT INTO runs (run_id, job_id, number_in_job, settings, request,"
                " idempotency_token, life_cycle, result, message, start_ms, end_ms)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (run_id, job_id, number, json.dumps(settings), json.dumps(request), token, life,
                 result, message, now, now if life == "SKIPPED" else None),
            )  # fmt: skip
            only = request.get("only")
            for task in settings["tasks"]:
                if only is None or task["task_key"] in only:
                    db.execute(
                        "INSERT INTO task_runs (run_id, parent_run_id, task_key, life_cycle,"
                        " result) VALUES (?, ?, ?, ?, ?)",
                        (new_id(db), run_id, task["task_key"],
                         "SKIPPED" if life == "SKIPPED" else "PENDING", result),
                    )  # fmt: skip
            run = db.execute("SELECT * FROM runs WHERE run_id = ?", (run_id,)).fetchone()
        return run, True

    @staticmethod
    def _first_state(
        db: sqlite3.Connection, job_id: int, settings: dict, request: dict
    ) -> tuple[str, str | None, str]:
        limit = settings.get("max_concurrent_runs", 1)
        if _active(db, job_id) < limit:
            return "PENDING", None, ""
        queueing = request.get("queue") or settings.get("queue") or {}
        if queueing.get("enabled") and limit > 0:
            return "QUEUED", None, "Waiting for an earlier run of the job to end."
        text = "Skipped: the job has reached its maximum number of concurrent runs."
        return "SKIPPED", "MAXIMUM_CONCURRENT_RUNS_REACHED", text

    def take_queued(self, job_id: int) -> int | None:
        """Make the oldest queued run PENDING if the job has room. Returns its id."""
        with self._store.transaction() as db:
            run = db.execute(
                "SELECT run_id, settings FROM runs WHERE job_id = ? AND life_cycle = 'QUEUED'"
                " ORDER BY run_id LIMIT 1",
                (job_id,),
            ).fetchone()
            if run is None:
                return None
            limit = json.loads(run["settings"]).get("max_concurrent_runs", 1)
            if _active(db, job_id) >= limit:
                return None
            db.execute(
                "UPDATE runs SET life_cycle = 'PENDING', message = '', start_ms = ?"
                " WHERE run_id = ?",
                (now_ms(), run["run_id"]),
            )
            return run["run_id"]

    def run(self, run_id: int) -> sqlite3.Row | None:
        return self._store.row("SELECT * FROM runs WHERE run_id = ?", run_id)

    def task(self, run_id: int) -> sqlite3.Row | None:
        return self._store.row("SELECT * FROM task_runs WHERE run_id = ?", run_id)

    def tasks(self, run_id: int) -> list[sqlite3.Row]:
        return self._store.rows(
            "SELECT * FROM task_runs WHERE parent_run_id = ? ORDER BY run_id", run_id
        )

    def unfinished(self) -> list[sqlite3.Row]:
        return self._store.rows(
            f"SELECT * FROM runs WHERE life_cycle = 'QUEUED' OR life_cycle IN {ACTIVE}"
        )

    def list(
        self, job_id: int | None, active: bool, completed: bool, before: int | None, limit: int
    ) -> list[sqlite3.Row]:
        """Newest first; ``before`` is a run id that the page lies below."""
        alive = f"(life_cycle = 'QUEUED' OR life_cycle IN {ACTIVE})"
        state = alive if active else f"NOT {alive}" if completed else "1"
        return self._store.rows(
            f"SELECT * FROM runs WHERE {state} AND (? IS NULL OR job_id = ?)"
            " AND (? IS NULL OR run_id < ?) ORDER BY run_id DESC LIMIT ?",
            job_id, job_id, before, before, limit,
        )  # fmt: skip

    def run_started(self, run_id: int) -> None:
        self._store.execute(
            "UPDATE runs SET life_cycle = 'RUNNING' WHERE run_id = ? AND life_cycle = 'PENDING'",
            run_id,
        )

    def task_started(self, run_id: int) -> None:
        self._store.execute(
            "UPDATE task_runs SET life_cycle = 'RUNNING', start_ms = ? WHERE run_id = ?",
            now_ms(), run_id,
        )  # fmt: skip

    def task_process(self, run_id: int, group: int) -> None:
        self._store.execute(
            "UPDATE task_runs SET process_group = ? WHERE run_id = ?", group, run_id
        )

    def request_cancel(self, run_id: int) -> bool:
        """Note that a run is to end. Returns whether it has tasks that must be stopped."""
        with self._store.transaction() as db:
            queued = db.execute(
                "UPDATE runs SET life_cycle = 'TERMINATED', result = 'CANCELED',"
                " message = 'Run cancelled.', end_ms = ?"
                " WHERE run_id = ? AND life_cycle = 'QUEUED'",
                (now_ms(), run_id),
            ).rowcount
            if queued:
                db.execute(
                    "UPDATE task_runs SET life_cycle = 'TERMINATED', result = 'CANCELED',"
                    " message = 'Run cancelled.', end_ms = ? WHERE parent_run_id = ?",
                    (now_ms(), run_id),
                )
                return False
            changed = db.execute(
                "UPDATE runs SET life_cycle = 'TERMINATING', cancel_requested = 1"
                f" WHERE run_id = ? AND life_cycle IN {ACTIVE}",
                (run_id,),
            ).rowcount
            return bool(changed)

    def cancel_requested(self, run_id: int) -> bool:
        return bool(self.run(run_id)["cancel_requested"])

    def end_task(
        self,
        run_id: int,
        result: str,
        message: str,
        error: str | None = None,
        trace: str | None = None,
        code: str | None = None,
    ) -> None:
        self._store.execute(
            "UPDATE task_runs SET life_cycle = 'TERMINATED', result = ?, message = ?, error = ?,"
            " error_trace = ?, code = ?, end_ms = ? WHERE run_id = ?",
            result, message, error, trace, code, now_ms(), run_id,
        )  # fmt: skip

    def end_run(self, run_id: int) -> None:
        """Derive the run's state from its tasks.

        A run whose task failed is INTERNAL_ERROR with result FAILED, though the task itself is
        TERMINATED: the real service reports it so, and clients depend on it.
        """
        tasks = self.tasks(run_id)
        run = self.run(run_id)
        failed = [task for task in tasks if task["result"] in ("FAILED", "TIMEDOUT")]
        life, result, message = "TERMINATED", "SUCCESS", ""
        if run["cancel_requested"] and any(t["result"] != "SUCCESS" for t in tasks):
            result, message = "CANCELED", "Run cancelled."
        elif failed:
            first = failed[0]
            life, result = "INTERNAL_ERROR", first["result"]
            message = f"Task {first['task_key']} failed with message: {first['message']}"
        code = "RUN_EXECUTION_ERROR" if life == "INTERNAL_ERROR" else None
        self._store.execute(
            "UPDATE runs SET life_cycle = ?, result = ?, message = ?, code = ?, end_ms = ?"
            " WHERE run_id = ?",
            life, result, message, code, now_ms(), run_id,
        )  # fmt: skip

    def abandon(self, run_id: int, message: str) -> None:
        """End a run that the workspace itself could not carry on, as failed."""
        now = now_ms()
        with self._store.transaction() as db:
            db.execute(
                "UPDATE task_runs SET life_cycle = 'TERMINATED', result = 'FAILED', message = ?,"
                " error = ?, code = 'INTERNAL_ERROR', end_ms = ?"
                " WHERE parent_run_id = ? AND life_cycle NOT IN ('TERMINATED', 'SKIPPED')",
                (message, message, now, run_id),
            )
            db.execute(
                "UPDATE runs SET life_cycle = 'INTERNAL_ERROR', result = 'FAILED', message = ?,"
                " code = 'INTERNAL_ERROR', end_ms = ? WHERE run_id = ?",
                (message, now, run_id),
            )


def _active(db: sqlite3.Connection, job_id: int) -> int:
    return db.execute(
        f"SELECT COUNT(*) AS n FROM runs WHERE job_id = ? AND life_cycle IN {ACTIVE}", (job_id,)
    ).fetchone()["n"]
