"""The journal of invocations: on disk before the caller has the answer, in tables soon after.

One line for each invocation goes to ``open.jsonl``. Now and then that file becomes a numbered
batch, whose lines become usage records and rows of inference tables; then the batch is deleted.
What a killed workspace left is taken up by the next one. The name of a batch says what is done:

    open.jsonl -> NUMBER.new.jsonl -> (usage recorded) NUMBER.counted.jsonl -> (rows written) gone

A batch is written to a table at most once (its number is in the commit); its usage could be
recorded twice only by a kill between the record and the change of the name.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from ..access.tokens import OWNER
from ..engine.catalog import SYSTEM, Catalog
from ..engine.sql_text import Statement
from ..metering.meter import Meter
from ..store import Store
from .inference_table import TableGone, append

log = logging.getLogger("local_workspace.serving")
LAST_BATCH = "serving_batch"


class Journal:
    """``note`` is for the event loop, ``flush`` for any thread: one flush works at a time."""

    def __init__(self, folder: Path, store: Store, meter: Meter, catalog: Catalog) -> None:
        self._folder = folder
        self._store = store
        self._meter = meter
        self._catalog = catalog
        self._open_file = folder / "open.jsonl"
        self._descriptor: int | None = None
        self._writing = threading.Lock()
        self._flushing = threading.Lock()
        # What statements may name that would read something else after a flush: of what is noted,
        # and of the batches that a flush is working on.
        self._waiting: set[str] = set()
        self._draining: set[str] = set()
        folder.mkdir(parents=True, exist_ok=True)

    def note(self, record: dict) -> None:
        """Keep one invocation. A full disk costs the record, not the answer."""
        line = json.dumps(record).encode() + b"\n"
        with self._writing:
            try:
                self._append(line)
            except OSError as error:
                log.error("an invocation of %s could not be kept: %s", record["endpoint"], error)
                return
            self._waiting.add(SYSTEM)
            if record.get("table"):
                self._waiting.add(record["table"].rsplit(".", 1)[-1])

    def settle(self, statement: Statement, place: tuple[str, str]) -> None:
        """Flush before a statement that names what invocations wait for, or starts from it."""
        waiting = self._waiting | self._draining
        if not waiting or (
            place[0].lower() not in waiting
            and not any(token.name.lower() in waiting for token in statement.tokens)
        ):
            return
        try:
            self.flush()
        except Exception:
            log.exception("the tables lack the latest invocations; they are kept for later")

    def flush(self) -> None:
        """Bring everything noted so far to where it is read."""
        with self._flushing:
            if self._open_file.exists():
                number = self._next_number()
                with self._writing:
                    self._open_file.rename(self._folder / f"{number}.new.jsonl")
                    self._draining, self._waiting = self._waiting, set()
                    if self._descriptor is not None:
                        os.close(self._descriptor)
                        self._descriptor = None
            self._drain()
            self._draining = set()

    def _next_number(self) -> int:
        """Higher than every number before: the time in milliseconds, or one more than the last.

        A counter alone would not do: a store that was restored may be older than the tables, which
        would then seem to have the next batches already.
        """
        with self._store.transaction() as db:
            row = db.execute("SELECT value FROM meta WHERE key = ?", (LAST_BATCH,)).fetchone()
            number = max(time.time_ns() // 1_000_000, int(row["value"]) + 1 if row else 0)
            db.execute(
                "INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (LAST_BATCH, str(number))
            )
        return number

    def _append(self, line: bytes) -> None:
        if self._descriptor is None:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
            self._descriptor = os.open(self._open_file, flags, 0o600)
        written = os.write(self._descriptor, line)
        if written < len(line):
            os.ftruncate(self._descriptor, os.fstat(self._descriptor).st_size - written)
            raise OSError("the disk is full")

    def _drain(self) -> None:
        # The batches of a table are written in their order: the number in the last commit tells
        # what the table has.
        waiting: set[str] = set()
        for path in sorted(self._folder.glob("*.*.jsonl"), key=_number_of):
            records = list(_records(path))
            if path.name.endswith(".new.jsonl"):
                self._record_usage(records)
                path = path.rename(path.with_name(f"{_number_of(path)}.counted.jsonl"))
            if self._write_rows(records, _number_of(path), waiting):
                path.unlink()

    def _record_usage(self, records: list[dict]) -> None:
        """One usage record for each served entity and caller of the batch.

        Its time ends with the last answer and is as long as the model worked in all.
        """
        groups: dict[tuple, list[dict]] = {}
        for record in records:
            key = record["endpoint_id"], record["entity_id"], record["requester"]
            groups.setdefault(key, []).append(record)
        for group in groups.values():
            first = group[0]
            end = max(record["time_ms"] + round(record["ms"]) for record in group)
            metadata = {
                "endpoint_name": first["endpoint"],
                "endpoint_id": first["endpoint_id"],
                "served_entity_name": first["entity"],
                "served_entity_id": first["entity_id"],
            }
            worked = max(round(sum(record["ms"] for record in group)), 1)
            self._meter.record(
                "MODEL_SERVING", end - worked, end, metadata, first["requester"] or OWNER.user_name
            )

    def _write_rows(self, records: list[dict], number: int, waiting: set[str]) -> bool:
        """Whether the batch is done with. ``waiting`` are the tables whose last commit failed."""
        tables: dict[str, list[dict]] = {}
        for record in records:
            if record.get("table"):
                tables.setdefault(record["table"], []).append(record)
        for table in tables.keys() - waiting:
            try:
                append(self._catalog, table, tables[table], number)
            except TableGone as error:
                log.error("%d rows for %s are dropped: %s", len(tables[table]), table, error)
            except Exception as error:  # delta-rs and the file system have many names for it
                log.warning("rows for %s wait: %s: %s", table, type(error).__name__, error)
                waiting.add(table)
        return waiting.isdisjoint(tables)


def _number_of(path: Path) -> int:
    return int(path.name.split(".")[0])


def _records(path: Path) -> Iterator[dict]:
    """The records of a batch. A line that a kill cut short was never answered."""
    with path.open("rb") as lines:
        for line in lines:
            try:
                yield json.loads(line)
            except ValueError:
                log.error("a line of %s is damaged", path.name)
