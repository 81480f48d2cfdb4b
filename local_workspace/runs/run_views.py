"""Runs and tasks in the form of the Jobs API: states, statuses, times."""

from __future__ import annotations

import json
import sqlite3

from .job_spec import TASK_KINDS, job_parameters, with_defaults

FINAL = ("TERMINATED", "SKIPPED", "INTERNAL_ERROR")
_CODES = {"SUCCESS": "SUCCESS", "FAILED": "RUN_EXECUTION_ERROR", "CANCELED": "USER_CANCELED",
          "TIMEDOUT": "CANCELED", "UPSTREAM_FAILED": "SKIPPED", "UPSTREAM_CANCELED": "SKIPPED",
          "MAXIMUM_CONCURRENT_RUNS_REACHED": "MAX_CONCURRENT_RUNS_EXCEEDED",
          "EXCLUDED": "SKIPPED"}  # fmt: skip


def state_of(row: sqlite3.Row) -> dict:
    state = {"life_cycle_state": row["life_cycle"], "state_message": row["message"]}
    if row["result"]:
        state["result_state"] = row["result"]
    state["user_cancelled_or_timedout"] = row["result"] in ("CANCELED", "TIMEDOUT")
    return state


def status_of(row: sqlite3.Row) -> dict:
    if row["life_cycle"] not in FINAL:
        return {"state": row["life_cycle"]}
    code = row["code"] or _CODES.get(row["result"] or "", "INTERNAL_ERROR")
    kind = "SUCCESS" if code == "SUCCESS" else "CLIENT_ERROR"
    if code == "INTERNAL_ERROR":
        kind = "INTERNAL_ERROR"
    details = {"code": code, "type": kind, "message": row["message"]}
    return {"state": "TERMINATED", "termination_details": details}


def _times(row: sqlite3.Row) -> dict:
    start, end = row["start_ms"] or 0, row["end_ms"] or 0
    return {
        "start_time": start,
        "end_time": end,
        "setup_duration": 0,
        "execution_duration": end - start if end and start else 0,
        "cleanup_duration": 0,
    }


def task_view(row: sqlite3.Row, task: dict, page_url: str) -> dict:
    """One task run; ``task`` is the task in the settings that the run was started with."""
    kept = ("description", "depends_on", "libraries", "environment_key", *TASK_KINDS)
    return {
        "run_id": row["run_id"],
        "task_key": row["task_key"],
        "run_if": "ALL_SUCCESS",
        "attempt_number": 0,
        "state": state_of(row),
        "status": status_of(row),
        "run_page_url": page_url,
        **{name: task[name] for name in kept if name in task},
        **_times(row),
    }


def run_view(run: sqlite3.Row, tasks: list[sqlite3.Row], page_url: str, expand: bool) -> dict:
    """A run with its tasks (``expand``) as runs/get shows it."""
    settings = with_defaults(json.loads(run["settings"]))
    request = json.loads(run["request"])
    view = {
        "run_id": run["run_id"],
        "job_id": run["job_id"],
        "job_run_id": run["run_id"],
        "number_in_job": run["number_in_job"],
        "original_attempt_run_id": run["run_id"],
        "run_name": settings.get("name", "Untitled"),
        "run_type": "JOB_RUN",
        "trigger": "ONE_TIME",
        "format": "MULTI_TASK",
        "creator_user_name": "local@workspace.invalid",
        "run_page_url": page_url,
        "state": state_of(run),
        "status": status_of(run),
        "run_duration": (run["end_ms"] or 0) - run["start_ms"] if run["end_ms"] else 0,
        **_times(run),
    }
    declared = settings.get("parameters") or []
    if declared:
        values = job_parameters(settings, request)
        view["job_parameters"] = [
            {"name": p["name"], "default": p.get("default", ""), "value": values[p["name"]]}
            for p in declared
        ]
    if expand:
        by_key = {task["task_key"]: task for task in settings["tasks"]}
        view["tasks"] = [task_view(row, by_key[row["task_key"]], page_url) for row in tasks]
    return view
