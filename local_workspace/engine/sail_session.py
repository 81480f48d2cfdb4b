"""Sessions of Sail, which are told what the catalog holds, and the pool of those not in use.

Sail keeps a catalog for each session. A session learns the tables that a statement names, by
their location, just before the statement runs.
"""

from __future__ import annotations

import logging
import threading
import time

import grpc
import pyarrow as pa
from pyspark.sql.connect.proto import base_pb2 as pb

from .catalog import INFORMATION_SCHEMA, Catalog
from .sail_errors import engine_error
from .sail_names import NOWHERE, engine_catalog
from .sail_process import SailProcess, SailServer
from .spark_connect import ConnectSession, Rows
from .sql_text import quote_name

log = logging.getLogger("local_workspace.engine")

# Sail drops a session that has been idle for an hour, and the tables known to it.
IDLE_SECONDS = 300
KEEP_IDLE = 32


class SailSession:
    """A session and what it has been told so far."""

    def __init__(self, server: SailServer, catalog: Catalog) -> None:
        self.server = server
        self.used = time.monotonic()
        self.place = (catalog.default, NOWHERE)
        self.zone = "UTC"
        self._catalog = catalog
        self._schemas: set[tuple[str, str]] = set()
        self._tables: set[tuple[str, str, str]] = set()
        self._views: set[tuple[str, str]] = set()
        self._connect = ConnectSession(server.port)
        self._connect.configure(
            {"spark.sql.session.timeZone": self.zone, "spark.sql.sources.default": "delta"}
        )

    def sync(self, names: set[str], place: tuple[str, str]) -> None:
        """Make the schemas and tables known whose own name occurs in ``names``, or in ``place``."""
        for catalog, schema in set(self._catalog.all_schemas()) - self._schemas:
            if schema in names or (catalog, schema) == place:
                location = (self._catalog.root / catalog / schema).as_uri()
                name = quote_name(engine_catalog(catalog), schema)
                self._sql(f"CREATE SCHEMA IF NOT EXISTS {name} LOCATION '{location}'")
                self._schemas.add((catalog, schema))
        present = self._catalog.find(names)
        for key in {key for key in self._tables if key[2] in names} - present.keys():
            self._sql(f"DROP TABLE IF EXISTS {engine_name(*key)}")
            self._tables.remove(key)
        for key in present.keys() - self._tables:
            if key[:2] in self._schemas:
                self._sql(
                    f"CREATE TABLE IF NOT EXISTS {engine_name(*key)} USING delta "
                    f"LOCATION '{present[key].as_uri()}'"
                )
                self._tables.add(key)

    def show(self, views: dict[tuple[str, str], pa.Table]) -> None:
        """Let these (catalog, view) of information_schema have these rows."""
        for (catalog, view), rows in views.items():
            source = f"{INFORMATION_SCHEMA}_{catalog}_{view}"
            self._connect.show(source, rows)
            if (catalog, view) not in self._views:
                schema = quote_name(engine_catalog(catalog), INFORMATION_SCHEMA)
                self._sql(f"CREATE SCHEMA IF NOT EXISTS {schema}")
                self._sql(
                    f"CREATE OR REPLACE VIEW {schema}.{quote_name(view)} AS "
                    f"SELECT * FROM {quote_name(source)}"
                )
                self._views.add((catalog, view))

    def use(self, place: tuple[str, str], zone: str) -> None:
        """Look unqualified names up in this (catalog, schema); show times in this zone."""
        catalog, schema = place
        # Every catalog has a schema named default, with or without a folder.
        if schema == "default" and place not in self._schemas:
            schema = NOWHERE
        if (catalog, schema) != self.place:
            self._connect.use(engine_catalog(catalog), schema)
            self.place = (catalog, schema)
        if zone != self.zone:
            self._connect.configure({"spark.sql.session.timeZone": zone})
            self.zone = zone

    def execute(self, plan: pb.Plan) -> Rows:
        self.server.note_statement()
        return self._connect.execute(plan)

    def interrupt(self) -> None:
        """End what runs and let nothing more run on this session."""
        self._connect.interrupt()

    def drop_call(self) -> None:
        """End what runs; the session can go on."""
        self._connect.drop_call()

    def close(self) -> None:
        """Give the session back to the engine, which stops what it still runs."""
        try:
            if self.server.alive:
                self._connect.release()
        except grpc.RpcError as error:
            log.info("a session was not released: %s", error.code())
        finally:
            self._connect.close()

    def _sql(self, text: str) -> None:
        self.server.note_statement()
        self._connect.sql(text)


class SessionPool:
    """Idle sessions by what they were used for last: a session of the same place is told less."""

    def __init__(self, process: SailProcess, catalog: Catalog) -> None:
        self._process = process
        self._catalog = catalog
        self._lock = threading.Lock()
        self._idle: list[SailSession] = []
        process.on_change = self.close_stale

    def take(self, place: tuple[str, str], zone: str) -> SailSession:
        """A session for one statement. Raises EngineUnavailable."""
        server = self._process.wait_up(self._catalog.catalogs())
        with self._lock:
            fitting = [one for one in self._idle if one.server is server and self._fresh(one)]
            same = [one for one in fitting if (one.place, one.zone) == (place, zone)]
            found = (same or fitting or [None])[-1]
            if found is not None:
                self._idle.remove(found)
                return found
        try:
            return SailSession(server, self._catalog)
        except grpc.RpcError as error:
            raise engine_error(error) from error

    def give_back(self, session: SailSession) -> None:
        session.used = time.monotonic()
        with self._lock:
            if session.server is self._process.server and len(self._idle) < KEEP_IDLE:
                self._idle.append(session)
                return
        session.close()

    def close_stale(self) -> None:
        """Close the sessions that no statement will get any more."""
        with self._lock:
            stale = [one for one in self._idle if not self._usable(one)]
            self._idle = [one for one in self._idle if one not in stale]
        for session in stale:
            session.close()

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for session in idle:
            session.close()

    def _usable(self, session: SailSession) -> bool:
        return session.server is self._process.server and self._fresh(session)

    @staticmethod
    def _fresh(session: SailSession) -> bool:
        return time.monotonic() - session.used < IDLE_SECONDS


def engine_name(catalog: str, schema: str, table: str) -> str:
    return quote_name(engine_catalog(catalog), schema, table)
