"""Records of statements in the store: states and results that outlive the process.

A record is written when a client is told of a statement that still runs, and when a statement
ends. Small results are part of the record; the files of large ones lie in the spool.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

from ..clock import now_ms
from ..engine.interface import EngineError
from ..store import Store
from .results import Chunk, StoredResult
from .statement import Order, StatementRun

RESULT_MS = 3_600_000
RESULTS = 2000
RESULT_BYTES = 2 * 1024**3
HISTORY_MS = 30 * 24 * 3_600_000
HISTORY = 100_000
TEXT_LIMIT = 64 * 1024

SCHEMA = """
CREATE TABLE IF NOT EXISTS statements (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, user TEXT NOT NULL,
    warehouse_id TEXT NOT NULL, session_id TEXT, client TEXT NOT NULL DEFAULT '',
    sql TEXT NOT NULL, kind TEXT NOT NULL, state TEXT NOT NULL, error TEXT, orders TEXT NOT NULL,
    made_ms INTEGER NOT NULL, started_ms INTEGER, ended_ms INTEGER,
    rows_produced INTEGER, result_bytes INTEGER, result TEXT, data BLOB);
CREATE INDEX IF NOT EXISTS statements_made ON statements (made_ms);
CREATE INDEX IF NOT EXISTS statements_with_result ON statements (ended_ms)
    WHERE result IS NOT NULL;
CREATE INDEX IF NOT EXISTS statements_open ON statements (state)
    WHERE state IN ('PENDING', 'RUNNING');
"""

_INSERT = """
INSERT INTO statements (id, user, warehouse_id, session_id, client, sql, kind, state, error,
    orders, made_ms, started_ms, ended_ms, rows_produced, result_bytes, result, data)
VALUES (:id, :user, :warehouse_id, :session_id, :client, :sql, :kind, :state, :error,
    :orders, :made_ms, :started_ms, :ended_ms, :rows_produced, :result_bytes, :result, :data)
ON CONFLICT (id) DO UPDATE SET state = excluded.state, error = excluded.error,
    started_ms = excluded.started_ms, ended_ms = excluded.ended_ms,
    rows_produced = excluded.rows_produced, result_bytes = excluded.result_bytes,
    result = excluded.result, data = excluded.data
"""

_INTERRUPTED = EngineError(
    "[CONNECTION_FAILURE] The workspace stopped while the statement ran. SQLSTATE: 08000",
    "CONNECTION_FAILURE", "08000", "TEMPORARILY_UNAVAILABLE",
)  # fmt: skip


class StatementRecords:
    """The table ``statements``, and the result files below ``spool``."""

    def __init__(self, store: Store, spool: Path) -> None:
        self._store = store
        self._spool = spool
        store.declare(SCHEMA)
        spool.mkdir(parents=True, exist_ok=True)

    def recover(self) -> None:
        """Statements that were alive have failed; files that no record knows are removed."""
        self._store.execute(
            "UPDATE statements SET state = 'FAILED', error = ?, ended_ms = ?"
            " WHERE state IN ('PENDING', 'RUNNING')",
            _error_text(_INTERRUPTED), now_ms(),
        )  # fmt: skip
        known = {
            row["id"]
            for row in self._store.rows("SELECT id FROM statements WHERE result IS NOT NULL")
        }
        for folder in self._spool.iterdir():
            if folder.name not in known:
                shutil.rmtree(folder, ignore_errors=True)

    def write(self, db: sqlite3.Connection, run: StatementRun) -> None:
        """Insert or update the record of a statement."""
        order, result, error = run.order, run.result, run.error
        db.execute(
            _INSERT,
            {
                "id": run.id, "user": order.user, "warehouse_id": order.warehouse_id,
                "session_id": order.session_id, "client": order.client[:500],
                "sql": order.sql[:TEXT_LIMIT], "kind": run.kind, "state": run.state,
                "error": _error_text(error) if error else None, "orders": _order_text(order),
                "made_ms": run.made_ms, "started_ms": run.started_ms, "ended_ms": run.ended_ms,
                "rows_produced": result.row_count if result else None,
                "result_bytes": result.byte_count if result else None,
                "result": _result_text(result) if result else None,
                "data": result.chunks[0].data if result else None,
            },
        )  # fmt: skip

    def load(self, statement_id: str) -> StatementRun | None:
        row = self._store.row("SELECT * FROM statements WHERE id = ?", statement_id)
        if row is None:
            return None
        run = StatementRun(
            row["id"], _order(row), row["state"], kind=row["kind"], made_ms=row["made_ms"],
            started_ms=row["started_ms"], ended_ms=row["ended_ms"],
        )  # fmt: skip
        run.error = EngineError(**json.loads(row["error"])) if row["error"] else None
        run.result = self._result(row)
        if run.state == "SUCCEEDED" and run.result is None:
            run.state = "CLOSED"
        run.future.set_result(None)
        return run

    def close(self, statement_id: str) -> None:
        """Drop the result of a statement that has ended; its record says CLOSED.

        One that failed or was cancelled stays so: clients close those too, and the history is to
        tell how it ended.
        """
        self._store.execute(
            "UPDATE statements SET state = iif(state = 'SUCCEEDED', 'CLOSED', state),"
            " result = NULL, data = NULL WHERE id = ?",
            statement_id,
        )
        self._remove([statement_id])

    def expire(self) -> None:
        """Drop results that are old or too many, and records that are very old or too many."""
        now = now_ms()
        rows = self._store.rows(
            "SELECT id, ended_ms, result_bytes FROM statements WHERE result IS NOT NULL"
            " ORDER BY ended_ms DESC"
        )
        gone, size = [], 0
        for at, row in enumerate(rows):  # newest first
            size += row["result_bytes"]
            old = row["ended_ms"] < now - RESULT_MS
            if old or at >= RESULTS or (size > RESULT_BYTES and at > 0):
                gone.append(row["id"])
        with self._store.transaction() as db:
            db.executemany(
                "UPDATE statements SET result = NULL, data = NULL WHERE id = ?",
                [(one,) for one in gone],
            )
            db.execute(
                "DELETE FROM statements WHERE made_ms < ? OR number <="
                " (SELECT max(number) FROM statements) - ?",
                (now - HISTORY_MS, HISTORY),
            )
        self._remove(gone)

    def _remove(self, ids: list[str]) -> None:
        for one in ids:
            shutil.rmtree(self._spool / one, ignore_errors=True)

    def _result(self, row: sqlite3.Row) -> StoredResult | None:
        """The result as it was stored; None when it has expired or its files are gone."""
        if row["result"] is None:
            return None
        told = json.loads(row["result"])
        chunks = []
        for index, (offset, count, size, in_file) in enumerate(told.pop("chunks")):
            path = self._spool / row["id"] / f"{index}.arrow" if in_file else None
            if path is not None and not path.is_file():
                return None
            data = None if in_file else row["data"]
            chunks.append(Chunk(index, offset, count, size, path, data, told["compression"]))
        with chunks[0].open() as reader:
            return StoredResult(schema=reader.schema, chunks=chunks, **told)


def _result_text(result: StoredResult) -> str:
    return json.dumps(
        {
            "columns": result.columns,
            "chunks": [
                (one.row_offset, one.row_count, one.byte_count, one.path is not None)
                for one in result.chunks
            ],
            "row_count": result.row_count,
            "byte_count": result.byte_count,
            "truncated": result.truncated,
            "compression": result.compression,
        }
    )


_KEPT = ("row_limit", "byte_limit", "inline", "format", "hybrid", "compression")


def _order_text(order: Order) -> str:
    return json.dumps({name: getattr(order, name) for name in _KEPT})


def _order(row: sqlite3.Row) -> Order:
    return Order(
        sql=row["sql"], warehouse_id=row["warehouse_id"], parameters=[], catalog=None, schema=None,
        session_id=row["session_id"], user=row["user"], client=row["client"],
        **json.loads(row["orders"]),
    )  # fmt: skip


def _error_text(error: EngineError) -> str:
    names = ("message", "error_class", "sql_state", "code")
    return json.dumps({name: getattr(error, name) for name in names})
