"""Statements under way and finished: threads, states, results, retention."""

from __future__ import annotations

import logging
import shutil
import threading
import time
import uuid
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from ..access.tokens import USER
from ..engine.interface import Cancelled, EngineError, Operation, Parameter
from ..errors import not_found
from .front import SqlFront
from .results import StoredResult, store
from .warehouses import Warehouses

log = logging.getLogger("local_workspace.statements")

KEEP_SECONDS = 3600
KEEP_STATEMENTS = 2000
KEEP_BYTES = 2 * 1024**3
INLINE_LIMIT = 25 * 1024 * 1024
# Waiting statements cost a thread each; the engine shares the cores between them.
THREADS = 32
CANCEL_SECONDS = 30
CANCEL_PAUSE = 0.2


@dataclass(frozen=True)
class Order:
    """What a client asked for, in engine terms (limits: rows; bytes of Arrow data)."""

    sql: str
    warehouse_id: str
    parameters: list[Parameter]
    catalog: str | None
    schema: str | None
    row_limit: int | None
    byte_limit: int | None
    inline: bool
    format: str
    session_id: str | None = None
    user: str = USER


@dataclass
class StatementRun:
    """One statement. ``state`` is one of PENDING RUNNING SUCCEEDED FAILED CANCELED CLOSED."""

    id: str
    order: Order
    state: str = "PENDING"
    error: EngineError | None = None
    result: StoredResult | None = None
    made: float = field(default_factory=time.monotonic)
    lock: threading.Lock = field(default_factory=threading.Lock)
    operation: Operation | None = None
    cancel_requested: bool = False
    future: Future | None = None

    @property
    def final(self) -> bool:
        return self.state in ("SUCCEEDED", "FAILED", "CANCELED", "CLOSED")


class Statements:
    """All statements of this process by id; results live in the spool folder."""

    def __init__(self, front: SqlFront, warehouses: Warehouses, spool: Path) -> None:
        self._front = front
        self._warehouses = warehouses
        self._spool = spool / "results"
        shutil.rmtree(self._spool, ignore_errors=True)
        self._spool.mkdir(parents=True)
        self._pool = ThreadPoolExecutor(THREADS, "statement")
        self._lock = threading.Lock()
        self._runs: dict[str, StatementRun] = {}

    def submit(self, order: Order) -> StatementRun:
        """Start a statement. Raises ApiError when its warehouse does not exist or refuses."""
        self._warehouses.admit(order.warehouse_id)
        run = StatementRun(str(uuid.uuid4()), order)
        self._forget_old()
        with self._lock:
            self._runs[run.id] = run
        run.future = self._pool.submit(self._execute, run)
        return run

    def get(self, statement_id: str) -> StatementRun:
        with self._lock:
            run = self._runs.get(statement_id)
        if run is None:
            raise not_found(f"The statement {statement_id} was not found.")
        return run

    def cancel(self, run: StatementRun) -> None:
        """Ask a statement to end; asynchronous, and without effect on a finished one."""
        with run.lock:
            if run.final:
                return
            run.cancel_requested = True
            operation = run.operation
        if operation is not None:
            self._pool.submit(_cancel, run, operation)

    def cancel_all(self) -> None:
        with self._lock:
            runs = list(self._runs.values())
        for run in runs:
            self.cancel(run)

    def close(self) -> None:
        self.cancel_all()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _execute(self, run: StatementRun) -> None:
        try:
            self._warehouses.wait_running(run.order.warehouse_id)
            result = self._run_operation(run)
        except Cancelled:
            self._finish(run, "CANCELED")
        except EngineError as error:
            self._finish(run, "CANCELED" if run.cancel_requested else "FAILED", error=error)
        except Exception as error:
            log.exception("statement %s failed in the workspace itself", run.id)
            text = f"[INTERNAL_ERROR] {type(error).__name__} SQLSTATE: XX000"
            failure = EngineError(text, "INTERNAL_ERROR", "XX000", "INTERNAL_ERROR")
            self._finish(run, "FAILED", error=failure)
        else:
            self._finish(run, "SUCCEEDED", result=result)

    def _run_operation(self, run: StatementRun) -> StoredResult:
        order = run.order
        operation = self._front.statement(
            order.sql, order.parameters, order.catalog, order.schema, order.row_limit
        )
        try:
            with run.lock:
                if run.cancel_requested:
                    raise Cancelled
                run.operation = operation
                run.state = "RUNNING"
            stored = store(operation.run(), self._spool / run.id, order.row_limit, order.byte_limit)
        finally:
            operation.close()
        if order.inline and stored.byte_count > INLINE_LIMIT:
            raise EngineError(
                f"The result has {stored.byte_count} bytes; INLINE carries {INLINE_LIMIT} at "
                "most. Ask for EXTERNAL_LINKS, or set a limit."
            )
        return stored

    def _finish(
        self,
        run: StatementRun,
        state: str,
        result: StoredResult | None = None,
        error: EngineError | None = None,
    ) -> None:
        with run.lock:
            run.result = result
            run.error = error if state == "FAILED" else None
            run.state = state
            run.operation = None

    def _forget_old(self) -> None:
        now = time.monotonic()
        with self._lock:
            done = [run for run in self._runs.values() if run.final]
            surplus = len(done) - KEEP_STATEMENTS
            size = sum(run.result.byte_count for run in done if run.result)
            old = []
            for at, run in enumerate(done):  # oldest first
                if at < surplus or now - run.made > KEEP_SECONDS or size > KEEP_BYTES:
                    old.append(run)
                    size -= run.result.byte_count if run.result else 0
            for run in old:
                del self._runs[run.id]
        for run in old:
            shutil.rmtree(self._spool / run.id, ignore_errors=True)


def _cancel(run: StatementRun, operation: Operation) -> None:
    """Ask until the statement has ended: the engine forgets what it is asked too early."""
    deadline = time.monotonic() + CANCEL_SECONDS
    while not run.final and time.monotonic() < deadline:
        try:
            operation.cancel()
        except Exception as error:
            # The engine may have gone, or the statement ended on its own: its thread says which.
            log.warning("cancel of statement %s: %s", run.id, type(error).__name__)
        time.sleep(CANCEL_PAUSE)
