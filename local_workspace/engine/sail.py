"""Sail behind the engine interface: sessions, registration by location, retries, errors."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa

from . import parameters as binding
from .catalog import INFORMATION_SCHEMA, Catalog
from .interface import Cancelled, EngineError, Operation, Parameter, Result
from .sail_errors import engine_error
from .sail_guard import refuse_known_faults
from .sail_names import NOWHERE, engine_catalog, for_engine
from .sail_process import SailProcess
from .sql_text import SqlTextError, Statement, quote_name
from .table_info import Tables

COMMIT_CONFLICT = "Failed to commit transaction"
COMMIT_TRIES = 8
# Sail drops a session that has been idle for 15 minutes, and the tables known to it.
SESSION_IDLE_SECONDS = 300
SESSION_USES = 500
# (lower-case names in a statement, catalog in use) -> rows by (catalog, view).
Views = Callable[[set[str], str], dict[tuple[str, str], pa.Table]]


class _Session:
    """A Spark Connect session and what it has been told so far."""

    def __init__(self, process: SailProcess, catalog: Catalog) -> None:
        from pyspark.sql.connect.client import DefaultChannelBuilder
        from pyspark.sql.connect.session import SparkSession

        self.generation = process.generation
        self.used = time.monotonic()
        self.uses = 0
        self._catalog = catalog
        self._place = (catalog.default, NOWHERE)
        self._schemas: set[tuple[str, str]] = set()
        self._tables: set[tuple[str, str, str]] = set()
        self._views: set[tuple[str, str]] = set()
        # Without a pool of its own, a channel shares the back-off that earlier channels to the
        # same port fell into when the engine died, and fails although the engine is up again.
        builder = DefaultChannelBuilder(
            f"sc://127.0.0.1:{process.port}", [("grpc.use_local_subchannel_pool", 1)]
        )
        self.spark = SparkSession(connection=builder)
        # The client's own retries last for minutes; a dead engine must show at once.
        self.spark.client.set_retry_policies([])
        self.spark.conf.set("spark.sql.session.timeZone", "UTC")
        self.spark.conf.set("spark.sql.sources.default", "delta")

    def sync(self, names: set[str]) -> None:
        """Make every schema known, and the tables whose own name occurs in ``names``."""
        schemas = set(self._catalog.all_schemas())
        for catalog, schema in schemas - self._schemas:
            location = (self._catalog.root / catalog / schema).as_uri()
            name = quote_name(engine_catalog(catalog), schema)
            self._run(f"CREATE SCHEMA IF NOT EXISTS {name} LOCATION '{location}'")
        self._schemas |= schemas
        present = self._catalog.find(names)
        for key in {key for key in self._tables if key[2] in names} - present.keys():
            self._run(f"DROP TABLE IF EXISTS {_engine_name(*key)}")
            self._tables.remove(key)
        for key in present.keys() - self._tables:
            self._run(
                f"CREATE TABLE IF NOT EXISTS {_engine_name(*key)} USING delta "
                f"LOCATION '{present[key].as_uri()}'"
            )
            self._tables.add(key)

    def show(self, views: dict[tuple[str, str], pa.Table]) -> None:
        """Let these (catalog, view) of information_schema have these rows."""
        for (catalog, view), rows in views.items():
            source = f"{INFORMATION_SCHEMA}_{catalog}_{view}"
            self.spark.createDataFrame(rows).createOrReplaceTempView(source)
            if (catalog, view) not in self._views:
                schema = quote_name(engine_catalog(catalog), INFORMATION_SCHEMA)
                self._run(f"CREATE SCHEMA IF NOT EXISTS {schema}")
                self._run(
                    f"CREATE OR REPLACE VIEW {schema}.{quote_name(view)} AS "
                    f"SELECT * FROM {quote_name(source)}"
                )
                self._views.add((catalog, view))

    def use(self, catalog: str, schema: str) -> None:
        # Every catalog has a schema named default, with or without a folder.
        if schema == "default" and (catalog, schema) not in self._schemas:
            schema = NOWHERE
        if (catalog, schema) != self._place:
            self.spark.catalog.setCurrentCatalog(engine_catalog(catalog))
            self.spark.catalog.setCurrentDatabase(schema)
            self._place = (catalog, schema)

    def _run(self, sql: str) -> None:
        self.spark.sql(sql)

    def close(self, release: bool) -> None:
        client = self.spark.client
        if release:
            client.release_session()
        client.close()


class SailEngine:
    """The engine of the embedded workspace; see ``engine.Engine``."""

    def __init__(self, tables: Path, default_catalog: str, log_file: Path) -> None:
        self.catalog = Catalog(tables, default_catalog)
        self.catalog.clear_dropped()
        self.tables = Tables(self.catalog)
        # The views of information_schema that a statement names; see unity.information_schema.
        self.views: Views = lambda names, catalog: {}
        self.process = SailProcess(self.catalog.catalogs(), default_catalog, log_file)
        self._lock = threading.Lock()
        self._idle: list[_Session] = []

    def remote(self) -> str:
        return f"sc://127.0.0.1:{self.process.port}"

    def stop(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for session in idle:
            session.close(release=False)
        self.process.stop()

    def statement(
        self,
        sql: str,
        parameters: list[Parameter],
        catalog: str | None = None,
        schema: str | None = None,
        row_limit: int | None = None,
    ) -> Operation:
        try:
            parsed = Statement(sql)
        except SqlTextError as error:
            raise EngineError(
                f"[PARSE_SYNTAX_ERROR] {error}. SQLSTATE: 42601", "PARSE_SYNTAX_ERROR", "42601"
            ) from error
        refuse_known_faults(parsed)
        place = ((catalog or self.catalog.default).lower(), (schema or "default").lower())
        parsed = for_engine(parsed, self.catalog, place)
        return _SailOperation(self, parsed, binding.bind(parameters), place, row_limit)

    def table_columns(self, catalog: str, schema: str, table: str) -> list[tuple[str, str]]:
        self.catalog.table_folder(catalog, schema, table)
        session = self.acquire()
        try:
            session.sync({table})
            fields = session.spark.table(_engine_name(catalog, schema, table)).schema.fields
        except Exception as error:
            self.discard(session)
            raise engine_error(error) from error
        self.release(session)
        return [(field.name, field.dataType.simpleString()) for field in fields]

    def acquire(self) -> _Session:
        """Take a session for one statement, idle or new. Raises EngineUnavailable."""
        self.process.wait_up()
        stale: list[_Session] = []
        found = None
        with self._lock:
            while self._idle and found is None:
                session = self._idle.pop()
                fresh = time.monotonic() - session.used < SESSION_IDLE_SECONDS
                if fresh and session.generation == self.process.generation:
                    found = session
                else:
                    stale.append(session)
        for session in stale:
            session.close(release=False)
        if found is not None:
            return found
        try:
            return _Session(self.process, self.catalog)
        except Exception as error:
            raise engine_error(error) from error

    def release(self, session: _Session) -> None:
        session.used = time.monotonic()
        session.uses += 1
        if session.uses >= SESSION_USES:
            self.discard(session)
            return
        with self._lock:
            self._idle.append(session)

    def discard(self, session: _Session) -> None:
        """Drop a session whose state is in doubt; the engine stops what it still runs."""
        try:
            session.close(release=session.generation == self.process.generation)
        except Exception as error:  # the engine may have died meanwhile: nothing is left to drop
            engine_error(error)


def _engine_name(catalog: str, schema: str, table: str) -> str:
    return quote_name(engine_catalog(catalog), schema, table)


class _SailOperation:
    """One statement on one session of its own, so that cancelling it touches nothing else."""

    def __init__(
        self,
        engine: SailEngine,
        statement: Statement,
        arguments: dict[str, object],
        place: tuple[str, str],
        row_limit: int | None,
    ) -> None:
        self._engine = engine
        self._statement = statement
        self._arguments = arguments
        self._place = place
        self._row_limit = row_limit
        self._lock = threading.Lock()
        self._session: _Session | None = None
        self._cancelled = False
        self._clean = False

    def run(self) -> Result:
        tries = COMMIT_TRIES if not self._statement.is_query else 1
        for attempt in range(1, tries + 1):
            try:
                return self._run_once()
            except Exception as error:
                self._raise_if_cancelled(error)
                # The loser of a commit has written nothing that a reader sees: try again.
                if COMMIT_CONFLICT not in str(error) or attempt == tries:
                    raise engine_error(error) from error
                time.sleep(random.uniform(0.5, 1.0) * min(0.05 * 2**attempt, 2.0))
        raise AssertionError("unreachable")

    def _run_once(self) -> Result:
        session = self._begin()
        names = {
            token.name.lower()
            for token in self._statement.tokens
            if token.kind in ("word", "quoted")
        }
        session.sync(names)
        if INFORMATION_SCHEMA in names | {self._place[1]}:
            session.show(self._engine.views(names, self._place[0]))
        session.use(*self._place)
        stream = self._stream(session)
        schema_type = next(stream)
        types = [field.dataType.simpleString() for field in schema_type.fields]
        first = next(stream, None)
        from pyspark.sql.pandas.types import to_arrow_schema

        schema = first.schema if first is not None else to_arrow_schema(schema_type)
        return Result(schema, types, self._batches(first, stream))

    def _stream(self, session: _Session) -> Iterator:
        from pyspark.sql.connect.dataframe import DataFrame
        from pyspark.sql.connect.plan import SQL

        text = self._statement.engine_text
        if self._statement.is_query:
            # The plan is sent as it stands: one round trip instead of two.
            frame = DataFrame(SQL(text, None, self._arguments, []), session.spark)
            if self._row_limit is not None:
                frame = frame.limit(self._row_limit + 1)
        else:
            frame = session.spark.sql(text, args=self._arguments or None)
        client = session.spark.client
        return client.to_table_as_iterator(frame._plan.to_proto(client), {})

    def _batches(self, first: pa.Table | None, stream: Iterator) -> Iterator[pa.RecordBatch]:
        try:
            table = first
            while table is not None:
                yield from table.to_batches()
                table = next(stream, None)
            self._clean = True
        except Exception as error:
            self._raise_if_cancelled(error)
            raise engine_error(error) from error

    def _begin(self) -> _Session:
        if self._session is None:
            session = self._engine.acquire()
            with self._lock:
                self._session = session
        if self._cancelled:
            raise Cancelled
        return self._session

    def _raise_if_cancelled(self, error: Exception) -> None:
        if self._cancelled:
            raise Cancelled from error

    def cancel(self) -> None:
        self._cancelled = True
        with self._lock:
            session = self._session
            if session is not None:
                session.spark.interruptAll()

    def close(self) -> None:
        with self._lock:
            session, self._session = self._session, None
        if session is None:
            return
        # After DDL the session's own idea of a table may differ from what is on disk.
        changes_catalog = self._statement.verb in ("CREATE", "ALTER")
        if self._clean and not self._cancelled and not changes_catalog:
            self._engine.release(session)
        else:
            self._engine.discard(session)
