"""The history of statements, newest first, as the query history API lists it."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass

from ..clock import now_ms
from ..errors import bad_request
from ..store import Store
from .statement import StatementRun

STATUSES = {
    "QUEUED": ("PENDING",), "RUNNING": ("RUNNING",), "CANCELED": ("CANCELED",),
    "FAILED": ("FAILED",), "FINISHED": ("SUCCEEDED", "CLOSED"),
}  # fmt: skip
_SHOWN = {state: status for status, states in STATUSES.items() for state in states}
MOST = 1000


@dataclass(frozen=True)
class Wanted:
    """Which statements: of these, where a list is not empty; begun in this time (milliseconds).

    ``user`` None means those of everybody.
    """

    user: str | None = None
    statuses: tuple[str, ...] = ()
    warehouse_ids: tuple[str, ...] = ()
    statement_ids: tuple[str, ...] = ()
    start_ms: int | None = None
    end_ms: int | None = None


def history(
    store: Store, active: list[StatementRun], wanted: Wanted, limit: int, before: int | None
) -> tuple[list[dict], int | None]:
    """Up to ``limit`` statements recorded before number ``before``.

    ``active`` are those that run now; they come on the first page, from memory.
    Returns (query infos, number that the next page begins before or None).
    """
    where, values = _condition(wanted)
    rows = store.rows(
        "SELECT number, id, user, warehouse_id, session_id, client, sql, kind, state, error,"
        " made_ms, started_ms, ended_ms, rows_produced, result_bytes FROM statements"
        f" WHERE {where} AND number < ? ORDER BY number DESC LIMIT ?",
        *values, 2**62 if before is None else before, limit + 1,
    )  # fmt: skip
    shown, more = rows[:limit], len(rows) > limit
    infos = [_of_row(row) for row in shown]
    if before is None:
        running = [run for run in active if _fits(run, wanted)]
        infos = [_of_run(run) for run in reversed(running)] + infos
    return infos, shown[-1]["number"] if more else None


def _condition(wanted: Wanted) -> tuple[str, list]:
    parts, values = ["ended_ms IS NOT NULL"], []
    unknown = set(wanted.statuses) - STATUSES.keys()
    if unknown:
        raise bad_request(f"filter_by.statuses: {sorted(unknown)[0]} is none of {list(STATUSES)}.")
    states = [state for status in wanted.statuses for state in STATUSES[status]]
    for column, allowed in (
        ("state", states),
        ("warehouse_id", wanted.warehouse_ids),
        ("id", wanted.statement_ids),
        ("user", [wanted.user] if wanted.user else ()),
    ):
        if allowed:
            parts.append(f"{column} IN ({', '.join('?' * len(allowed))})")
            values += allowed
    if wanted.start_ms is not None:
        parts.append("made_ms >= ?")
        values.append(wanted.start_ms)
    if wanted.end_ms is not None:
        parts.append("made_ms <= ?")
        values.append(wanted.end_ms)
    return " AND ".join(parts), values


def _fits(run: StatementRun, wanted: Wanted) -> bool:
    return (
        wanted.user in (None, run.order.user)
        and (not wanted.statuses or _SHOWN[run.state] in wanted.statuses)
        and (not wanted.warehouse_ids or run.order.warehouse_id in wanted.warehouse_ids)
        and (not wanted.statement_ids or run.id in wanted.statement_ids)
        and (wanted.start_ms is None or run.made_ms >= wanted.start_ms)
        and (wanted.end_ms is None or run.made_ms <= wanted.end_ms)
    )


def _of_run(run: StatementRun) -> dict:
    order = run.order
    facts = {
        "id": run.id, "user": order.user, "warehouse_id": order.warehouse_id,
        "session_id": order.session_id, "client": order.client, "sql": order.sql[:10_000],
        "kind": run.kind, "state": run.state, "error": None, "made_ms": run.made_ms,
        "started_ms": run.started_ms, "ended_ms": None, "rows_produced": None,
        "result_bytes": None,
    }  # fmt: skip
    return _of_row(facts)


def _of_row(row: sqlite3.Row | dict) -> dict:
    end = row["ended_ms"]
    info = {
        "query_id": row["id"],
        "lookup_key": row["id"],
        "status": _SHOWN[row["state"]],
        "is_final": end is not None,
        "query_text": row["sql"],
        "statement_type": row["kind"],
        "query_start_time_ms": row["made_ms"],
        "duration": (end or now_ms()) - row["made_ms"],
        "warehouse_id": row["warehouse_id"],
        "endpoint_id": row["warehouse_id"],
        "user_name": row["user"],
        "executed_as_user_name": row["user"],
        "client_application": row["client"],
        "plans_state": "IGNORED_SMALL_DURATION",
    }
    if row["session_id"]:
        info["session_id"] = row["session_id"]
    if end is not None:
        info["query_end_time_ms"] = info["execution_end_time_ms"] = end
    if row["rows_produced"] is not None:
        info["rows_produced"] = row["rows_produced"]
    if row["error"]:
        info["error_message"] = json.loads(row["error"])["message"]
    info["metrics"] = _metrics(row)
    return info


def _metrics(row: sqlite3.Row | dict) -> dict:
    """What is measured; the engine does not tell what it read."""
    made, started, end = row["made_ms"], row["started_ms"], row["ended_ms"]
    metrics = {"query_compilation_start_timestamp": made}
    if end is not None:
        metrics["total_time_ms"] = end - made
        if started is not None:
            metrics["execution_time_ms"] = end - started
    if row["rows_produced"] is not None:
        metrics["rows_produced_count"] = row["rows_produced"]
    return metrics
