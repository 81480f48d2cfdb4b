"""What happens to updates: each change of state with the event that tells of it, or neither."""

from __future__ import annotations

import json
import sqlite3

from ..store import Store
from .event_log import EventLog
from .pipeline_store import PipelineStore


class Journal:
    """Joins the states of ``updates`` and the ``events`` in one transaction for each change."""

    def __init__(self, store: Store, updates: PipelineStore, events: EventLog) -> None:
        self._store = store
        self._updates = updates
        self._events = events

    def start(self, pipeline_id: str, request: dict, cause: str, user_name: str) -> sqlite3.Row:
        """Insert an update that waits. Raises ApiError 404, or 409 while another is active."""
        with self._store.transaction() as db:
            update = self._updates.start(db, pipeline_id, request, cause, user_name)
            update_id = update["update_id"]
            self._user_action(db, pipeline_id, update_id, "START", user_name)
            self._events.add(
                pipeline_id, update_id, "create_update",
                f"Update {update_id[:6]} started by {cause}.",
                {"cause": cause, "config": json.loads(update["config"]), "user_name": user_name}
                | request,
                db=db,
            )  # fmt: skip
        return update

    def take(self, update: sqlite3.Row) -> bool:
        """Begin an update that waited. False when it was cancelled meanwhile."""
        with self._store.transaction() as db:
            taken = self._updates.take(db, update["update_id"])
            if taken:
                self._announce(db, update, "CREATED")
        return taken

    def progress(self, update: sqlite3.Row, state: str) -> None:
        """Move a running update on, unless it is being stopped or has ended."""
        with self._store.transaction() as db:
            if self._updates.progress(db, update["update_id"], state):
                self._announce(db, update, state)

    def end(
        self,
        update: sqlite3.Row,
        state: str,
        message: str,
        error: dict | None = None,
        waiting: bool = False,
    ) -> bool:
        """End an update; with ``waiting`` only one that has not begun.

        ``error`` has the shape of ErrorDetail. Returns whether this call ended it.
        """
        if state == "FAILED" and error is None:
            exception = {"class_name": "UpdateFailed", "message": message}
            error = {"fatal": True, "exceptions": [exception]}
        with self._store.transaction() as db:
            ended = self._updates.end(db, update["update_id"], state, message, waiting)
            if ended:
                self._announce(db, update, state, message, error)
        return ended

    def user_action(
        self, pipeline_id: str, update_id: str | None, action: str, user_name: str
    ) -> None:
        """Note what a person or program asked for: CREATE, EDIT, START or STOP."""
        with self._store.transaction() as db:
            self._user_action(db, pipeline_id, update_id, action, user_name)

    def _user_action(
        self,
        db: sqlite3.Connection,
        pipeline_id: str,
        update_id: str | None,
        action: str,
        user_name: str,
    ) -> None:
        self._events.add(
            pipeline_id, update_id, "user_action", f"User {user_name}: {action} of the pipeline.",
            {"action": action, "user_name": user_name}, db=db,
        )  # fmt: skip

    def _announce(
        self,
        db: sqlite3.Connection,
        update: sqlite3.Row,
        state: str,
        message: str = "",
        error: dict | None = None,
    ) -> None:
        text = f"Update {update['update_id'][:6]} is {state}." + (f" {message}" if message else "")
        self._events.add(
            update["pipeline_id"], update["update_id"], "update_progress", text, {"state": state},
            "ERROR" if state == "FAILED" else "INFO", error, db=db,
        )  # fmt: skip
