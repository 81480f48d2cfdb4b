"""The thread that acts when a time has come: schedules, retries, timeouts."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

log = logging.getLogger("local_workspace.runs")

# The clock may be set while the thread waits, and a deadline may come nearer.
LONGEST_WAIT = 1.0


class Timekeeper:
    """Calls ``tick`` once a second at most, and at once after ``wake``."""

    def __init__(self, tick: Callable[[], float | None]) -> None:
        """``tick`` does what is due and returns the seconds until the next thing is, or None."""
        self._tick = tick
        self._woken = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="timekeeper", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        self._woken.set()

    def stop(self) -> None:
        self._stopping = True
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join(10)

    def _run(self) -> None:
        while not self._stopping:
            wait = LONGEST_WAIT
            try:
                due = self._tick()
                wait = LONGEST_WAIT if due is None else max(0.0, min(due, LONGEST_WAIT))
            except Exception:
                # One bad row must not end all schedules.
                log.exception("the timekeeper failed; it goes on")
            self._woken.wait(wait)
            self._woken.clear()
