"""Sail behind the engine interface: statements on sessions, retries, errors."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import grpc
import pyarrow as pa

from .catalog import INFORMATION_SCHEMA, Catalog, clear_dropped
from .interface import Cancelled, Encoded, EngineError, Operation, Parameter, Result
from .interval_results import as_text, has_intervals, readable, text_schema
from .literal_text import with_values
from .parameters import bind, plain_markers
from .sail_errors import engine_error
from .sail_guard import refuse_known_faults
from .sail_names import for_engine, names_in
from .sail_process import SailProcess, SailServer
from .sail_session import SailSession, SessionPool
from .spark_connect import Literals, Rows, sql_plan
from .spark_types import columns
from .sql_text import SqlTextError, Statement
from .table_info import Tables

# What a statement meets when others write to its table: the commit of another one came first, or
# the log was read in the moment in which another one wrote its checkpoint.
IN_THE_WAY = ("Failed to commit transaction", "Missing commit file: expected version")
TRIES = 8
# A plan counts the rows of its limit in 32 bits.
MOST_ROWS = 2**31 - 1
# (lower-case names in a statement, catalog in use) -> rows by (catalog, view).
Views = Callable[[set[str], str], dict[tuple[str, str], pa.Table]]


class SailEngine:
    """The engine of the embedded workspace; see ``engine.Engine``."""

    def __init__(self, tables: Path, default_catalog: str, log_file: Path) -> None:
        self.catalog = Catalog(tables, default_catalog)
        clear_dropped(tables)
        self.tables = Tables(self.catalog)
        # The views of information_schema that a statement names; see unity.information_schema.
        self.views: Views = lambda names, catalog: {}
        self.process = SailProcess(self.catalog.catalogs, default_catalog, log_file)
        self.sessions = SessionPool(self.process, self.catalog)
        self.process.warm = self._warm

    def remote(self) -> str:
        return f"sc://127.0.0.1:{self.process.lend()}"

    def stop(self) -> None:
        self.sessions.close()
        self.process.stop()

    def statement(
        self,
        sql: str,
        parameters: list[Parameter],
        catalog: str | None = None,
        schema: str | None = None,
        row_limit: int | None = None,
        zone: str = "UTC",
    ) -> Operation:
        try:
            parsed = Statement(sql)
        except SqlTextError as error:
            raise EngineError(
                f"[PARSE_SYNTAX_ERROR] {error}. SQLSTATE: 42601", "PARSE_SYNTAX_ERROR", "42601"
            ) from error
        refuse_known_faults(parsed)
        place = ((catalog or self.catalog.default).lower(), (schema or "default").lower())
        parsed, arguments = plain_markers(parsed, bind(parameters, zone))
        if arguments and not parsed.is_query:
            parsed, arguments = with_values(parsed, arguments), {}
        parsed = for_engine(parsed, self.catalog, place)
        return _SailOperation(self, parsed, arguments, place, zone, row_limit)

    def _warm(self, server: SailServer) -> None:
        """The first statement of a server takes much longer than the others."""
        session = SailSession(server, self.catalog)
        try:
            for _ in session.execute(sql_plan("SELECT 1", [])):
                continue
        finally:
            session.close()


class _SailOperation:
    """One statement on one session of its own, so that cancelling it touches nothing else."""

    def __init__(
        self,
        engine: SailEngine,
        statement: Statement,
        arguments: Literals,
        place: tuple[str, str],
        zone: str,
        row_limit: int | None,
    ) -> None:
        self._engine = engine
        self._statement = statement
        self._arguments = arguments
        self._place = place
        self._zone = zone
        self._row_limit = row_limit
        self._lock = threading.Lock()
        self._session: SailSession | None = None
        self._cancelled = False
        self._broken = False
        self._ended = True

    def run(self) -> Result:
        for attempt in range(1, TRIES + 1):
            try:
                return self._run_once()
            except Exception as error:
                failure = self._failure(error)
                # Nothing was written that a reader sees: try again.
                if attempt == TRIES or not any(text in str(failure) for text in IN_THE_WAY):
                    raise failure from error
                time.sleep(random.uniform(0.5, 1.0) * min(0.05 * 2**attempt, 2.0))
        raise AssertionError("unreachable")

    def _run_once(self) -> Result:
        session = self._begin()
        names = names_in(self._statement)
        session.sync(names, self._place)
        if INFORMATION_SCHEMA in names | {self._place[1]}:
            session.show(self._engine.views(names, self._place[0]))
        session.use(self._place, self._zone)
        self._ended = False
        limited = self._statement.is_query and self._row_limit is not None
        limited = limited and self._row_limit < MOST_ROWS
        plan = sql_plan(
            self._statement.engine_text,
            self._arguments,
            self._row_limit + 1 if limited else None,
        )
        rows = session.execute(plan)
        found = columns(rows.schema)
        types = [text for _, text in found]
        if not has_intervals(found):
            schema = rows.arrow_schema()
            return Result(schema, types, self._decoded(rows), self._checked(rows))
        other = readable(plan, found) if self._statement.is_query else None
        if other is not None:
            session.drop_call()
            rows = session.execute(other)
        shown = as_text(self._decoded(rows), found)
        schema = text_schema(rows.arrow_schema(), found)
        return Result(schema, types, shown)

    def _decoded(self, rows: Rows) -> Iterator[pa.RecordBatch]:
        for encoded in self._checked(rows):
            with pa.ipc.open_stream(encoded.stream) as reader:
                yield from reader

    def _checked(self, rows: Rows) -> Iterator[Encoded]:
        try:
            yield from rows
            self._ended = True
        except Exception as error:
            raise self._failure(error) from error

    def _begin(self) -> SailSession:
        if self._session is None:
            session = self._engine.sessions.take(self._place, self._zone)
            with self._lock:
                self._session = session
        if self._cancelled:
            raise Cancelled
        return self._session

    def _failure(self, error: Exception) -> EngineError:
        """What the statement failed with. Raises Cancelled when somebody wanted that."""
        if self._cancelled:
            raise Cancelled from error
        failure = engine_error(error)
        self._ended = True
        self._broken |= failure.code == "TEMPORARILY_UNAVAILABLE"
        return failure

    def cancel(self) -> None:
        self._cancelled = True
        with self._lock:
            session = self._session
        if session is not None:
            with suppress(grpc.RpcError):  # the engine may have gone: its thread says so
                session.interrupt()

    def close(self) -> None:
        with self._lock:
            session, self._session = self._session, None
        if session is None:
            return
        # After DDL the session's own idea of a table may differ from what is on disk.
        changes_catalog = self._statement.main_verb in ("CREATE", "ALTER")
        if self._cancelled or not self._ended:
            # A cancel may have come before the engine knew of the statement.
            with suppress(grpc.RpcError):
                session.interrupt()
        elif not self._broken and not changes_catalog:
            self._engine.sessions.give_back(session)
            return
        session.close()
