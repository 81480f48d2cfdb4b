"""SQL sessions: what a connection keeps between its statements (catalog, schema, settings).

A session is a row in the store, so that a client's connection outlives a restart of the workspace.
"""

from __future__ import annotations

import json
import threading
import uuid
from dataclasses import dataclass, field

from ..access.principals import USER
from ..clock import now_ms
from ..engine.catalog import Catalog, CatalogError
from ..errors import bad_request, not_found
from ..store import Store
from .session_settings import checked_setting
from .warehouses import Warehouses

IDLE_SECONDS = 8 * 3600
KEEP_SESSIONS = 10_000

SCHEMA = """
CREATE TABLE IF NOT EXISTS sql_sessions (
    id TEXT PRIMARY KEY, warehouse_id TEXT NOT NULL, user TEXT NOT NULL, catalog TEXT NOT NULL,
    schema TEXT NOT NULL, confs TEXT NOT NULL);
"""


@dataclass
class Session:
    """One connection: where unqualified names are looked up, and its settings.

    ``confs`` holds only what was set, by upper-case name. ``used_ms`` is the time of its last
    statement.
    """

    id: str
    warehouse_id: str
    user: str
    catalog: str
    schema: str
    confs: dict[str, str] = field(default_factory=dict)
    used_ms: int = 0


class Sessions:
    """Sessions by id. One that was idle for ``idle_seconds`` is closed."""

    def __init__(
        self,
        store: Store,
        warehouses: Warehouses,
        catalog: Catalog,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self._store = store
        self._warehouses = warehouses
        self._catalog = catalog
        self._idle_ms = idle_seconds * 1000
        self._lock = threading.Lock()
        store.declare(SCHEMA)
        # Nobody could use a session while the workspace was down: its idle time starts anew.
        self._open = {
            row["id"]: Session(**dict(row) | {"confs": json.loads(row["confs"])}, used_ms=now_ms())
            for row in store.rows("SELECT * FROM sql_sessions")
        }

    def open(
        self,
        warehouse_id: str,
        catalog: str | None = None,
        schema: str | None = None,
        confs: dict[str, str] | None = None,
        user: str = USER,
    ) -> Session:
        """Open a session. Raises ApiError: 404 for the warehouse, 400 for names and settings."""
        self._warehouses.get(warehouse_id)
        settings = dict(checked_setting(name, text) for name, text in (confs or {}).items())
        place = (catalog or self._catalog.default, schema or "default")
        try:
            place = self.checked_place(*place)
        except CatalogError as error:
            raise bad_request(str(error)) from error
        session = Session(uuid.uuid4().hex, warehouse_id, user, *place, settings, now_ms())
        self._expire()
        with self._lock:
            self._open[session.id] = session
        self._store.execute(
            "INSERT INTO sql_sessions (id, warehouse_id, user, catalog, schema, confs)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            session.id, warehouse_id, user, *place, json.dumps(settings),
        )  # fmt: skip
        return session

    def get(self, session_id: str, user: str | None = None) -> Session:
        """The session, now in use. Raises ApiError 404 if it is unknown, idle or of another."""
        self._expire()
        with self._lock:
            session = self._open.get(session_id)
            if session is not None and user in (None, session.user):
                session.used_ms = now_ms()
                return session
        raise not_found(f"SQL session {session_id} does not exist or was idle for too long.")

    def close(self, session_id: str, user: str | None = None) -> None:
        """Close a session. Raises ApiError 404 if there is none of this id."""
        self._forget([self.get(session_id, user).id])

    def count(self, warehouse_id: str) -> int:
        """How many sessions a warehouse has."""
        with self._lock:
            return sum(one.warehouse_id == warehouse_id for one in self._open.values())

    def use(self, session: Session, catalog: str, schema: str) -> None:
        """Change where unqualified names are looked up. Raises CatalogError."""
        session.catalog, session.schema = self.checked_place(catalog, schema)
        self._save(session)

    def configure(self, session: Session, confs: dict[str, str]) -> None:
        """Replace the settings by ``confs``, whose names and values were checked."""
        session.confs = confs
        self._save(session)

    def checked_place(self, catalog: str, schema: str) -> tuple[str, str]:
        """Lower-case names of a schema that exists. Raises CatalogError."""
        catalog, schema = catalog.lower(), schema.lower()
        if schema == "default":  # every catalog has one, with or without a folder
            self._catalog.schemas(catalog)
        else:
            self._catalog.schema_folder(catalog, schema)
        return catalog, schema

    def _save(self, session: Session) -> None:
        self._store.execute(
            "UPDATE sql_sessions SET catalog = ?, schema = ?, confs = ? WHERE id = ?",
            session.catalog, session.schema, json.dumps(session.confs), session.id,
        )  # fmt: skip

    def _expire(self) -> None:
        limit = now_ms() - self._idle_ms
        with self._lock:
            idle = [session.id for session in self._open.values() if session.used_ms < limit]
            surplus = len(self._open) - len(idle) - KEEP_SESSIONS
            if surplus > 0:
                oldest = sorted(self._open.values(), key=lambda session: session.used_ms)
                idle += [session.id for session in oldest[len(idle) : len(idle) + surplus]]
        if idle:
            self._forget(idle)

    def _forget(self, ids: list[str]) -> None:
        with self._lock:
            for session_id in ids:
                self._open.pop(session_id, None)
        with self._store.transaction() as db:
            db.executemany("DELETE FROM sql_sessions WHERE id = ?", [(one,) for one in ids])
