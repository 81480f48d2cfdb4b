"""Which calls were witnessed: a count for each route, kept when the workspace is asked to record.

The client suite runs against a recording workspace; the capability list is made of its counts.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from pathlib import Path


class Recorder:
    """Counts answers that a route gave (a status below 400) by method and route path."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, str]] = Counter()

    def note(self, method: str, route: str, status: int) -> None:
        if self._path is None or status >= 400:
            return
        with self._lock:
            self._counts[method, route] += 1

    def save(self) -> None:
        """Add the counts to the file of an earlier recording, if there is one."""
        if self._path is None:
            return
        with self._lock:
            counts, self._counts = self._counts, Counter()
        earlier = json.loads(self._path.read_text()) if self._path.exists() else {}
        for (method, route), count in counts.items():
            key = f"{method} {route}"
            earlier[key] = earlier.get(key, 0) + count
        self._path.write_text(json.dumps(earlier, indent=1, sort_keys=True) + "\n")
