"""What every kind of task is given, and what it gives back."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ..job_spec import kind_of, wheels
from ..run_store import settings_of
from ..transitions import Outcome

CODE_FAILED = "Workload failed, see run output for details."


class Work(Protocol):
    """An attempt under way."""

    def run(self) -> Outcome:
        """Do the work in the calling thread."""

    def stop(self) -> None:
        """Ask for its end, from any thread, also before ``run``; without effect after it."""


@dataclass(frozen=True)
class TaskContext:
    """One attempt about to run: ``task`` has its parameters resolved, ``folder`` is its own."""

    services: object
    run: sqlite3.Row
    attempt: sqlite3.Row
    task: dict
    folder: Path

    @property
    def kind(self) -> str:
        return kind_of(self.task)

    @property
    def payload(self) -> dict:
        return self.task[self.kind]

    @property
    def wheels(self) -> list[str]:
        return wheels(self.task, settings_of(self.run))

    def write_log(self, text: str) -> None:
        """Add to the attempt's log, which a task without a process of its own has too."""
        with (self.folder / "stdout").open("a", encoding="utf-8", errors="replace") as log:
            if log.tell() < self.services.settings.log_cap:
                log.write(text)


def failed(text: str, trace: str | None = None, output: dict | None = None) -> Outcome:
    """The work was begun and failed: ``text`` is for get-output, not for the state."""
    return Outcome("FAILED", CODE_FAILED, text, trace, output=output)
