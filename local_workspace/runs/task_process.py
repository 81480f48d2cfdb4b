"""One task as a child process in a group of its own: start, capped logs, stop."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
import zipfile
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

HOST_FILE = Path(__file__).parents[1] / "children" / "task_host.py"
TAIL = 64 * 1024
# A wheel larger than this, unpacked, is a mistake or a bomb.
LARGEST_WHEEL = 1024**3
# Settings of the workspace's own process that must not reach a task.
_OWN_PREFIXES = ("DATABRICKS_", "SAIL_", "SPARK_REMOTE", "LAKEHOUSE_", "MLFLOW_")


class TaskStartError(Exception):
    """The task could not be started: a file or wheel is missing or unreadable."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class TaskOutcome:
    """How a task ended: exit code, error and trace (None when it succeeded), why it was ended."""

    returncode: int
    error: str | None
    error_trace: str | None
    ended_by: str | None


class _CappedLog(threading.Thread):
    """Copies a pipe into a file: the first ``cap`` bytes, a note, then the last 64 KiB."""

    def __init__(self, pipe: IO[bytes], path: Path, cap: int) -> None:
        super().__init__(name=f"log-{path.parent.name}", daemon=True)
        self._pipe = pipe
        self._path = path
        self._cap = cap
        self.start()

    def run(self) -> None:
        written = lost = 0
        tail: deque[bytes] = deque()
        held = 0
        with self._path.open("wb", buffering=0) as out, self._pipe as pipe:
            while piece := pipe.read1(65536):
                room = max(self._cap - written, 0)
                out.write(piece[:room])
                written += min(len(piece), room)
                rest = piece[room:]
                if rest:
                    tail.append(rest)
                    held += len(rest)
                while held > TAIL and len(tail) > 1:
                    lost += len(tail[0])
                    held -= len(tail.popleft())
            if tail:
                out.write(f"\n[... {lost} bytes left out ...]\n".encode())
                out.write(b"".join(tail))


class TaskProcess:
    """A running task. ``stop`` may be called from any thread."""

    def __init__(self, spec: dict, folder: Path, python: str, environment: dict, cap: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._result = folder / "result.json"
        spec_file = folder / "task.json"
        spec_file.write_text(json.dumps(spec | {"result": str(self._result)}))
        self._ended_by: str | None = None
        self._process = subprocess.Popen(
            [python, str(HOST_FILE), str(spec_file)],
            cwd=folder,
            env=environment | {"LOCAL_WORKSPACE_PARENT": str(os.getpid())},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self._logs = [
            _CappedLog(self._process.stdout, folder / "stdout", cap),
            _CappedLog(self._process.stderr, folder / "stderr", cap),
        ]

    @property
    def group(self) -> int:
        return self._process.pid

    def wait(self, timeout: float | None, grace: float) -> TaskOutcome:
        """Wait for the end; after ``timeout`` seconds the task is stopped as timed out."""
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.stop("TIMEDOUT", grace)
            code = self._process.wait()
        # Processes that the task left behind hold its pipes and its group: they end with it.
        _signal_group(self.group, signal.SIGKILL)
        for copier in self._logs:
            copier.join(5)
        error = trace = None
        if code != 0:
            error, trace = self._failure(code)
        return TaskOutcome(code, error, trace, self._ended_by)

    def stop(self, reason: str, grace: float) -> None:
        """SIGTERM to the group, SIGKILL after ``grace`` seconds. The first reason is kept."""
        self._ended_by = self._ended_by or reason
        _signal_group(self.group, signal.SIGTERM)
        deadline = time.monotonic() + grace
        while self._process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        _signal_group(self.group, signal.SIGKILL)

    def _failure(self, code: int) -> tuple[str, str | None]:
        if self._result.exists():
            told = json.loads(self._result.read_text(encoding="utf-8"))
            return told["error"], told["error_trace"]
        if code < 0:
            return f"The process was ended by signal {signal.Signals(-code).name}.", None
        return f"The process ended with exit code {code}.", None


def _signal_group(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return  # the whole group has ended


def task_environment(given: dict[str, str], wheel_folders: list[str]) -> dict[str, str]:
    """The environment of a task: this machine's, without our own settings, plus ``given``."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(_OWN_PREFIXES)
    }
    paths = [*wheel_folders, environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    environment["PYTHONUNBUFFERED"] = "1"
    return environment | given


def unpack_wheels(paths: list[str], folder: Path, locate: Callable[[str], Path]) -> list[str]:
    """Unpack wheels as an installer would lay them out. Returns one folder for each.

    Raises TaskStartError naming the wheel that is missing or damaged.
    """
    folders = []
    for number, path in enumerate(paths):
        target = folder / "wheels" / str(number)
        target.mkdir(parents=True, exist_ok=True)
        try:
            with zipfile.ZipFile(locate(path)) as wheel:
                _check_wheel(wheel, path, target)
                wheel.extractall(target)
        except (OSError, zipfile.BadZipFile) as error:
            raise TaskStartError(
                "LIBRARY_INSTALLATION_ERROR",
                f"The wheel {path} does not exist or is damaged: {type(error).__name__}",
            ) from error
        folders.append(str(target))
    return folders


def _check_wheel(wheel: zipfile.ZipFile, path: str, target: Path) -> None:
    if sum(member.file_size for member in wheel.infolist()) > LARGEST_WHEEL:
        text = f"The wheel {path} would unpack to more than {LARGEST_WHEEL} bytes."
        raise TaskStartError("LIBRARY_INSTALLATION_ERROR", text)
    for name in wheel.namelist():
        if not (target / name).resolve().is_relative_to(target.resolve()):
            text = f"The wheel {path} leads out of itself."
            raise TaskStartError("LIBRARY_INSTALLATION_ERROR", text)
