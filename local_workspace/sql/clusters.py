"""Clusters: one, which stands for the engine and the job processes of this machine.

Its states are kept and shown as the API has them. They open and close nothing: runs and statements
do not ask for a cluster here.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable

import psutil

from ..access.principals import USER
from ..clock import now_ms
from ..errors import ApiError, bad_request
from ..store import Store

CLUSTER_ID = "local"
NODE_TYPE = "local"
SPARK_VERSION = "0.7.2-scala2.12"
SPARK_NAME = "Sail 0.7.2, Spark Connect 4.2 (this machine)"
KEEP_EVENTS = 10_000

SCHEMA = """
CREATE TABLE IF NOT EXISTS clusters (
    id TEXT PRIMARY KEY, state TEXT NOT NULL, workers INTEGER NOT NULL, start_ms INTEGER NOT NULL,
    terminated_ms INTEGER);
CREATE TABLE IF NOT EXISTS cluster_events (
    number INTEGER PRIMARY KEY AUTOINCREMENT, cluster_id TEXT NOT NULL, made_ms INTEGER NOT NULL,
    type TEXT NOT NULL, user TEXT NOT NULL);
"""


class Clusters:
    """States PENDING, RUNNING, RESIZING, TERMINATED. ``start_seconds`` is what a start takes."""

    def __init__(self, store: Store, start_seconds: Callable[[], float]) -> None:
        self._store = store
        self._start_seconds = start_seconds
        self._lock = threading.Lock()
        self._ready = 0.0
        store.declare(SCHEMA)
        with store.transaction() as db:
            db.execute(
                "INSERT OR IGNORE INTO clusters (id, state, workers, start_ms)"
                " VALUES (?, 'RUNNING', 0, ?)",
                (CLUSTER_ID, now_ms()),
            )

    def all(self) -> list[dict]:
        return [self.get(CLUSTER_ID)]

    def get(self, cluster_id: str) -> dict:
        """Raises ApiError 400, as the service does for a cluster that is not there."""
        with self._lock:
            return _describe(self._row(cluster_id))

    def start(self, cluster_id: str, user: str) -> None:
        """Raises ApiError 400 INVALID_STATE unless the cluster is terminated."""
        with self._lock:
            row = self._row(cluster_id)
            _require(row, "TERMINATED")
            self._change("PENDING", "STARTING", user, start_ms=now_ms())
            self._row(cluster_id)

    def resize(self, cluster_id: str, workers: int, user: str) -> None:
        """Raises ApiError 400 INVALID_STATE unless the cluster runs."""
        with self._lock:
            _require(self._row(cluster_id), "RUNNING")
            self._change("RESIZING", "RESIZING", user, workers=workers)
            self._row(cluster_id)

    def terminate(self, cluster_id: str, user: str) -> None:
        """Without effect on a terminated cluster."""
        with self._lock:
            if self._row(cluster_id)["state"] != "TERMINATED":
                self._change("TERMINATED", "TERMINATING", user, terminated_ms=now_ms())

    def events(self, cluster_id: str, limit: int, offset: int, newest: bool) -> tuple[list, int]:
        """(events, how many there are in all)."""
        self.get(cluster_id)
        order = "DESC" if newest else "ASC"
        rows = self._store.rows(
            "SELECT * FROM cluster_events WHERE cluster_id = ?"
            f" ORDER BY number {order} LIMIT ? OFFSET ?",
            cluster_id, limit, offset,
        )  # fmt: skip
        total = self._store.row(
            "SELECT count(*) AS n FROM cluster_events WHERE cluster_id = ?", cluster_id
        )
        return [_event(row) for row in rows], total["n"]

    def _row(self, cluster_id: str) -> sqlite3.Row:
        """The cluster, after the changes of state that time brings."""
        row = self._store.row("SELECT * FROM clusters WHERE id = ?", cluster_id)
        if row is None:
            raise bad_request(f"Cluster {cluster_id} does not exist")
        if row["state"] in ("PENDING", "RESIZING") and time.monotonic() >= self._ready:
            self._change("RUNNING", "RUNNING", USER)
            return self._store.row("SELECT * FROM clusters WHERE id = ?", cluster_id)
        return row

    def _change(self, state: str, event: str, user: str, **values: int) -> None:
        self._ready = time.monotonic() + self._start_seconds()
        names = "".join(f", {name} = :{name}" for name in values)
        with self._store.transaction() as db:
            db.execute(
                f"UPDATE clusters SET state = :state{names} WHERE id = :id",
                values | {"state": state, "id": CLUSTER_ID},
            )
            db.execute(
                "INSERT INTO cluster_events (cluster_id, made_ms, type, user) VALUES (?, ?, ?, ?)",
                (CLUSTER_ID, now_ms(), event, user),
            )
            db.execute(
                "DELETE FROM cluster_events WHERE number <="
                " (SELECT max(number) FROM cluster_events) - ?",
                (KEEP_EVENTS,),
            )


def node_type() -> dict:
    """This machine as the one node type."""
    return {
        "node_type_id": NODE_TYPE,
        "instance_type_id": NODE_TYPE,
        "description": "this machine",
        "category": "General Purpose",
        "num_cores": float(os.cpu_count() or 1),
        "memory_mb": psutil.virtual_memory().total // 2**20,
        "num_gpus": 0,
        "is_deprecated": False,
    }


def _require(row: sqlite3.Row, state: str) -> None:
    if row["state"] != state:
        found = row["state"].capitalize()
        raise ApiError(400, "INVALID_STATE", f"Cluster {row['id']} is in unexpected state {found}.")


def _event(row: sqlite3.Row) -> dict:
    return {
        "cluster_id": row["cluster_id"],
        "timestamp": row["made_ms"],
        "type": row["type"],
        "details": {"user": row["user"]},
    }


def _describe(row: sqlite3.Row) -> dict:
    cluster = {
        "cluster_id": row["id"],
        "cluster_name": "Local engine",
        "cluster_source": "API",
        "creator_user_name": USER,
        "state": row["state"],
        "state_message": "",
        "spark_version": SPARK_VERSION,
        "node_type_id": NODE_TYPE,
        "driver_node_type_id": NODE_TYPE,
        "num_workers": row["workers"],
        "autotermination_minutes": 0,
        "start_time": row["start_ms"],
    }
    if row["state"] == "TERMINATED":
        cluster["terminated_time"] = row["terminated_ms"]
        cluster["termination_reason"] = {"code": "USER_REQUEST", "type": "SUCCESS"}
        cluster["state_message"] = "Terminated by a user."
    else:
        machine = node_type()
        cluster["cluster_cores"] = machine["num_cores"]
        cluster["cluster_memory_mb"] = machine["memory_mb"]
    return cluster
