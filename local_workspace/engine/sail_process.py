"""The Sail server as a child process: started, watched, started again when it dies."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import sysconfig
import threading
import time
from pathlib import Path

from .interface import EngineUnavailable
from .sail_names import NOWHERE, engine_catalog

log = logging.getLogger("local_workspace.engine")
GUARD = Path(__file__).parents[1] / "children" / "child_guard.py"


class SailProcess:
    """One Sail server on a fixed loopback port.

    ``generation`` grows by one at each start: sessions of an earlier one are gone.
    """

    def __init__(self, catalogs: list[str], default_catalog: str, log_file: Path) -> None:
        self.generation = 0
        self.port = _free_port()
        self._log_file = log_file
        self._environment = _environment(catalogs, default_catalog)
        self._stopping = threading.Event()
        self._process: subprocess.Popen | None = None
        # One thread starts the child and lives as long as it: the kernel ties the child's
        # parent-death signal to the thread that forked.
        self._watcher = threading.Thread(target=self._watch, name="sail-watch", daemon=True)
        self._watcher.start()

    @property
    def pid(self) -> int | None:
        process = self._process
        return process.pid if process and process.poll() is None else None

    def wait_up(self, seconds: float = 20) -> None:
        """Block until the server accepts connections. Raises EngineUnavailable.

        The port is asked, not a flag: a server that was killed is noticed at once.
        """
        deadline = time.monotonic() + seconds
        while not self._answers():
            if time.monotonic() > deadline or self._stopping.is_set():
                raise EngineUnavailable("The SQL engine did not start in time. SQLSTATE: 08000")
            time.sleep(0.02)

    def stop(self) -> None:
        self._stopping.set()
        process = self._process
        if process and process.poll() is None:
            process.terminate()
            try:
                process.wait(3)
            except subprocess.TimeoutExpired:
                process.kill()
        self._watcher.join(5)

    def _watch(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            started = time.monotonic()
            self.generation += 1
            with self._log_file.open("ab") as out:
                self._process = subprocess.Popen(
                    [sys.executable, "-S", str(GUARD), _sail_binary(), "spark", "server"]
                    + ["--ip", "127.0.0.1", "--port", str(self.port)],
                    env=self._environment | {"LOCAL_WORKSPACE_PARENT": str(os.getpid())},
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,
                )
            code = self._process.wait()
            if self._stopping.is_set():
                return
            lived = time.monotonic() - started
            failures = 0 if lived > 10 else failures + 1
            log.warning("the engine ended with code %s after %.1f s; starting again", code, lived)
            self._stopping.wait(min(0.1 * 2**failures, 5))

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True


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
    environment.setdefault("RUST_LOG", "warn")
    # An operator that does not yield (a large join) holds a thread of the engine until its batch
    # is done. With one thread for each core, a few of them would stop every other statement.
    environment.setdefault("TOKIO_WORKER_THREADS", str(max(16, 4 * (os.cpu_count() or 1))))
    return environment


def _sail_binary() -> str:
    return str(Path(sysconfig.get_path("scripts")) / "sail")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
