"""Rows of ``system.lakeflow``: jobs and pipelines as they change, runs and updates as they end.

Definitions are slowly changing: a row for each change, and a last one with ``delete_time``. What
has ended is cut at each full hour; only the last piece carries the result.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3

from ..store import now_ms
from .outbox import mark, put
from .place import Place
from .rates import by_hour

_GONE = "deleted"
_UPDATE_RESULTS = "('COMPLETED', 'FAILED', 'CANCELED')"


def jobs(db: sqlite3.Connection, place: Place) -> None:
    present = {str(row["job_id"]): row for row in db.execute("SELECT * FROM jobs")}

    def body(row: sqlite3.Row) -> dict:
        settings = json.loads(row["settings"])
        return {
            "job_id": str(row["job_id"]),
            "name": settings.get("name"),
            "description": settings.get("description"),
            "creator_id": row["creator"],
            "tags": settings.get("tags") or {},
            "run_as": row["creator"],
        }

    _definitions(db, place, "lakeflow.jobs", present, body, "job_id")


def pipelines(db: sqlite3.Connection, place: Place) -> None:
    present = {row["pipeline_id"]: row for row in db.execute("SELECT * FROM pipelines")}

    def body(row: sqlite3.Row) -> dict:
        spec = json.loads(row["spec"])
        settings = {key: spec.get(key) for key in ("edition", "channel")}
        for key in ("photon", "development", "continuous", "serverless"):
            settings[key] = bool(spec.get(key, False))
        configuration = spec.get("configuration") or {}
        return {
            "pipeline_id": row["pipeline_id"],
            "pipeline_type": "ETL_PIPELINE",
            "name": row["name"],
            "created_by": row["creator"],
            "run_as": row["creator"],
            "tags": spec.get("tags") or {},
            "settings": settings,
            "configuration": {key: str(value) for key, value in configuration.items()},
            "create_time": row["created_ms"],
        }

    _definitions(db, place, "lakeflow.pipelines", present, body, "pipeline_id")


def _definitions(
    db: sqlite3.Connection, place: Place, target: str, present: dict, body, key_column: str
) -> None:
    """Put a row for each definition that is new, changed or gone since the last look."""
    before = {
        row["key"]: row["value"]
        for row in db.execute("SELECT key, value FROM system_marks WHERE source = ?", (target,))
    }
    now = now_ms()
    rows = []
    for key, row in present.items():
        made = body(row)
        digest = hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()
        if before.get(key) != digest:
            rows.append(place.columns | made | {"change_time": now})
            mark(db, target, key, digest)
    for key in before.keys() - present.keys():
        if before[key] != _GONE:
            rows.append(place.columns | {key_column: key, "change_time": now, "delete_time": now})
            mark(db, target, key, _GONE)
    put(db, target, rows)


def runs(db: sqlite3.Connection, place: Place) -> None:
    """Runs that have ended; a repaired one ends again, and has a row for that part too."""
    target = "lakeflow.job_run_timeline"
    rows = []
    for run in _ended(db, target, "runs", "run_id"):
        start = max(run["start_ms"], int(run["marked"] or 0))
        repaired = db.execute(
            "SELECT MIN(start_ms) AS ms FROM repairs WHERE run_id = ? AND start_ms >= ?",
            (run["run_id"], start),
        ).fetchone()
        if run["marked"] is not None and repaired["ms"] is not None:
            start = repaired["ms"]
        settings = json.loads(run["settings"])
        request = json.loads(run["request"])
        declared = {p["name"]: str(p.get("default", "")) for p in settings.get("parameters") or []}
        begun = run["begun_ms"] or run["end_ms"]
        frame = place.columns | {
            "job_id": str(run["job_id"]),
            "run_id": str(run["run_id"]),
            "trigger_type": run["cause"],
            "run_type": run["kind"],
            "run_name": settings.get("name"),
            "compute_ids": [],
            "job_parameters": declared | (request.get("job_parameters") or {}),
        }
        last = {
            "result_state": _result(run["result"]),
            "termination_code": run["code"] or run["result"],
            "queue_duration_seconds": max(begun - run["start_ms"], 0) // 1000,
            "run_duration_seconds": (run["end_ms"] - run["start_ms"]) // 1000,
            "setup_duration_seconds": 0,
            "cleanup_duration_seconds": 0,
            "execution_duration_seconds": (run["end_ms"] - begun) // 1000,
        }
        rows += _periods(frame, last, start, run["end_ms"])
    put(db, target, rows)


def task_runs(db: sqlite3.Connection, place: Place) -> None:
    """Attempts of tasks that have ended, also those that never began."""
    target = "lakeflow.job_task_run_timeline"
    rows = []
    for task in _ended(db, target, "task_runs", "run_id"):
        run = db.execute(
            "SELECT job_id FROM runs WHERE run_id = ?", (task["parent_run_id"],)
        ).fetchone()
        start = task["start_ms"] or task["end_ms"]
        frame = place.columns | {
            "job_id": str(run["job_id"]) if run else None,
            "run_id": str(task["run_id"]),
            "job_run_id": str(task["parent_run_id"]),
            "parent_run_id": str(task["parent_run_id"]),
            "task_key": task["task_key"],
            "compute_ids": [],
        }
        last = {
            "result_state": _result(task["result"]),
            "termination_code": task["code"] or task["result"],
            "setup_duration_seconds": 0,
            "cleanup_duration_seconds": 0,
            "execution_duration_seconds": (task["end_ms"] - start) // 1000,
        }
        rows += _periods(frame, last, start, task["end_ms"])
    put(db, target, rows)


def updates(db: sqlite3.Connection, place: Place) -> None:
    target = "lakeflow.pipeline_update_timeline"
    rows = []
    found = db.execute(
        "SELECT u.* FROM pipeline_updates u LEFT JOIN system_marks m ON m.source = ?"
        f" AND m.key = u.update_id WHERE m.key IS NULL AND u.state IN {_UPDATE_RESULTS}"
        " ORDER BY u.number",
        (target,),
    ).fetchall()
    for update in found:
        request = json.loads(update["request"])
        frame = place.columns | {
            "pipeline_id": update["pipeline_id"],
            "update_id": update["update_id"],
            "update_type": "FULL_REFRESH" if request.get("full_refresh") else "REFRESH",
            "request_id": update["update_id"],
            "run_as_user_name": update["user_name"],
            "trigger_type": update["cause"],
            "compute": {"type": "SERVERLESS_COMPUTE"},
            "refresh_selection": request.get("refresh_selection") or [],
            "full_refresh_selection": request.get("full_refresh_selection") or [],
        }
        last = {"result_state": update["state"]}
        end = update["ended_ms"] or update["created_ms"]
        rows += _periods(frame, last, update["created_ms"], end)
        mark(db, target, update["update_id"], update["state"])
    put(db, target, rows)


def _ended(db: sqlite3.Connection, target: str, table: str, key: str) -> list[sqlite3.Row]:
    """Rows whose end is not the one that was marked; ``marked`` is the earlier end, or None."""
    found = db.execute(
        f"SELECT t.*, m.value AS marked FROM {table} t LEFT JOIN system_marks m ON m.source = ?"
        f" AND m.key = CAST(t.{key} AS TEXT) WHERE t.end_ms IS NOT NULL"
        f" AND (m.value IS NULL OR m.value != CAST(t.end_ms AS TEXT)) ORDER BY t.{key}",
        (target,),
    ).fetchall()
    for row in found:
        mark(db, target, str(row[key]), str(row["end_ms"]))
    return found


def _periods(frame: dict, last: dict, start_ms: int, end_ms: int) -> list[dict]:
    pieces = by_hour(start_ms, max(start_ms, end_ms))
    rows = [
        frame | {"period_start_time": begin, "period_end_time": until} for begin, until in pieces
    ]
    rows[-1] |= last
    return rows


def _result(result: str | None) -> str | None:
    """The names of the timeline tables differ a little from those of the Jobs API."""
    return {
        "SUCCESS": "SUCCEEDED",
        "CANCELED": "CANCELLED",
        "TIMEDOUT": "TIMED_OUT",
        "MAXIMUM_CONCURRENT_RUNS_REACHED": "SKIPPED",
        "UPSTREAM_FAILED": "SKIPPED",
        "UPSTREAM_CANCELED": "SKIPPED",
        "EXCLUDED": "SKIPPED",
    }.get(result or "", result)
