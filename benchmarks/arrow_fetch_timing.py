"""How each side of arrow_fetch_1m is timed, and what it must have read."""

from __future__ import annotations

import time
from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

FETCHES = 3


def measure(fetch: Callable[[], pa.Table]) -> dict:
    """Seconds of FETCHES fetches after one that is not counted, and what each of them read."""
    fetch()
    seconds, facts = [], []
    for _ in range(FETCHES):
        started = time.perf_counter()
        table = fetch()
        seconds.append(round(time.perf_counter() - started, 3))
        facts.append(_facts(table))
    return {"seconds": seconds, "facts": facts}


def _facts(table: pa.Table) -> dict:
    return {
        "rows": table.num_rows,
        "ids": pc.sum(table.column("id")).as_py(),
        "amount": str(pc.sum(table.column("amount")).as_py()),
        "reviewed": pc.sum(table.column("reviewed")).as_py(),
        "last": str(pc.max(table.column("received_at")).as_py()),
    }
