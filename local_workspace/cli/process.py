"""Which process serves a workspace: the one that holds the lock on its pid file."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

from ..settings import Settings
from ..store import Store
from .problems import Problem

NAME = "workspace.pid"
RECORD_SECONDS = 10


def no_workspace(settings: Settings) -> Problem:
    return Problem(f"There is no workspace in {settings.data}: run init first.")


def opened(data: Path) -> tuple[Settings, Store]:
    """Settings and memory of an existing workspace. Raises Problem when there is none."""
    settings = Settings(data)
    if not settings.database.exists():
        raise no_workspace(settings)
    store = Store(settings.database)
    if store.meta("org_id") is None:
        raise Problem(f"The workspace in {settings.data} was not finished: run init again.")
    return settings, store


class PidFile:
    """The file says who serves; the lock on it says whether that is still so.

    The kernel gives the lock back at the end of the process, however it ends: a file that a
    killed workspace left behind misleads nobody, nor does another process with its number.
    """

    def __init__(self, data: Path) -> None:
        self._path = data / NAME
        self._held: IO[str] | None = None

    def hold(self, host: str) -> None:
        """Take the lock for this process. Raises Problem if another one serves the folder."""
        file = self._path.open("a+")
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                holder = self.holder()
            if holder:
                file.close()
                raise Problem(
                    f"Another process serves the workspace in {self._path.parent}:"
                    f" {json.dumps(holder)}. Stop it first."
                )
            time.sleep(0.02)  # somebody was only looking
        file.truncate(0)
        record = {"pid": os.getpid(), "host": host, "started_ticks": _started_ticks(os.getpid())}
        file.write(json.dumps(record))
        file.flush()
        self._held = file

    def release(self) -> None:
        """Give the lock back; what the file says counts no more."""
        if self._held is not None:
            self._held.close()
            self._held = None

    def holder(self) -> dict | None:
        """``pid`` and ``host`` of the process that serves now, None if there is none."""
        file = self._locked()
        if file is None:
            return None
        with file:
            return _read(file)

    def _locked(self) -> IO[str] | None:
        """The file, opened, if a process holds the lock on it."""
        try:
            file = self._path.open("r")
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return file
        file.close()
        return None

    def stop(self, grace_seconds: float) -> str:
        """End the process that serves. Returns how: not running, stopped, or killed."""
        holder = self.holder()
        if holder is None:
            return "not running"
        for number, seconds, done in (
            (signal.SIGTERM, grace_seconds, "stopped"),
            (signal.SIGKILL, 5, "killed"),
        ):
            with suppress(ProcessLookupError):
                os.kill(holder["pid"], number)
            if self._gone(seconds):
                return done
        raise Problem(f"Process {holder['pid']} does not end, not even by SIGKILL.")

    def _gone(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            file = self._locked()
            if file is None:
                return True
            file.close()
            time.sleep(0.05)
        return False


def _read(file: IO[str]) -> dict:
    """The record of a holder, who writes it just after taking the lock.

    Until then the record of an earlier holder stands there, whose number another process may have.
    """
    deadline = time.monotonic() + RECORD_SECONDS
    while time.monotonic() < deadline:
        file.seek(0)
        with suppress(ValueError):
            record = json.loads(file.read())
            if record.pop("started_ticks", None) == _started_ticks(record["pid"]):
                return record
        time.sleep(0.02)
    raise Problem("A process is taking up the workspace: try again.")


def _started_ticks(pid: int) -> str | None:
    """When the kernel started a process: tells it from a later one with the same number."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (FileNotFoundError, ProcessLookupError):
        return None
