"""Steps that say what they do, how long they take, and why they failed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tools import paths

HEARTBEAT_SECONDS = 20
TAIL_LINES = 15
_print_lock = threading.Lock()
_running: set[subprocess.Popen[bytes]] = set()
_interrupted = threading.Event()


class StepFailed(Exception):
    """A step that could not be done: `reason` for a person, `log` where the details are."""

    def __init__(self, reason: str, log: Path | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.log = log


def say(text: str) -> None:
    with _print_lock:
        print(text, flush=True)


@contextmanager
def step(name: str) -> Iterator[None]:
    """Announce `name`, show that it is still going, and say how long it took."""
    say(f"  · {name}")
    started = time.monotonic()
    finished = threading.Event()

    def heartbeat() -> None:
        while not finished.wait(HEARTBEAT_SECONDS):
            say(f"    … {name}: {time.monotonic() - started:.0f} s so far")

    thread = threading.Thread(target=heartbeat, daemon=True)
    thread.start()
    try:
        yield
    except StepFailed as failure:
        failure.args = (f"{name}: {failure.reason}",)
        raise
    finally:
        finished.set()
    say(f"  ✓ {name} ({time.monotonic() - started:.0f} s)")


def run(
    command: Sequence[str | Path],
    *,
    log: str,
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
    stdin: Path | None = None,
    explain: Callable[[str], str | None] = lambda output: None,
) -> None:
    """Run a command with its output in `logs/<log>.log`; raise StepFailed with the log's tail.

    `explain` turns the output into a sentence for a person, where it can.
    """
    returncode, target = logged(command, log=log, env=env, cwd=cwd, stdin=stdin)
    if returncode:
        text = target.read_text(errors="replace")
        tail = "\n".join("      " + line for line in text.splitlines()[-TAIL_LINES:])
        name = Path(str(command[0])).name
        reason = explain(text) or f"`{name}` ended with exit code {returncode}"
        raise StepFailed(f"{reason}\n{tail}", target)


def logged(
    command: Sequence[str | Path],
    *,
    log: str,
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
    stdin: Path | None = None,
) -> tuple[int, Path]:
    """Run a command with its output in `logs/<log>.log`; return its exit code and that file."""
    if _interrupted.is_set():
        raise StepFailed("interrupted")
    target = paths.logs() / f"{log}.log"
    with target.open("wb") as log_file, (stdin or Path("/dev/null")).open("rb") as source:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdout=log_file,
            stderr=subprocess.STDOUT,
            stdin=source,
            env=env,
            cwd=cwd or paths.ROOT,
            start_new_session=True,
        )
        _running.add(process)
        try:
            process.wait()
        finally:
            _end(process)
    return process.returncode, target


def output(command: Sequence[str | Path], env: dict[str, str], what: str) -> str:
    """Run a short command and return what it printed; raise StepFailed with its error text."""
    done = subprocess.run(
        [str(part) for part in command],
        env=env,
        cwd=paths.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        tail = "\n".join("      " + line for line in done.stderr.splitlines()[-TAIL_LINES:])
        raise StepFailed(f"{what} ended with exit code {done.returncode}\n{tail}")
    return done.stdout


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a command and whatever it started (each has its own process group)."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    _running.discard(process)


def together(*tasks: Callable[[], object]) -> None:
    """Run independent steps side by side; the first failure is raised after all have ended."""
    try:
        with ThreadPoolExecutor(max_workers=len(tasks) or 1) as pool:
            futures = [pool.submit(task) for task in tasks]
            try:
                for future in futures:
                    future.exception()
            except BaseException:
                # the threads only return when their commands are gone and none follows
                _interrupted.set()
                for process in list(_running):
                    _end(process)
                raise
    finally:
        # the threads have ended: what is stopped next runs commands too
        _interrupted.clear()
    for future in futures:
        future.result()


@contextmanager
def failures_explained() -> Iterator[None]:
    """Turn StepFailed into a few lines on stderr and exit code 1, an interrupt into 130."""
    # being ended is like being interrupted, also where a shell has SIGINT ignored
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except StepFailed as failure:
        print(f"\n  ✗ {failure}", file=sys.stderr)
        if failure.log:
            print(f"    log: {failure.log}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        print("\n  ✗ interrupted", file=sys.stderr)
        raise SystemExit(130) from None
