"""Runs and tasks in the form of the Jobs API: states, statuses, times."""

from __future__ import annotations

import json
import sqlite3

from ..access.links import LinkSigner
from ..access.tokens import USER
from .job_spec import PARAMETERS, TASK_KINDS, job_parameters, task_with_defaults
from .run_store import RunStore, request_of, settings_of
from .transitions import FINAL

PAGE_TASKS = 100
PAGE_SECONDS = 30 * 24 * 3600

_CODES = {"SUCCESS": "SUCCESS", "FAILED": "RUN_EXECUTION_ERROR", "CANCELED": "USER_CANCELED",
          "TIMEDOUT": "CANCELED", "UPSTREAM_FAILED": "SKIPPED", "UPSTREAM_CANCELED": "SKIPPED",
          "SUCCESS_WITH_FAILURES": "SUCCESS_WITH_FAILURES", "EXCLUDED": "SKIPPED",
          "MAXIMUM_CONCURRENT_RUNS_REACHED": "MAX_CONCURRENT_RUNS_EXCEEDED"}  # fmt: skip
_TYPES = {"SUCCESS": "SUCCESS", "SUCCESS_WITH_FAILURES": "SUCCESS",
          "INTERNAL_ERROR": "INTERNAL_ERROR"}  # fmt: skip
_QUEUED = "Queued: the job has reached its maximum number of concurrent runs."
_KEPT = ("description", "depends_on", "run_if", "libraries", "environment_key", "timeout_seconds",
         "max_retries", "min_retry_interval_millis", "retry_on_timeout", "email_notifications",
         "webhook_notifications", "notification_settings", "existing_cluster_id", "new_cluster",
         "job_cluster_key", *TASK_KINDS)  # fmt: skip


class RunViews:
    """Makes the views of runs; each carries the signed address of the page of its run."""

    def __init__(self, runs: RunStore, links: LinkSigner, host: str) -> None:
        self._runs = runs
        self._links = links
        self._host = host

    def page_url(self, run_id: int) -> str:
        """Address of the run's page; signed, since a browser sends no token."""
        path = f"/_local/runs/{run_id}"
        return f"{self._host}{path}?{self._links.sign(path, PAGE_SECONDS)[0]}"

    def run(
        self, run: sqlite3.Row, expand: bool = True, offset: int = 0, history: bool = False
    ) -> dict:
        """A run; ``expand`` adds up to 100 of its task runs from ``offset`` on."""
        settings, request = settings_of(run), request_of(run)
        url = self.page_url(run["run_id"])
        view = self._frame(run, settings, url)
        declared = settings.get("parameters") or []
        if declared:
            values = job_parameters(settings, request)
            view["job_parameters"] = [
                {"name": p["name"], "default": p.get("default", ""), "value": values[p["name"]]}
                for p in declared
            ]
        overriding = {name: request[name] for name in PARAMETERS if name in request}
        if overriding:
            view["overriding_parameters"] = overriding
        if run["cause"] == "PERIODIC" and settings.get("schedule"):
            view["schedule"] = settings["schedule"]
        if run["parent_task_run_id"]:
            view["trigger_info"] = {"run_id": run["parent_task_run_id"]}
        if settings.get("job_clusters"):
            view["job_clusters"] = settings["job_clusters"]
        if history:
            view["repair_history"] = self._history(run)
        if expand:
            rows = self._runs.tasks(run["run_id"], offset, PAGE_TASKS + 1)
            view["tasks"] = [task_view(row, url) for row in rows[:PAGE_TASKS]]
            view["has_more"] = len(rows) > PAGE_TASKS
        return view

    def task(self, run: sqlite3.Row, task: sqlite3.Row) -> dict:
        """A task run as a run of its own: the names of its run with its own states and times."""
        own = task_view(task, self.page_url(run["run_id"]))
        whole = self._frame(run, settings_of(run), own["run_page_url"])
        original = task["original_run_id"] or task["run_id"]
        return whole | own | {"original_attempt_run_id": original, "tasks": [own]}

    def _frame(self, run: sqlite3.Row, settings: dict, url: str) -> dict:
        begun = run["begun_ms"] or run["end_ms"]
        view = {
            "run_id": run["run_id"],
            "job_id": run["job_id"],
            "job_run_id": run["run_id"],
            "number_in_job": run["number_in_job"],
            "original_attempt_run_id": run["run_id"],
            "run_name": settings.get("name") or settings.get("run_name") or "Untitled",
            "run_type": run["kind"],
            "trigger": run["cause"],
            "format": "MULTI_TASK",
            "creator_user_name": run["creator"] or USER,
            "run_page_url": url,
            "state": _state(run),
            "status": _status(run),
            "start_time": run["start_ms"],
            "end_time": run["end_ms"] or 0,
            "run_duration": run["spent_ms"] if run["end_ms"] else 0,
            "setup_duration": 0,
            "execution_duration": 0,
            "cleanup_duration": 0,
        }
        if begun and begun > run["start_ms"] and not run["spent_ms"]:
            view["queue_duration"] = begun - run["start_ms"]
        return view

    def _history(self, run: sqlite3.Row) -> list[dict]:
        """The original run and its repairs; without repairs, the run alone."""
        rows = self._runs.repairs(run["run_id"])
        attempts: dict[int | None, list[int]] = {}
        for task in self._runs.tasks(run["run_id"]):
            attempts.setdefault(task["repair_id"], []).append(task["run_id"])
        items = []
        for row in rows or [None]:
            present = row is rows[-1] if rows else True
            state = run if present else row
            repair = row is not None and row["type"] == "REPAIR"
            item = {
                "type": "REPAIR" if repair else "ORIGINAL",
                "start_time": row["start_ms"] if row else run["start_ms"],
                "end_time": state["end_ms"] or 0,
                "state": _state(state),
                "status": _status(state),
                "task_run_ids": attempts.get(row["repair_id"] if repair else None, []),
            }
            items.append(item | ({"id": row["repair_id"]} if repair else {}))
        return items


def task_view(row: sqlite3.Row, page_url: str) -> dict:
    """One attempt of a task, as the task was when it was made."""
    task = task_with_defaults(json.loads(row["task"]))
    start, end = row["start_ms"] or 0, row["end_ms"] or 0
    return {
        "run_id": row["run_id"],
        "task_key": row["task_key"],
        "attempt_number": row["attempt_number"],
        "state": _state(row),
        "status": _status(row),
        "run_page_url": f"{page_url}#task-{row['run_id']}",
        **{name: task[name] for name in _KEPT if name in task},
        "start_time": start,
        "end_time": end,
        "setup_duration": 0,
        "execution_duration": end - start if end and start else 0,
        "cleanup_duration": 0,
    }


def _state(row: sqlite3.Row) -> dict:
    queued = row["life_cycle"] == "QUEUED"
    state = {
        "life_cycle_state": row["life_cycle"],
        "state_message": _QUEUED if queued else row["message"],
        "user_cancelled_or_timedout": row["result"] in ("CANCELED", "TIMEDOUT"),
    }
    if queued:
        state["queue_reason"] = _QUEUED
    if row["result"]:
        state["result_state"] = row["result"]
    return state


def _status(row: sqlite3.Row) -> dict:
    life = row["life_cycle"]
    if life == "QUEUED":
        details = {"code": "MAX_CONCURRENT_RUNS_REACHED", "message": _QUEUED}
        return {"state": life, "queue_details": details}
    if life not in FINAL:
        return {"state": "WAITING" if life == "WAITING_FOR_RETRY" else life}
    code = row["code"] or _CODES.get(row["result"] or "", "INTERNAL_ERROR")
    details = {
        "code": code,
        "type": _TYPES.get(code, "CLIENT_ERROR"),
        "message": row["message"],
    }
    return {"state": "TERMINATED", "termination_details": details}
