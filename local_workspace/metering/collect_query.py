"""Rows of ``system.query.history``: each statement once it has ended."""

from __future__ import annotations

import json
import sqlite3

from ..access.principals import OWNER
from .outbox import mark, marked, put
from .place import Place

TARGET = "query.history"
_COLUMNS = (
    "number, id, user, warehouse_id, session_id, client, sql, kind, state, error, made_ms,"
    " started_ms, ended_ms, rows_produced"
)


def history(db: sqlite3.Connection, place: Place) -> None:
    """Statements end in another order than they began.

    ``upto`` marks the number up to which all are in the table; those beyond are marked one by one
    until the others have ended too.
    """
    upto = int(marked(db, TARGET, "upto", "0"))
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM statements WHERE number > ? ORDER BY number", (upto,)
    ).fetchall()
    done = {
        row["key"]
        for row in db.execute("SELECT key FROM system_marks WHERE source = ?", (f"{TARGET}.done",))
    }
    users = dict(db.execute("SELECT client_id, id FROM service_principals").fetchall())
    fresh = [row for row in rows if row["ended_ms"] is not None and row["id"] not in done]
    put(db, TARGET, [_row(row, place, users) for row in fresh])
    done |= {row["id"] for row in fresh}
    for row in rows:
        if row["id"] not in done:
            break
        upto = row["number"]
        done.discard(row["id"])
    mark(db, TARGET, "upto", str(upto))
    db.execute("DELETE FROM system_marks WHERE source = ?", (f"{TARGET}.done",))
    for key in done:
        mark(db, f"{TARGET}.done", key, "put")


def _row(row: sqlite3.Row, place: Place, users: dict[str, int]) -> dict:
    started = row["started_ms"] or row["ended_ms"]
    user_id = OWNER.id if row["user"] == OWNER.user_name else users.get(row["user"])
    error = json.loads(row["error"]) if row["error"] else {}
    return place.columns | {
        "statement_id": row["id"],
        "session_id": row["session_id"],
        "execution_status": _status(row),
        "compute": {"type": "WAREHOUSE", "warehouse_id": row["warehouse_id"]},
        "executed_by_user_id": None if user_id is None else str(user_id),
        "executed_by": row["user"],
        "statement_text": row["sql"],
        "statement_type": row["kind"],
        "error_message": error.get("message"),
        "client_application": row["client"],
        "total_duration_ms": row["ended_ms"] - row["made_ms"],
        "waiting_for_compute_duration_ms": started - row["made_ms"],
        "execution_duration_ms": row["ended_ms"] - started,
        "start_time": row["made_ms"],
        "end_time": row["ended_ms"],
        "update_time": row["ended_ms"],
        "produced_rows": row["rows_produced"],
        "from_result_cache": False,
    }


def _status(row: sqlite3.Row) -> str:
    """One that was closed after its end says CLOSED; what it was, its record still tells."""
    if row["state"] == "CANCELED":
        return "CANCELED"
    if row["error"]:
        return "FAILED"
    return "FINISHED" if row["rows_produced"] is not None else "CANCELED"
