"""Long-running processes of a site: started in the background, ended by their id."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.steps import StepFailed

STOP_SECONDS = 20


def free_port(preferred: int) -> int:
    """`preferred` if nobody listens on it, else any free port of the loopback interface."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return probe.getsockname()[1]
    raise StepFailed("no free port on 127.0.0.1")


def _start_ticks(pid: int) -> str | None:
    """When the kernel started `pid`: tells it from a later process with the same number."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else fields[19]


@dataclass
class Process:
    """A background process whose id is kept in `pid_file`; output goes to `log`."""

    pid_file: Path
    log: Path

    def pid(self) -> int | None:
        """The id of the running process, None when it is gone."""
        if not self.pid_file.exists():
            return None
        known = json.loads(self.pid_file.read_text())
        return known["pid"] if _start_ticks(known["pid"]) == known["started"] else None

    def start(self, command: Sequence[str | Path], env: dict[str, str], cwd: Path) -> int:
        with self.log.open("ab") as output:
            process = subprocess.Popen(
                [str(part) for part in command],
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=env,
                cwd=cwd,
                start_new_session=True,
            )
        record = {"pid": process.pid, "started": _start_ticks(process.pid)}
        self.pid_file.write_text(json.dumps(record))
        return process.pid

    def stop(self) -> None:
        """End the process and its group: politely, then for good."""
        pid = self.pid()
        if pid:
            _signal_group(pid, signal.SIGTERM)
            deadline = time.monotonic() + STOP_SECONDS
            while _alive(pid) and time.monotonic() < deadline:
                time.sleep(0.1)
            _signal_group(pid, signal.SIGKILL)
        self.pid_file.unlink(missing_ok=True)


def _signal_group(pid: int, number: int) -> None:
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        return  # the whole group has ended


def _alive(pid: int) -> bool:
    try:
        os.waitpid(pid, os.WNOHANG)  # reap it when it is our own child
    except ChildProcessError:
        pass
    return _start_ticks(pid) is not None
