"""The time of the workspace. Tests set it forward to see expiries and schedules happen."""

from __future__ import annotations

import time

_ahead_ms = 0


def now_ms() -> int:
    """Milliseconds since the epoch, the unit of every time in the REST contract."""
    return int(time.time() * 1000) + _ahead_ms


def set_ahead(seconds: float) -> None:
    """Let the workspace's time be ``seconds`` ahead of the machine's (0: the same)."""
    global _ahead_ms
    _ahead_ms = int(seconds * 1000)
