"""How each backend of databricks-sql-connector is pointed at the workspace, and what differs."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from databricks import sql

BACKENDS = ("thrift", "kernel", "sea")
# A statement that nobody waits for: it runs until it is cancelled.
LONG = "SELECT sum(sqrt(id)) FROM range(1000000000000)"


def address(target, backend: str) -> dict:
    """Arguments of ``connect`` that say where the workspace is; they differ in how."""
    if backend == "kernel":
        return {"server_hostname": target.host, "use_kernel": True}
    if backend == "sea":
        parts = urlsplit(target.host)
        return {
            "server_hostname": f"{parts.scheme}://{parts.hostname}",
            "_port": parts.port or 443,
            "use_sea": True,
        }
    return {
        "server_hostname": urlsplit(target.host).hostname,
        "_connection_uri": target.host + target.http_path,
    }


def connect(target, backend: str, **options):
    """A connection through ``backend``, with the token unless ``options`` bring credentials."""
    known = {"enable_telemetry": False, "_retry_stop_after_attempts_count": 2}
    if not {"access_token", "credentials_provider", "oauth_client_id"} & options.keys():
        known["access_token"] = target.token
    where = {"http_path": target.http_path, **address(target, backend)}
    return sql.connect(**(where | known | options))


@contextmanager
def cursor(target, backend: str, **options) -> Iterator:
    """A cursor on a connection of its own."""
    with connect(target, backend, **options) as connection, connection.cursor() as made:
        yield made


@contextmanager
def cancelling(made) -> Iterator[None]:
    """Another thread cancels what the cursor does until the block has ended.

    More than once: the sea client knows its statement only after 10 s, and a cancel that comes
    before the statement has an id is lost.
    """
    ended = threading.Event()

    def cancel() -> None:
        while not ended.wait(1):
            made.cancel()

    thread = threading.Thread(target=cancel)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def table(target, columns: str) -> Iterator[str]:
    """A new Delta table with ``columns``, by its full name."""
    name = f"{target.catalog}.{target.schema}.clients_{uuid.uuid4().hex[:12]}"
    with cursor(target, "thrift") as made:
        made.execute(f"CREATE TABLE {name} ({columns}) USING DELTA")
        try:
            yield name
        finally:
            made.execute(f"DROP TABLE IF EXISTS {name}")
