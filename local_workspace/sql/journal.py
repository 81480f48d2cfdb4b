"""Writes to the store from a thread of its own: many in one transaction, each told when done."""

from __future__ import annotations

import logging
import queue
import sqlite3
import threading
from collections.abc import Callable

from ..store import Store

log = logging.getLogger("local_workspace.journal")

BATCH = 100

Write = Callable[[sqlite3.Connection], None]
Done = Callable[[], None]


class Journal:
    """``put`` returns at once; ``done`` is called once the write is in the store."""

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._queue: queue.SimpleQueue[tuple[Write, Done] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, write: Write, done: Done = lambda: None) -> None:
        self._queue.put((write, done))

    def close(self) -> None:
        """Write what is queued, then end."""
        self._queue.put(None)
        self._thread.join(10)

    def _run(self) -> None:
        more = True
        while more:
            entries = [self._queue.get()]
            while len(entries) < BATCH and not self._queue.empty():
                entries.append(self._queue.get())
            more = None not in entries
            self._write([entry for entry in entries if entry is not None])

    def _write(self, entries: list[tuple[Write, Done]]) -> None:
        try:
            with self._store.transaction() as db:
                for write, _ in entries:
                    write(db)
        except sqlite3.Error:
            # A full disk, say. Who waits must not wait for ever; the state is known in memory.
            log.exception("%d records could not be written", len(entries))
        for _, done in entries:
            try:
                done()
            except Exception:
                log.exception("a record's follow-up failed")
