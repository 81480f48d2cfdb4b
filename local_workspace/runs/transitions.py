"""Changes of the states of runs and attempts: each is one transaction that leaves a whole.

A ``Transition`` lives inside of one transaction. What must follow once that is committed
(attempts to start, work to stop) is collected in it; a crash in between loses nothing, since all
of it can be read from the states again.

States of an attempt: BLOCKED (waits for others), PENDING (waits for a slot), WAITING_FOR_RETRY,
RUNNING, TERMINATING (asked to stop), TERMINATED. A run is QUEUED, PENDING until its first task
runs, RUNNING, TERMINATING, and at last TERMINATED, SKIPPED or INTERNAL_ERROR.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from graphlib import TopologicalSorter

from ..store import new_id, now_ms
from . import graph
from .run_store import settings_of

STARTED = "('RUNNING', 'TERMINATING')"
FINAL = ("TERMINATED", "SKIPPED", "INTERNAL_ERROR")
CANCELED = "Run cancelled."
_STOPPED_TEXTS = {"CANCELED": CANCELED, "TIMEDOUT": "Stopped: the timeout was reached."}


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended: its result, texts for people, and what get-output adds (JSON)."""

    result: str
    message: str = ""
    error: str | None = None
    trace: str | None = None
    code: str | None = None
    output: dict | None = None


class Transition:
    """One change inside of the transaction ``db``.

    ``ready``: (run id, attempt id, task) of attempts that may start now. ``stops``: attempts
    whose work is to be stopped.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db
        self.ready: list[tuple[int, int, dict]] = []
        self.stops: list[int] = []

    def run(self, run_id: int) -> sqlite3.Row | None:
        return self.db.execute("SELECT * FROM runs WHERE run_id = ?", (run_id,)).fetchone()

    def attempt(self, attempt_id: int) -> sqlite3.Row | None:
        found = self.db.execute("SELECT * FROM task_runs WHERE run_id = ?", (attempt_id,))
        return found.fetchone()

    def latest(self, run_id: int) -> dict[str, sqlite3.Row]:
        """The last attempt of each task of a run."""
        rows = self.db.execute(
            "SELECT run_id, task_key, life_cycle, result, message, attempt_number, original_run_id"
            " FROM task_runs WHERE parent_run_id = ? ORDER BY run_id",
            (run_id,),
        )
        return {row["task_key"]: row for row in rows}

    def add_attempt(
        self,
        run_id: int,
        task: dict,
        before: sqlite3.Row | None = None,
        repair_id: int | None = None,
        life: str = "BLOCKED",
        not_before_ms: int | None = None,
    ) -> int:
        """A new attempt of a task, after the attempt ``before``. Returns its run id."""
        attempt_id = new_id(self.db)
        number = before["attempt_number"] + 1 if before else 0
        original = (before["original_run_id"] or before["run_id"]) if before else attempt_id
        self.db.execute(
            "INSERT INTO task_runs (run_id, parent_run_id, task_key, task, attempt_number,"
            " original_run_id, repair_id, life_cycle, not_before_ms)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (attempt_id, run_id, task["task_key"], json.dumps(task), number, original, repair_id,
             life, not_before_ms),
        )  # fmt: skip
        return attempt_id

    def begin(self, run_id: int) -> None:
        """Let a run go: its time counts from now, its first tasks are ready."""
        run, now = self.run(run_id), now_ms()
        timeout = settings_of(run).get("timeout_seconds") or 0
        self.db.execute(
            "UPDATE runs SET life_cycle = 'PENDING', message = '', begun_ms = ?, deadline_ms = ?"
            " WHERE run_id = ?",
            (now, now + timeout * 1000 if timeout else None, run_id),
        )
        self.advance(run_id)

    def advance(self, run_id: int) -> None:
        """Decide on the tasks whose turn has come; end the run when all of them have ended."""
        run = self.run(run_id)
        if run is None or run["end_ms"] is not None:
            return
        tasks = {task["task_key"]: task for task in settings_of(run)["tasks"]}
        # A repair uses the present settings of the job: tasks may have gone meanwhile.
        latest = {key: row for key, row in self.latest(run_id).items() if key in tasks}
        results = {key: row["result"] for key, row in latest.items()}
        needs = {key: graph.dependencies(tasks[key]) for key in latest}
        for key in TopologicalSorter(needs).static_order():
            if key not in latest or latest[key]["life_cycle"] != "BLOCKED":
                continue
            task = tasks[key]
            # A task that the run leaves out counts as done for those after it.
            verdict = graph.decide(
                task.get("run_if", "ALL_SUCCESS"),
                [results.get(other, "SUCCESS") for other in needs[key]],
            )
            if verdict == graph.RUN:
                self._set_life(latest[key]["run_id"], "PENDING")
                self.ready.append((run_id, latest[key]["run_id"], task))
            elif verdict:
                results[key] = verdict
                self._close_attempt(latest[key]["run_id"], _unrun(verdict))
        if all(results.values()):
            self._finish(run, needs, results)

    def claim(self, attempt_id: int) -> sqlite3.Row | None:
        """Mark a pending attempt as running. Returns it; None if it is not to run any more."""
        attempt = self.attempt(attempt_id)
        if attempt is None or attempt["life_cycle"] != "PENDING":
            return None
        now, timeout = now_ms(), json.loads(attempt["task"]).get("timeout_seconds") or 0
        self.db.execute(
            "UPDATE task_runs SET life_cycle = 'RUNNING', start_ms = ?, deadline_ms = ?"
            " WHERE run_id = ?",
            (now, now + timeout * 1000 if timeout else None, attempt_id),
        )
        self.db.execute(
            "UPDATE runs SET life_cycle = 'RUNNING' WHERE run_id = ? AND life_cycle = 'PENDING'",
            (attempt["parent_run_id"],),
        )
        return self.attempt(attempt_id)

    def end_attempt(self, attempt_id: int, outcome: Outcome, final: bool = False) -> None:
        """An attempt has ended: keep how, try again if the task says so, go on with the run.

        ``final`` forbids another attempt.
        """
        attempt = self.attempt(attempt_id)
        if attempt is None or attempt["end_ms"] is not None:
            return
        reason = attempt["stop_reason"]
        if reason:
            outcome = Outcome(reason, _STOPPED_TEXTS[reason], output=outcome.output)
        self._close_attempt(attempt_id, outcome)
        run = self.run(attempt["parent_run_id"])
        if not final and run["stop_reason"] is None:
            self._retry(attempt, outcome.result)
        self.advance(run["run_id"])

    def retry_now(self, attempt_id: int) -> None:
        """The wait before a retry is over."""
        attempt = self.attempt(attempt_id)
        if attempt is not None and attempt["life_cycle"] == "WAITING_FOR_RETRY":
            self._set_life(attempt_id, "PENDING")
            task = json.loads(attempt["task"])
            self.ready.append((attempt["parent_run_id"], attempt_id, task))

    def stop_run(self, run_id: int, reason: str = "CANCELED") -> None:
        """End a run: what waits ends at once, what runs is asked to stop. No effect on the ended.

        ``reason`` is CANCELED or TIMEDOUT.
        """
        run = self.run(run_id)
        if run is None or run["end_ms"] is not None or run["stop_reason"]:
            return
        self.db.execute(
            "UPDATE runs SET stop_reason = ?, life_cycle = 'TERMINATING' WHERE run_id = ?",
            (reason, run_id),
        )
        for row in self._live(run_id):
            if row["life_cycle"] not in ("RUNNING", "TERMINATING"):
                self._close_attempt(row["run_id"], Outcome("CANCELED", _STOPPED_TEXTS[reason]))
        for row in self._live(run_id):
            self._ask_to_stop(row["run_id"], reason)
        self.advance(run_id)

    def stop_attempt(self, attempt_id: int, reason: str = "CANCELED") -> None:
        """End one task of a run; what comes after it decides by its ``run_if``."""
        attempt = self.attempt(attempt_id)
        if attempt is None or attempt["end_ms"] is not None:
            return
        if attempt["life_cycle"] in ("RUNNING", "TERMINATING"):
            self._ask_to_stop(attempt_id, reason)
        else:
            self._close_attempt(attempt_id, Outcome("CANCELED", CANCELED))
            self.advance(attempt["parent_run_id"])

    def promote(self, job_id: int) -> None:
        """Let queued runs of a job go while it has room."""
        while True:
            queued = self.db.execute(
                "SELECT run_id, settings FROM runs WHERE job_id = ? AND life_cycle = 'QUEUED'"
                " AND end_ms IS NULL ORDER BY run_id LIMIT 1",
                (job_id,),
            ).fetchone()
            if queued is None:
                return
            job = self.db.execute(
                "SELECT settings FROM jobs WHERE job_id = ?", (job_id,)
            ).fetchone()
            limit = json.loads((job or queued)["settings"]).get("max_concurrent_runs", 1)
            if self.active_runs(job_id) >= limit:
                return
            self.begin(queued["run_id"])

    def active_runs(self, job_id: int) -> int:
        """How many runs of a job are alive, without the queued ones."""
        return self.db.execute(
            "SELECT COUNT(*) AS n FROM runs WHERE job_id = ? AND end_ms IS NULL"
            " AND life_cycle <> 'QUEUED'",
            (job_id,),
        ).fetchone()["n"]

    def _retry(self, attempt: sqlite3.Row, result: str) -> None:
        task = json.loads(attempt["task"])
        if result != "FAILED" and not (result == "TIMEDOUT" and task.get("retry_on_timeout")):
            return
        most = task.get("max_retries") or 0
        used = self.db.execute(
            "SELECT COUNT(*) AS n FROM task_runs WHERE parent_run_id = ? AND task_key = ?"
            " AND repair_id IS ?",
            (attempt["parent_run_id"], attempt["task_key"], attempt["repair_id"]),
        ).fetchone()["n"]
        if most != -1 and used > most:
            return
        wait = task.get("min_retry_interval_millis") or 0
        again = self.add_attempt(
            attempt["parent_run_id"], task, attempt, attempt["repair_id"],
            "WAITING_FOR_RETRY", (attempt["start_ms"] or now_ms()) + wait,
        )  # fmt: skip
        if not wait:
            self.retry_now(again)

    def _live(self, run_id: int) -> list[sqlite3.Row]:
        return self.db.execute(
            "SELECT run_id, life_cycle FROM task_runs WHERE parent_run_id = ? AND end_ms IS NULL"
            " ORDER BY run_id",
            (run_id,),
        ).fetchall()

    def _ask_to_stop(self, attempt_id: int, reason: str) -> None:
        self.db.execute(
            "UPDATE task_runs SET life_cycle = 'TERMINATING', stop_reason = ?"
            " WHERE run_id = ? AND end_ms IS NULL AND stop_reason IS NULL",
            (reason, attempt_id),
        )
        self.stops.append(attempt_id)
        children = self.db.execute(
            "SELECT run_id FROM runs WHERE parent_task_run_id = ? AND end_ms IS NULL", (attempt_id,)
        ).fetchall()
        for child in children:
            self.stop_run(child["run_id"])

    def _set_life(self, attempt_id: int, life: str) -> None:
        self.db.execute("UPDATE task_runs SET life_cycle = ? WHERE run_id = ?", (life, attempt_id))

    def _close_attempt(self, attempt_id: int, outcome: Outcome) -> None:
        self.db.execute(
            "UPDATE task_runs SET life_cycle = 'TERMINATED', result = ?, message = ?, error = ?,"
            " error_trace = ?, code = ?, output = ?, end_ms = ? WHERE run_id = ?",
            (outcome.result, outcome.message, outcome.error, outcome.trace, outcome.code,
             json.dumps(outcome.output) if outcome.output else None, now_ms(), attempt_id),
        )  # fmt: skip

    def _finish(
        self, run: sqlite3.Row, needs: dict[str, list[str]], results: dict[str, str]
    ) -> None:
        """Derive the run's state from its tasks.

        A run whose task failed is INTERNAL_ERROR with result FAILED, though the task itself is
        TERMINATED: the real service reports it so, and clients depend on it.
        """
        life, message, code = "TERMINATED", "", None
        result = graph.outcome(needs, results)
        if run["stop_reason"] and result != "SUCCESS":
            result, message = run["stop_reason"], _STOPPED_TEXTS[run["stop_reason"]]
        elif result == "CANCELED":
            message = CANCELED
        elif result == "FAILED":
            life, code = "INTERNAL_ERROR", "RUN_EXECUTION_ERROR"
            result, message = self._first_failure(run["run_id"], results)
        self.end_run(run, Outcome(result, message, code=code), life)

    def _first_failure(self, run_id: int, results: dict[str, str]) -> tuple[str, str]:
        latest = self.latest(run_id)
        rows = [latest[key] for key in latest if results.get(key) in graph.FAILED]
        own = [row for row in rows if row["result"] != "UPSTREAM_FAILED"]
        first = (own or rows)[0]
        result = "TIMEDOUT" if first["result"] == "TIMEDOUT" else "FAILED"
        return result, f"Task {first['task_key']} failed with message: {first['message']}"

    def end_run(self, run: sqlite3.Row, outcome: Outcome, life: str = "TERMINATED") -> None:
        """Close a run, tell the task that started it, and let the next one go."""
        now = now_ms()
        self.db.execute(
            "UPDATE runs SET life_cycle = ?, result = ?, message = ?, code = ?, end_ms = ?,"
            " spent_ms = spent_ms + ? WHERE run_id = ?",
            (life, outcome.result, outcome.message, outcome.code, now,
             now - (run["begun_ms"] or now), run["run_id"]),
        )  # fmt: skip
        self.promote(run["job_id"])
        if run["parent_task_run_id"]:
            self.end_attempt(run["parent_task_run_id"], child_outcome(run["run_id"], outcome))


def child_outcome(run_id: int, outcome: Outcome) -> Outcome:
    """What the end of a started run is for the task that started it."""
    output = {"run_job_output": {"run_id": run_id}}
    if outcome.result in ("SUCCESS", "SUCCESS_WITH_FAILURES"):
        return Outcome("SUCCESS", output=output)
    text = f"Run {run_id} ended with {outcome.result}. {outcome.message}".strip()
    result = "CANCELED" if outcome.result == "CANCELED" else "FAILED"
    return Outcome(result, text, text, code="RUN_EXECUTION_ERROR", output=output)


def _unrun(verdict: str) -> Outcome:
    texts = {
        "EXCLUDED": "The condition of run_if was not met.",
        "UPSTREAM_FAILED": "An upstream task failed.",
        "UPSTREAM_CANCELED": "An upstream task was cancelled.",
    }
    return Outcome(verdict, texts[verdict])
