"""The parameters of a task as its attempt gets them: overrides, job parameters, references.

Job parameters are handed down to tasks with named parameters (wheels that have some, SQL files,
started jobs) and win over the task's own, as the service documents it.
"""

from __future__ import annotations

import sqlite3

from . import references
from .job_spec import job_parameters, kind_of
from .references import Path
from .run_store import request_of, settings_of

# Which parameter of run-now replaces which part of a task, by kind.
_OVERRIDES = {
    "spark_python_task": {"python_params": "parameters"},
    "python_wheel_task": {"python_params": "parameters", "python_named_params": "named_parameters"},
    "sql_task": {"sql_params": "parameters"},
}


def run_values(run: sqlite3.Row, repairs: int, org_id: str, host: str) -> dict[Path, str]:
    """What references mean in the whole run, without its tasks."""
    settings = settings_of(run)
    values = references.start_times(run["start_ms"]) | {
        ("job", "id"): str(run["job_id"]),
        ("job", "run_id"): str(run["run_id"]),
        ("job", "name"): settings.get("name") or settings.get("run_name") or "Untitled",
        ("job", "repair_count"): str(repairs),
        ("job", "trigger", "type"): run["cause"].lower(),
        ("workspace", "id"): org_id,
        ("workspace", "url"): host.partition("://")[2],
    }
    for name, text in job_parameters(settings, request_of(run)).items():
        values["job", "parameters", name] = references.fill(text, values)
    return values


def resolved(task: dict, run: sqlite3.Row, values: dict[Path, str]) -> dict:
    """The task with the parameters that its attempt gets."""
    kind, request = kind_of(task), request_of(run)
    payload = dict(task[kind])
    for override, field in _OVERRIDES.get(kind, {}).items():
        if request.get(override) is not None:
            payload[field] = request[override]
    if kind == "pipeline_task":
        payload |= request.get("pipeline_params") or {}
    payload = references.fill(payload, values)
    handed = handed_down(values)
    if kind == "sql_task":
        payload["parameters"] = (payload.get("parameters") or {}) | handed
    elif kind == "python_wheel_task" and payload.get("named_parameters"):
        payload["named_parameters"] |= handed
    return task | {kind: payload}


def handed_down(values: dict[Path, str]) -> dict[str, str]:
    """The job's parameters with their values."""
    return {path[2]: text for path, text in values.items() if path[:2] == ("job", "parameters")}
