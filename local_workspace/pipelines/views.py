"""Pipelines and updates in the shapes of the REST contract."""

from __future__ import annotations

import json
import sqlite3

from .event_log import timestamp

LATEST_UPDATES = 5
# The state of a pipeline that has an active update, by the update's state.
_STATES = {
    "RESETTING": "RESETTING", "SETTING_UP_TABLES": "RUNNING", "RUNNING": "RUNNING",
    "STOPPING": "STOPPING",
}  # fmt: skip


def _update_state(update: sqlite3.Row) -> dict:
    return {
        "update_id": update["update_id"],
        "state": update["state"],
        "creation_time": timestamp(update["created_ms"]),
    }


def state_view(pipeline: sqlite3.Row, updates: list[sqlite3.Row]) -> dict:
    """A pipeline as ``list`` shows it; ``updates``: its latest ones, newest first."""
    latest = updates[0] if updates else None
    active = latest is not None and latest["ended_ms"] is None
    finished = [row for row in updates if row["ended_ms"] is not None]
    view = {
        "pipeline_id": pipeline["pipeline_id"],
        "name": pipeline["name"],
        "state": _STATES.get(latest["state"], "STARTING") if active else "IDLE",
        "creator_user_name": pipeline["creator"],
        "run_as_user_name": pipeline["creator"],
    }
    if updates:
        view["latest_updates"] = [_update_state(row) for row in updates]
    if finished:
        failed = finished[0]["state"] == "FAILED"
        view["health"] = "UNHEALTHY" if failed else "HEALTHY"
    return view


def pipeline_view(pipeline: sqlite3.Row, updates: list[sqlite3.Row]) -> dict:
    """A pipeline as ``get`` shows it: with the spec as it was sent, and its id."""
    spec = json.loads(pipeline["spec"])
    legacy = bool(spec.get("target")) and not spec.get("schema")
    view = state_view(pipeline, updates) | {
        "spec": spec | {"id": pipeline["pipeline_id"]},
        "last_modified": pipeline["modified_ms"],
        "effective_publishing_mode": (
            "LEGACY_PUBLISHING_MODE" if legacy else "DEFAULT_PUBLISHING_MODE"
        ),
    }
    if pipeline["run_as"]:
        view["run_as"] = json.loads(pipeline["run_as"])
    if updates and updates[0]["state"] == "FAILED":
        view["cause"] = updates[0]["message"]
    return view


def update_view(update: sqlite3.Row, with_config: bool = True) -> dict:
    """An update; ``with_config`` is false in lists."""
    request = json.loads(update["request"])
    view = {
        "pipeline_id": update["pipeline_id"],
        "update_id": update["update_id"],
        "state": update["state"],
        "cause": update["cause"],
        "creation_time": update["created_ms"],
        "full_refresh": request["full_refresh"],
        "validate_only": request["validate_only"],
    }
    for name in ("refresh_selection", "full_refresh_selection"):
        if request[name]:
            view[name] = request[name]
    if with_config:
        view["config"] = json.loads(update["config"]) | {"id": update["pipeline_id"]}
    return view
