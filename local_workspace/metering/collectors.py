"""What has ended since the last look, as rows for the ``system`` tables.

Each collector runs inside one transaction of the store: it puts rows into the outbox and marks
what they were made of.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from .collect_billing import list_prices, usage
from .collect_lakeflow import jobs, pipelines, runs, task_runs, updates
from .collect_query import history
from .place import Place

__all__ = ["COLLECTORS", "Place"]

Collector = Callable[[sqlite3.Connection, Place], None]
COLLECTORS: tuple[Collector, ...] = (
    list_prices, usage, history, jobs, runs, task_runs, pipelines, updates,
)  # fmt: skip
