"""A bounded number of threads that carry out attempts; runs take turns."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


class Workers:
    """At most ``slots`` attempts at a time. A run with many tasks does not hold up the others."""

    def __init__(self, slots: int, work: Callable[[int, dict], None]) -> None:
        """``work`` gets the run id of an attempt and its task."""
        self._work = work
        self._lock = threading.Lock()
        self._waiting: OrderedDict[int, deque[tuple[int, dict]]] = OrderedDict()
        self._pool = ThreadPoolExecutor(slots, "task")
        self._closed = False

    def put(self, run_id: int, attempt_id: int, task: dict) -> None:
        """Let an attempt wait for its turn; without effect once the workers are closed."""
        with self._lock:
            if self._closed:
                return
            self._waiting.setdefault(run_id, deque()).append((attempt_id, task))
            self._pool.submit(self._next)

    def close(self) -> None:
        """Begin nothing more; what is under way goes on."""
        with self._lock:
            self._closed = True
            self._waiting.clear()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def wait(self) -> None:
        """Wait for what is under way; after ``close``."""
        self._pool.shutdown(wait=True)

    def _next(self) -> None:
        with self._lock:
            if not self._waiting:
                return
            run_id, attempts = self._waiting.popitem(last=False)
            attempt_id, task = attempts.popleft()
            if attempts:
                self._waiting[run_id] = attempts  # behind the others
        self._work(attempt_id, task)
