"""The catalog ``system``: Delta tables that are filled from the store, by delta-rs alone."""

from __future__ import annotations

import datetime as dt
import logging
import threading
from pathlib import Path

from ..store import Store
from .collectors import COLLECTORS, Place
from .outbox import Outbox
from .schemas import REPLACED, TABLES, to_arrow

log = logging.getLogger("local_workspace.metering")

CATALOG = "system"
APP_ID = "local-workspace-metering"
BATCH_ROWS = 20_000
EVERY_SECONDS = 180.0
COMPACT_FILES = 40
# No statistics of columns: where all values of a file are the same, Sail 0.7.2 takes the value from
# them instead, and they hold a decimal as a float.
PROPERTIES = {"delta.dataSkippingNumIndexedCols": "0"}
# Long enough for any statement that still reads a file which a compaction replaced.
KEEP_REPLACED = dt.timedelta(hours=6)


class SystemTables:
    """Rows reach a table once: the number of the last one stands in its Delta commit.

    ``refresh`` may be called by any thread; one works at a time.
    """

    def __init__(self, store: Store, tables: Path, place: Place) -> None:
        self._store = store
        self._root = tables / CATALOG
        self._place = place
        self._outbox = Outbox(store)
        self._lock = threading.Lock()
        self._begun = False
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Make the tables of a new workspace, and refresh them every few minutes from then on."""
        self._thread = threading.Thread(target=self._run, name="system-tables", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Leave the tables as they are now: what is still in the store is written next time."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(30)

    def refresh(self) -> None:
        """Bring the tables up to what has ended by now."""
        with self._lock:
            self._create()
            if not self._begun:
                self._begin()
            with self._store.transaction() as db:
                for collect in COLLECTORS:
                    collect(db, self._place)
            for target in self._outbox.waiting():
                self._write(target)

    def _run(self) -> None:
        wait = 0.0
        while not self._stopping.wait(wait):
            wait = EVERY_SECONDS
            try:
                self.refresh()
            except Exception:
                # Nothing is lost: the rows wait in the store for the next time.
                log.exception("the system tables could not be refreshed")

    def _folder(self, target: str) -> Path:
        schema, table = target.split(".")
        return self._root / schema / table

    def _create(self) -> None:
        for target, schema in TABLES.items():
            folder = self._folder(target)
            if not (folder / "_delta_log" / f"{0:020}.json").exists():
                from deltalake import DeltaTable, Schema

                folder.mkdir(parents=True, exist_ok=True)
                columns = Schema.from_arrow(schema)
                DeltaTable.create(folder, columns, mode="ignore", configuration=PROPERTIES)

    def _begin(self) -> None:
        """Forget the rows that the tables have; number new ones after them."""
        from deltalake import DeltaTable

        for target in TABLES:
            known = DeltaTable(self._folder(target)).transaction_version(APP_ID)
            if known is not None:
                self._outbox.written(target, known)
                self._outbox.number_after(known)
        self._begun = True

    def _write(self, target: str) -> None:
        from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake

        table = DeltaTable(self._folder(target))
        while batch := self._outbox.batch(target, BATCH_ROWS):
            last = batch[-1][0]
            rows = to_arrow(target, [body for _, body in batch])
            once = CommitProperties(app_transactions=[Transaction(APP_ID, last)])
            mode = "overwrite" if target in REPLACED else "append"
            write_deltalake(table, rows, mode=mode, commit_properties=once)
            self._outbox.written(target, last)
        table.update_incremental()
        if len(table.file_uris()) >= COMPACT_FILES:
            self._compact(table)

    def _compact(self, table) -> None:
        """One file for the many small ones; files replaced long ago are removed."""
        table.optimize.compact()
        hours = int(KEEP_REPLACED.total_seconds() // 3600)
        table.vacuum(hours, dry_run=False, enforce_retention_duration=False)
        table.create_checkpoint()
