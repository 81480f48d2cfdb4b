"""Faults on demand, so that clients can be tested against answers a healthy server never gives."""

from __future__ import annotations

import threading
from fnmatch import fnmatchcase
from typing import Literal

from pydantic import BaseModel, Field


class Fault(BaseModel):
    """One planned fault: which calls, what they get, how many times.

    ``path`` is a shell pattern on the URL path. ``drop`` ends the connection without an answer,
    before the call is done or after. Without ``status`` and ``drop`` a call is only delayed.
    """

    path: str = Field(min_length=1)
    method: str | None = None
    status: int | None = Field(default=None, ge=400, le=599)
    error_code: str | None = None
    message: str = "planned fault"
    retry_after: int | None = Field(default=None, ge=0)
    drop: Literal["before", "after"] | None = None
    delay_seconds: float = Field(default=0, ge=0, le=300)
    times: int = Field(default=1, ge=1)


class Faults:
    """The list of planned faults; the first one that matches is used up first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._planned: list[Fault] = []

    def plan(self, fault: Fault) -> None:
        with self._lock:
            self._planned.append(fault)

    def clear(self) -> None:
        with self._lock:
            self._planned.clear()

    def planned(self) -> list[Fault]:
        with self._lock:
            return [fault.model_copy() for fault in self._planned]

    def take(self, method: str, path: str) -> Fault | None:
        """Return the fault for this call, counting it as used, or None."""
        if not self._planned:
            return None
        with self._lock:
            for fault in self._planned:
                if fault.method and fault.method.upper() != method:
                    continue
                if not fnmatchcase(path, fault.path):
                    continue
                fault.times -= 1
                if fault.times == 0:
                    self._planned.remove(fault)
                return fault
        return None
