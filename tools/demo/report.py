"""The demo's table: what was done, how many rows, in how long, and where to look."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tools.steps import StepFailed, step

HEADER = ("what", "rows", "seconds", "where to look")


@dataclass
class Row:
    """One line of the table; `rows` and `where` are set once the check has passed."""

    what: str
    rows: int | str = ""
    where: str = ""
    seconds: float = 0.0


@dataclass
class Report:
    rows: list[Row] = field(default_factory=list)

    @contextmanager
    def row(self, what: str) -> Iterator[Row]:
        """A step whose line is only added when its block, checks included, has ended well."""
        entry = Row(what)
        started = time.monotonic()
        with step(what):
            yield entry
        entry.seconds = time.monotonic() - started
        self.rows.append(entry)

    def text(self) -> str:
        table = [HEADER]
        table += [(r.what, str(r.rows), f"{r.seconds:.1f}", r.where) for r in self.rows]
        widths = [max(len(line[i]) for line in table) for i in range(len(HEADER))]
        lines = []
        for line in table:
            what, rows, seconds, where = line
            lines.append(
                f"  {what:<{widths[0]}}  {rows:>{widths[1]}}  {seconds:>{widths[2]}}  {where}"
            )
        lines.insert(1, "  " + "  ".join("-" * width for width in widths))
        return "\n".join(lines)


def check(condition: bool, complaint: str) -> None:
    """A line of the table is only true when its check holds."""
    if not condition:
        raise StepFailed(f"check failed: {complaint}")
