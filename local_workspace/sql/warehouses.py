"""SQL warehouses: one, named ``local``, standing for the engine of this machine.

Its states say whether statements are taken. The engine itself goes on: jobs use it too. Sizes are
kept and shown, and change nothing about this machine.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace

from ..access.principals import USER
from ..clock import now_ms
from ..engine.interface import Cancelled, EngineUnavailable
from ..errors import ApiError, bad_request, not_found
from ..store import Store

WAREHOUSE_ID = "local"
SIZES = ("2X-Small", "X-Small", "Small", "Medium", "Large", "X-Large", "2X-Large", "3X-Large",
         "4X-Large", "5X-Large")  # fmt: skip
# Statements that are cancelled by a stop end within this time, or are given up.
STOP_SECONDS = 30
# A cancelled statement that waits for its warehouse notices it within this time.
GIVE_UP_SECONDS = 0.2

SCHEMA = """
CREATE TABLE IF NOT EXISTS warehouses (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, state TEXT NOT NULL, auto_start INTEGER NOT NULL,
    cluster_size TEXT NOT NULL DEFAULT '2X-Small', auto_stop_mins INTEGER NOT NULL DEFAULT 0,
    min_num_clusters INTEGER NOT NULL DEFAULT 1, max_num_clusters INTEGER NOT NULL DEFAULT 1,
    warehouse_type TEXT NOT NULL DEFAULT 'PRO', start_seconds REAL NOT NULL DEFAULT 0);
"""


@dataclass(frozen=True)
class Warehouse:
    """``state`` is RUNNING, STARTING, STOPPING or STOPPED; a start takes ``start_seconds``.

    ``auto_start`` says whether a statement starts it; without statements for ``auto_stop_mins``
    minutes it stops (0: never).
    """

    id: str
    name: str
    state: str
    auto_start: bool
    cluster_size: str
    auto_stop_mins: int
    min_num_clusters: int
    max_num_clusters: int
    warehouse_type: str
    start_seconds: float


class Warehouses:
    """The warehouse, in memory and in the store. ``active`` tells how many statements it has."""

    def __init__(self, store: Store) -> None:
        self._store = store
        store.declare(SCHEMA)
        with store.transaction() as db:
            db.execute(
                "INSERT OR IGNORE INTO warehouses (id, name, state, auto_start)"
                " VALUES (?, 'Local warehouse', 'RUNNING', 1)",
                (WAREHOUSE_ID,),
            )
            # A start or a stop that was under way when the process ended does not go on by itself.
            db.execute("UPDATE warehouses SET state = 'STOPPED' WHERE state != 'RUNNING'")
        row = store.row("SELECT * FROM warehouses WHERE id = ?", WAREHOUSE_ID)
        known = {one.name: row[one.name] for one in fields(Warehouse)}
        self._known = Warehouse(**known | {"auto_start": bool(row["auto_start"])})
        self._changed = threading.Condition()
        self._used_ms = now_ms()
        self._ready = 0.0
        self.active = lambda: 0

    def all(self) -> list[Warehouse]:
        return [self.get(WAREHOUSE_ID)]

    def get(self, warehouse_id: str) -> Warehouse:
        """The warehouse in its state of now. Raises ApiError 404."""
        if warehouse_id != WAREHOUSE_ID:
            raise not_found(f"SQL warehouse {warehouse_id} does not exist.")
        with self._changed:
            self._advance()
            return self._known

    def configure(self, auto_start: bool | None, start_seconds: float | None) -> None:
        """What a stopped warehouse does when a statement comes, and how long a start takes."""
        given = {"auto_start": auto_start, "start_seconds": start_seconds}
        with self._changed:
            self._set(**{name: value for name, value in given.items() if value is not None})

    def start_seconds(self) -> float:
        return self._known.start_seconds

    def edit(self, warehouse_id: str, changes: dict) -> None:
        """Change name, size, cluster counts or auto_stop_mins. Raises ApiError 400, 404."""
        wanted = replace(self.get(warehouse_id), **changes)
        _check(wanted)
        with self._changed:
            self._set(**changes)

    def start(self, warehouse_id: str) -> None:
        """Begin to start; returns at once, the state is STARTING for ``start_seconds``."""
        self.get(warehouse_id)
        with self._changed:
            if self._known.state in ("STOPPED", "STOPPING"):
                self._ready = time.monotonic() + self._known.start_seconds
                self._set(state="STARTING")
                self._advance()

    def stop(self, warehouse_id: str) -> None:
        """Begin to stop; the state is STOPPING while statements are still ending."""
        self.get(warehouse_id)
        with self._changed:
            if self._known.state != "STOPPED":
                self._ready = time.monotonic() + STOP_SECONDS
                self._set(state="STOPPING")
                self._advance()

    def admit(self, warehouse_id: str) -> None:
        """Called for each new statement: start a stopped warehouse, or raise ApiError 400."""
        found = self.get(warehouse_id)
        self._used_ms = now_ms()
        if found.state in ("RUNNING", "STARTING"):
            return
        if not found.auto_start:
            raise ApiError(
                400,
                "INVALID_STATE",
                f"Warehouse {warehouse_id} is stopped and does not start by itself: start it.",
            )
        self.start(warehouse_id)

    def wait_running(self, given_up: Callable[[], bool]) -> None:
        """Block a statement until its warehouse runs.

        Raises EngineUnavailable if it stops, Cancelled once the statement is ``given_up``.
        """
        with self._changed:
            while True:
                if given_up():
                    raise Cancelled
                self._advance()
                if self._known.state == "RUNNING":
                    return
                if self._known.state != "STARTING":
                    raise EngineUnavailable("The warehouse was stopped. SQLSTATE: 08000")
                self._changed.wait(min(max(self._ready - time.monotonic(), 0.01), GIVE_UP_SECONDS))

    def _advance(self) -> None:
        """Make the changes of state that time brings."""
        state, now = self._known.state, time.monotonic()
        if state == "STARTING" and now >= self._ready:
            self._used_ms = now_ms()
            self._set(state="RUNNING")
        elif state == "STOPPING" and (now >= self._ready or not self.active()):
            self._set(state="STOPPED")
        elif state == "RUNNING" and self._known.auto_stop_mins:
            idle_ms = now_ms() - self._used_ms
            if idle_ms > self._known.auto_stop_mins * 60_000 and not self.active():
                self._set(state="STOPPED")

    def _set(self, **changes) -> None:
        if not changes:
            return
        self._known = replace(self._known, **changes)
        names = ", ".join(f"{name} = :{name}" for name in changes)
        with self._store.transaction() as db:
            db.execute(f"UPDATE warehouses SET {names} WHERE id = :id", asdict(self._known))
        self._changed.notify_all()


def describe(warehouse: Warehouse, host: str, sessions: int) -> dict:
    """A warehouse as the API shows it. ``host`` is the workspace's URL."""
    running = warehouse.state == "RUNNING"
    scheme, _, place = host.partition("://")
    name, _, port = place.rpartition(":")
    path = f"/sql/1.0/warehouses/{warehouse.id}"
    secure = int(scheme == "https")
    return {
        "id": warehouse.id,
        "name": warehouse.name,
        "state": warehouse.state,
        "cluster_size": warehouse.cluster_size,
        "warehouse_type": warehouse.warehouse_type,
        "enable_photon": False,
        "enable_serverless_compute": False,
        "auto_stop_mins": warehouse.auto_stop_mins,
        "min_num_clusters": warehouse.min_num_clusters,
        "max_num_clusters": warehouse.max_num_clusters,
        "num_clusters": int(running),
        "num_active_sessions": sessions,
        "creator_name": USER,
        "spot_instance_policy": "COST_OPTIMIZED",
        "health": {"status": "HEALTHY"} if running else {},
        "odbc_params": {"hostname": name, "port": int(port), "protocol": scheme, "path": path},
        "jdbc_url": (
            f"jdbc:databricks://{place}/default;transportMode=http;ssl={secure};AuthMech=3;"
            f"httpPath={path};"
        ),
    }


def _check(wanted: Warehouse) -> None:
    if not wanted.name.strip() or len(wanted.name) > 99:
        raise bad_request("name: between 1 and 99 characters.")
    if wanted.cluster_size not in SIZES:
        raise bad_request(f"cluster_size: one of {', '.join(SIZES)}.")
    if wanted.auto_stop_mins and wanted.auto_stop_mins < 10:
        raise bad_request("auto_stop_mins: 0 (never) or at least 10.")
    if not 1 <= wanted.min_num_clusters <= min(wanted.max_num_clusters, 30):
        raise bad_request("min_num_clusters: between 1 and max_num_clusters, and at most 30.")
    if wanted.max_num_clusters > 40:
        raise bad_request("max_num_clusters: at most 40.")
