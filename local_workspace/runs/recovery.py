"""What becomes of runs when the workspace ends or was ended."""

from __future__ import annotations

from ..store import now_ms
from .transitions import STARTED, Transition

STOPPED = "The workspace stopped while the run was active."


def abandon_begun(change: Transition) -> None:
    """End every run of which a task has run, as failed and with the reason.

    A run of which nothing has run yet stays as it is; ``resume`` lets it go on.
    """
    begun = change.db.execute(
        "SELECT run_id FROM runs WHERE end_ms IS NULL AND life_cycle NOT IN ('QUEUED', 'PENDING')"
    ).fetchall()
    for row in begun:
        abandon(change, row["run_id"], STOPPED)


def abandon(change: Transition, run_id: int, text: str) -> None:
    """End a run that cannot be carried on: what ran has failed, what waited did not run."""
    now = now_ms()
    change.db.execute(
        "UPDATE task_runs SET life_cycle = 'TERMINATED', message = ?, end_ms = ?,"
        f" result = CASE WHEN life_cycle IN {STARTED} THEN 'FAILED' ELSE 'UPSTREAM_FAILED' END,"
        f" error = CASE WHEN life_cycle IN {STARTED} THEN ? END, code = 'INTERNAL_ERROR'"
        " WHERE parent_run_id = ? AND end_ms IS NULL",
        (text, now, text, run_id),
    )
    change.db.execute(
        "UPDATE runs SET life_cycle = 'INTERNAL_ERROR', result = 'FAILED', message = ?,"
        " code = 'INTERNAL_ERROR', end_ms = ?, spent_ms = spent_ms + ? - COALESCE(begun_ms, ?)"
        " WHERE run_id = ?",
        (text, now, now, now, run_id),
    )


def resume(change: Transition) -> None:
    """Let what had not begun go on: pending runs, and queued ones as far as their jobs have room.

    A run that waits for a task which has ended meanwhile is cancelled: nobody waits for it.
    """
    orphans = change.db.execute(
        "SELECT r.run_id FROM runs r JOIN task_runs t ON t.run_id = r.parent_task_run_id"
        " WHERE r.end_ms IS NULL AND t.end_ms IS NOT NULL"
    ).fetchall()
    for row in orphans:
        change.stop_run(row["run_id"])
    pending = change.db.execute(
        "SELECT run_id FROM runs WHERE end_ms IS NULL AND life_cycle = 'PENDING' ORDER BY run_id"
    ).fetchall()
    for row in pending:
        # What was ready before is made ready again.
        change.db.execute(
            "UPDATE task_runs SET life_cycle = 'BLOCKED'"
            " WHERE parent_run_id = ? AND life_cycle = 'PENDING'",
            (row["run_id"],),
        )
        change.begin(row["run_id"])
    jobs = change.db.execute(
        "SELECT DISTINCT job_id FROM runs WHERE end_ms IS NULL AND life_cycle = 'QUEUED'"
    ).fetchall()
    for row in jobs:
        change.promote(row["job_id"])
