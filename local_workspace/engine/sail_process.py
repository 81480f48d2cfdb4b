"""The Sail server as a child process: started, watched, replaced when it dies or has grown.

Sail 0.7.2 loses some 50 KB of memory for each SQL text that it parses, whatever becomes of the
session. So after a number of statements a new server is started beside the old one and takes the
statements from then on; the old one ends when nobody is connected to it any more.
"""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from .interface import EngineUnavailable
from .sail_names import NOWHERE, engine_catalog

log = logging.getLogger("local_workspace.engine")
GUARD = Path(__file__).parents[1] / "children" / "child_guard.py"

REPLACE_STATEMENTS = 500
# Not more often, whatever the load: starting a server costs half a second of a core.
REPLACE_SECONDS = 10.0
# What large statements and caches took is given back when no statement has come for a while.
REPLACE_GROWTH = 64 * 1024**2
REPLACE_IDLE_SECONDS = 10.0
# Servers that go on only for those who still use them.
OLD_SERVERS = 2
# A process that was told the address of a server needs a while to connect to it.
LENT_SECONDS = 120.0
HANDED_OVER_SECONDS = 5.0
TICK_SECONDS = 0.25
THREADS = 512


class SailServer:
    """One server process. ``statements`` counts the SQL texts that it was given.

    ``used`` is when it last got one, ``leave`` when it may end at the earliest (monotonic).
    """

    def __init__(self, port: int, catalogs: list[str], default: str, log_file: Path) -> None:
        self.port = port
        self.catalogs = set(catalogs)
        self.started = time.monotonic()
        self.statements = 0
        self.used = self.started
        self.leave = 0.0
        self.answered = False
        self._first_rss: int | None = None
        with log_file.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-S", str(GUARD), _sail_binary(), "spark", "server"]
                + ["--ip", "127.0.0.1", "--port", str(port)],
                env=_environment(catalogs, default) | {"LOCAL_WORKSPACE_PARENT": str(os.getpid())},
                stdout=out,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    @property
    def age(self) -> float:
        return time.monotonic() - self.started

    @property
    def ready(self) -> bool:
        """Whether it lives and has answered; a server that was killed is noticed at once."""
        if not self.answered and self.alive:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                self.answered = True
            except OSError:
                return False
        return self.alive

    def note_statement(self) -> None:
        self.statements += 1
        self.used = time.monotonic()

    def keep_for(self, seconds: float) -> None:
        self.leave = max(self.leave, time.monotonic() + seconds)

    @property
    def rss(self) -> int:
        try:
            return psutil.Process(self.pid).memory_info().rss
        except psutil.Error:
            return 0

    def weigh(self) -> None:
        """Note what the server took for its first statement."""
        if self._first_rss is None and self.statements:
            self._first_rss = self.rss

    @property
    def grown(self) -> bool:
        """Whether it has used up the memory that a server may take before it is replaced."""
        if self.statements >= REPLACE_STATEMENTS:
            return True
        if self._first_rss is None or time.monotonic() - self.used < REPLACE_IDLE_SECONDS:
            return False
        return self.rss - self._first_rss > REPLACE_GROWTH

    @property
    def connected(self) -> bool:
        """Whether anybody, a job for instance, is connected to it."""
        try:
            connections = psutil.Process(self.pid).net_connections("tcp")
        except psutil.Error:
            return False
        return any(
            one.status == psutil.CONN_ESTABLISHED and one.laddr.port == self.port
            for one in connections
        )

    def stop(self) -> None:
        if self.alive:
            self._process.kill()
            self._process.wait(5)

    def exit_code(self) -> int | None:
        return self._process.poll()


class SailProcess:
    """The server that takes statements now, and those that are only finishing theirs.

    ``on_change`` is called when another server takes over; ``warm`` with each new server before
    it does.
    """

    def __init__(
        self, catalogs: Callable[[], list[str]], default_catalog: str, log_file: Path
    ) -> None:
        self.server: SailServer | None = None
        self.on_change: Callable[[], None] = lambda: None
        self.warm: Callable[[SailServer], None] = lambda server: None
        self._catalogs = catalogs
        self._default = default_catalog
        self._log_file = log_file
        self._old: list[SailServer] = []
        self._wake = threading.Event()
        self._stopping = threading.Event()
        # One thread starts the children and lives as long as they: the kernel ties a child's
        # parent-death signal to the thread that forked.
        self._keeper = threading.Thread(target=self._keep, name="sail-keeper", daemon=True)
        self._keeper.start()

    @property
    def pid(self) -> int | None:
        server = self.server
        return server.pid if server and server.alive else None

    def lend(self) -> int:
        """Port of the server for another process, which has time to connect to it."""
        server = self.wait_up()
        server.keep_for(LENT_SECONDS)
        return server.port

    def wait_up(self, catalogs: list[str] = (), seconds: float = 20) -> SailServer:
        """The server, once it answers and knows these catalogs. Raises EngineUnavailable."""
        deadline = time.monotonic() + seconds
        while True:
            server = self.server
            if server is not None and server.ready and server.catalogs.issuperset(catalogs):
                return server
            if time.monotonic() > deadline or self._stopping.is_set():
                raise EngineUnavailable("The SQL engine did not start in time. SQLSTATE: 08000")
            self._wake.set()
            time.sleep(0.02)

    def stop(self) -> None:
        self._stopping.set()
        self._wake.set()
        self._keeper.join(10)

    def _keep(self) -> None:
        failures = 0
        try:
            while not self._stopping.is_set():
                server = self.server
                if server is None or not server.alive:
                    if server is not None:
                        failures = 0 if server.age > 10 else failures + 1
                        log.warning(
                            "the engine ended with code %s after %.1f s; starting again",
                            server.exit_code(), server.age,
                        )  # fmt: skip
                        self._stopping.wait(min(0.1 * 2**failures, 5) if failures else 0)
                    self._start(server.port if server else _free_port())
                elif self._replacement_due(server):
                    self._replace(server)
                self._end_old()
                self._wake.wait(TICK_SECONDS)
                self._wake.clear()
        finally:
            for server in [*self._old, *([self.server] if self.server else [])]:
                server.stop()

    def _start(self, port: int) -> None:
        self.server = SailServer(port, self._catalogs(), self._default, self._log_file)
        self.on_change()

    def _replacement_due(self, server: SailServer) -> bool:
        if not server.ready:
            return False
        server.weigh()
        if len(self._old) >= OLD_SERVERS:
            return False
        if not server.catalogs.issuperset(self._catalogs()):
            return True
        return server.age > REPLACE_SECONDS and server.grown

    def _replace(self, old: SailServer) -> None:
        """Start a server beside the old one; it takes over once it has answered a statement."""
        new = SailServer(_free_port(), self._catalogs(), self._default, self._log_file)
        deadline = time.monotonic() + 20
        while not new.ready:
            if not new.alive or not old.alive or time.monotonic() > deadline:
                new.stop()
                return
            time.sleep(0.02)
        self.warm(new)
        old.keep_for(HANDED_OVER_SECONDS)
        self.server = new
        self._old.append(old)
        self.on_change()

    def _end_old(self) -> None:
        for server in list(self._old):
            if not server.alive or (time.monotonic() > server.leave and not server.connected):
                server.stop()
                self._old.remove(server)


def _environment(catalogs: list[str], default_catalog: str) -> dict[str, str]:
    # Sail reads credentials of a real Unity Catalog from these prefixes; it must see none.
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DATABRICKS_", "UNITY_", "UC_", "SAIL_"))
    }
    entries = ", ".join(
        f'{{name="{engine_catalog(name)}", type="memory", initial_database=["{NOWHERE}"]}}'
        for name in catalogs
    )
    environment["SAIL_CATALOG__LIST"] = f"[{entries}]"
    environment["SAIL_CATALOG__DEFAULT_CATALOG"] = default_catalog
    environment["SAIL_CATALOG__DEFAULT_DATABASE"] = f'["{NOWHERE}"]'
    # A job may compute for long between two statements; a session is kept for it.
    environment["SAIL_SPARK__SESSION_TIMEOUT_SECS"] = "3600"
    environment.setdefault("RUST_LOG", "warn")
    # An operator that does not yield (a large join) holds a thread of the engine until its batch
    # is done, one for each core. The kernel shares the cores between threads; the engine does not
    # share its threads between statements, so it has enough for all of them. Idle ones cost little.
    environment.setdefault("TOKIO_WORKER_THREADS", str(THREADS))
    return environment


def _sail_binary() -> str:
    return str(Path(sysconfig.get_path("scripts")) / "sail")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
