"""Names of the folders in a folder, listed again only when the folder has changed."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

# A change within the same tick of the file system's clock leaves the time of the folder as it was,
# so a listing is kept only if the last change was a while before it.
SETTLED_NS = 100_000_000


class FolderNames:
    """Folders by path. Raises FileNotFoundError for one that is not there."""

    def __init__(self, is_name: Callable[[str], bool]) -> None:
        self._is_name = is_name
        self._lock = threading.Lock()
        self._known: dict[Path, tuple[int, frozenset[str]]] = {}

    def of(self, folder: Path) -> frozenset[str]:
        """Names of the folders directly in ``folder`` that may be used as names."""
        try:
            changed = os.stat(folder).st_mtime_ns
        except FileNotFoundError:
            with self._lock:
                self._known.pop(folder, None)
            raise
        with self._lock:
            known = self._known.get(folder)
        if known is not None and known[0] == changed:
            return known[1]
        listed = time.time_ns()
        with os.scandir(folder) as entries:
            names = frozenset(e.name for e in entries if self._is_name(e.name) and e.is_dir())
        if 0 <= changed < listed - SETTLED_NS:
            with self._lock:
                self._known[folder] = (changed, names)
        return names
