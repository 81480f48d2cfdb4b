"""Statements under way: threads, states, cancel, timeouts. What has ended is in the records."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ..clock import now_ms
from ..engine.interface import Cancelled, EngineError
from ..errors import ApiError, bad_request, not_found
from ..metering.meter import Meter
from ..store import Store
from .front import SqlFront
from .journal import Journal
from .results import Limits, StoredResult, store
from .session_settings import timeout_seconds
from .sessions import Sessions
from .statement import Order, StatementRun
from .statement_kind import kind_of
from .statement_records import StatementRecords
from .warehouses import Warehouses

__all__ = ["Order", "StatementRun", "Statements"]

log = logging.getLogger("local_workspace.statements")

INLINE_LIMIT = 25 * 1024 * 1024
LINKS_LIMIT = 100 * 1024**3
# Each statement has a thread while it runs; the engine shares the cores between them. One more
# is refused, so that no statement ever waits for others to end.
MOST = 256
EXPIRE_SECONDS = 30
EXPIRE_STATEMENTS = 500
CANCEL_THREADS = 8


class Statements:
    """All statements of this process by id, and by their records those of earlier ones."""

    def __init__(
        self,
        front: SqlFront,
        warehouses: Warehouses,
        sessions: Sessions,
        meter: Meter,
        database: Store,
        spool: Path,
    ) -> None:
        self._front = front
        self._warehouses = warehouses
        self._sessions = sessions
        self._meter = meter
        self._spool = spool / "results"
        self.records = StatementRecords(database, self._spool)
        self.records.recover()
        self._journal = Journal(database, "statement-journal")
        self._pool = ThreadPoolExecutor(MOST, "statement")
        self._cancels = ThreadPoolExecutor(CANCEL_THREADS, "statement-cancel")
        self._lock = threading.Lock()
        self._runs: dict[str, StatementRun] = {}
        self._ended = 0
        self._closing = threading.Event()
        warehouses.active = lambda: len(self._runs)
        threading.Thread(target=self._keep_house, name="statement-house", daemon=True).start()

    def submit(self, order: Order, told: bool = True) -> StatementRun:
        """Start a statement. Raises ApiError when its warehouse or session refuses it.

        It is recorded at once, for whoever is told of it while it runs. With ``told=False`` the
        caller promises to call ``record`` before telling anybody of a statement that still runs.
        """
        session = None
        if order.session_id is not None:
            session = self._sessions.get(order.session_id, order.user)
            if session.warehouse_id != order.warehouse_id:
                raise bad_request(f"Session {session.id} is one of another warehouse.")
        self._warehouses.admit(order.warehouse_id)
        run = StatementRun(str(uuid.uuid4()), order, kind=kind_of(order.sql), session=session)
        with self._lock:
            if len(self._runs) >= MOST:
                raise ApiError(
                    429, "RESOURCE_EXHAUSTED", f"{MOST} statements are running; try again later."
                )
            self._runs[run.id] = run
        if told:
            self.record(run)
        self._pool.submit(self._execute, run)
        return run

    def record(self, run: StatementRun) -> None:
        """Block until the statement as it is now has a record."""
        written = threading.Event()
        self._journal.put(lambda db: self._write(db, run), written.set)
        written.wait()

    def get(self, statement_id: str) -> StatementRun:
        """Raises ApiError 404."""
        with self._lock:
            run = self._runs.get(statement_id)
        run = run or self.records.load(statement_id)
        if run is None:
            raise not_found(f"The statement {statement_id} was not found.")
        return run

    def active(self) -> list[StatementRun]:
        """Statements that have not ended."""
        with self._lock:
            return list(self._runs.values())

    def cancel(self, run: StatementRun) -> None:
        """Ask a statement to end; asynchronous, and without effect on a finished one."""
        with run.lock:
            if run.final:
                return
            run.cancel_requested = True
            operation = run.operation
        if operation is not None and not self._closing.is_set():
            self._cancels.submit(operation.cancel)

    def close_statement(self, run: StatementRun) -> None:
        """Give up a statement and its result; one that runs is cancelled."""
        self.cancel(run)
        if not run.final:
            run.future.add_done_callback(lambda _: self.records.close(run.id))
            return
        with run.lock:
            run.state = "CLOSED" if run.state == "SUCCEEDED" else run.state
            run.result = None
        self.records.close(run.id)

    def cancel_all(self, warehouse_id: str | None = None) -> None:
        for run in self.active():
            if warehouse_id in (None, run.order.warehouse_id):
                self.cancel(run)

    def close(self) -> None:
        self.cancel_all()
        self._closing.set()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._journal.close()

    def _execute(self, run: StatementRun) -> None:
        state, result, error = "FAILED", None, None
        try:
            self._warehouses.wait_running(lambda: run.cancel_requested)
            result = self._run_operation(run)
            state = "SUCCEEDED"
        except Cancelled:
            state = "CANCELED"
        except EngineError as failure:
            error = failure
            state = "CANCELED" if run.cancel_requested else "FAILED"
        except Exception as failure:
            log.exception("statement %s failed in the workspace itself", run.id)
            text = f"[INTERNAL_ERROR] {type(failure).__name__} SQLSTATE: XX000"
            error = EngineError(text, "INTERNAL_ERROR", "XX000", "INTERNAL_ERROR")
        if run.timed_out and state == "CANCELED":
            state, error = "FAILED", _timeout(run)
        self._finish(run, state, result, error if state == "FAILED" else None)

    def _run_operation(self, run: StatementRun) -> StoredResult:
        order = run.order
        operation = self._front.statement(
            order.sql, order.parameters, order.catalog, order.schema, order.row_limit,
            session=run.session,
        )  # fmt: skip
        limits = Limits(
            order.row_limit,
            order.byte_limit or (None if order.inline else LINKS_LIMIT),
            INLINE_LIMIT if order.inline else None,
        )
        try:
            with run.lock:
                if run.cancel_requested:
                    raise Cancelled
                run.operation = operation
                run.state = "RUNNING"
                run.started_ms = now_ms()
            return store(operation.run(), self._spool / run.id, limits, order.compression)
        finally:
            operation.close()

    def _finish(
        self,
        run: StatementRun,
        state: str,
        result: StoredResult | None,
        error: EngineError | None,
    ) -> None:
        """Write the end down; only then the statement shows it."""
        ended = StatementRun(
            run.id, run.order, state, error, result, run.kind, run.made_ms, run.started_ms,
            now_ms(),
        )  # fmt: skip

        def show() -> None:
            with run.lock:
                run.result, run.error, run.state = result, error, state
                run.ended_ms, run.operation = ended.ended_ms, None
            with self._lock:
                self._runs.pop(run.id, None)
                self._ended += 1
            try:
                self._measure(run)
            finally:
                run.future.set_result(None)

        run.ending = True
        self._journal.put(lambda db: self.records.write(db, ended), show)

    def _write(self, db, run: StatementRun) -> None:
        # Behind the end of the same statement in the queue, this would undo it.
        if not run.ending:
            self.records.write(db, run)

    def _measure(self, run: StatementRun) -> None:
        """Tell the meter. A statement that never started cost nothing."""
        if run.started_ms is not None:
            self._meter.record(
                "SQL", run.started_ms, run.ended_ms,
                {"warehouse_id": run.order.warehouse_id, "statement_id": run.id}, run.order.user,
            )  # fmt: skip

    def _keep_house(self) -> None:
        """End statements that are over their time; drop what nobody may fetch any more."""
        expired, ended = time.monotonic(), 0
        while not self._closing.wait(1):
            for run in self.active():
                seconds = timeout_seconds(run.session.confs) if run.session else None
                if seconds and now_ms() - run.made_ms > seconds * 1000 and not run.timed_out:
                    run.timed_out = True
                    self.cancel(run)
            due = time.monotonic() - expired > EXPIRE_SECONDS and self._ended > ended
            if due or self._ended - ended > EXPIRE_STATEMENTS:
                expired, ended = time.monotonic(), self._ended
                self.records.expire()


def _timeout(run: StatementRun) -> EngineError:
    seconds = timeout_seconds(run.session.confs)
    return EngineError(
        f"[OPERATION_CANCELED] The statement ran for longer than STATEMENT_TIMEOUT, {seconds} "
        "seconds. SQLSTATE: HY008",
        "OPERATION_CANCELED", "HY008", "DEADLINE_EXCEEDED",
    )  # fmt: skip
