"""SQL warehouses: one, named ``local``, standing for the engine of this machine."""

from __future__ import annotations

import threading
import time

from ..engine.interface import EngineUnavailable
from ..errors import ApiError, not_found
from ..store import Store

WAREHOUSE_ID = "local"
WAREHOUSE_NAME = "Local warehouse"

SCHEMA = """
CREATE TABLE IF NOT EXISTS warehouses (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, state TEXT NOT NULL, auto_start INTEGER NOT NULL);
"""


class Warehouses:
    """States RUNNING, STARTING, STOPPED. A stopped warehouse starts on a statement or refuses."""

    def __init__(self, store: Store) -> None:
        self._store = store
        store.declare(SCHEMA)
        self._started = threading.Condition()
        self.start_seconds = 0.0
        with store.transaction() as db:
            db.execute(
                "INSERT OR IGNORE INTO warehouses (id, name, state, auto_start)"
                " VALUES (?, ?, ?, 1)",
                (WAREHOUSE_ID, WAREHOUSE_NAME, "RUNNING"),
            )
            # A start that was under way when the process ended will not go on by itself.
            db.execute("UPDATE warehouses SET state = 'STOPPED' WHERE state = 'STARTING'")

    def all(self) -> list[dict]:
        return [self._describe(row) for row in self._store.rows("SELECT * FROM warehouses")]

    def get(self, warehouse_id: str) -> dict:
        row = self._store.row("SELECT * FROM warehouses WHERE id = ?", warehouse_id)
        if row is None:
            raise not_found(f"SQL warehouse {warehouse_id} does not exist.")
        return self._describe(row)

    def configure(self, auto_start: bool | None, start_seconds: float | None) -> None:
        if auto_start is not None:
            self._store.execute("UPDATE warehouses SET auto_start = ?", int(auto_start))
        if start_seconds is not None:
            self.start_seconds = start_seconds

    def start(self, warehouse_id: str) -> None:
        """Begin to start; returns at once, the state is STARTING for ``start_seconds``."""
        self.get(warehouse_id)
        changed = self._store.execute(
            "UPDATE warehouses SET state = 'STARTING' WHERE id = ? AND state = 'STOPPED'",
            warehouse_id,
        )
        if changed:
            timer = threading.Timer(self.start_seconds, self._finish_start, [warehouse_id])
            timer.daemon = True
            timer.start()

    def stop(self, warehouse_id: str) -> None:
        self.get(warehouse_id)
        self._store.execute("UPDATE warehouses SET state = 'STOPPED' WHERE id = ?", warehouse_id)
        with self._started:
            self._started.notify_all()

    def admit(self, warehouse_id: str) -> None:
        """Called for each new statement: start a stopped warehouse, or raise ApiError 400."""
        if self.get(warehouse_id)["state"] != "STOPPED":
            return
        row = self._store.row("SELECT auto_start FROM warehouses WHERE id = ?", warehouse_id)
        if not row["auto_start"]:
            raise ApiError(
                400,
                "INVALID_STATE",
                f"Warehouse {warehouse_id} is stopped and does not start by itself: start it.",
            )
        self.start(warehouse_id)

    def wait_running(self, warehouse_id: str) -> None:
        """Block a statement until its warehouse runs. Raises EngineUnavailable if it stops."""
        deadline = time.monotonic() + self.start_seconds + 30
        with self._started:
            while True:
                state = self.get(warehouse_id)["state"]
                if state == "RUNNING":
                    return
                if state == "STOPPED" or time.monotonic() > deadline:
                    raise EngineUnavailable("The warehouse was stopped. SQLSTATE: 08000")
                self._started.wait(1)

    def _finish_start(self, warehouse_id: str) -> None:
        self._store.execute(
            "UPDATE warehouses SET state = 'RUNNING' WHERE id = ? AND state = 'STARTING'",
            warehouse_id,
        )
        with self._started:
            self._started.notify_all()

    @staticmethod
    def _describe(row) -> dict:
        return {
            "id": row["id"],
            "name": row["name"],
            "state": row["state"],
            "cluster_size": "2X-Small",
            "warehouse_type": "PRO",
            "enable_serverless_compute": False,
            "auto_stop_mins": 0,
            "min_num_clusters": 1,
            "max_num_clusters": 1,
            "num_clusters": 1 if row["state"] == "RUNNING" else 0,
        }
