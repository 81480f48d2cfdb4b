"""Memory of a workspace with its engine: when idle, and idle again after 10,000 statements.

Counted are the proportional set sizes of the process and all its children, so that pages they
share count once. Both figures are taken after a rest, in which a grown engine is replaced.
"""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import psutil

from . import workspace
from .report import case

STATEMENTS = 10_000
FIRST = 200
CLIENTS = 4
REST_SECONDS = 20
SAMPLES = 10
TABLE = "main.gold.memory"
REFERENCE = f"the same workspace after {FIRST} statements"
MB = 1024 * 1024


def run() -> dict:
    load = os.getloadavg()[0]
    with workspace.running() as server:
        server.sql(f"CREATE TABLE {TABLE} AS SELECT id, id % 7 AS k FROM range(10000)")
        with server.http() as client:
            _run_many(client, FIRST)
            idle, own_idle = _rested(server)
            started = time.monotonic()
            _run_many(client, STATEMENTS)
            seconds = time.monotonic() - started
            peak, _ = _memory(server)
            after, own_after = _rested(server)
    return {
        "unit": "MB",
        "rows": STATEMENTS,
        "cases": [
            case(f"all processes after {STATEMENTS} statements", after, idle, REFERENCE),
            case("of these the workspace's own process", own_after, own_idle, REFERENCE),
        ],
        "at_the_end": peak,
        "statements_per_second": round(STATEMENTS / seconds, 1),
        "load_at_start": round(load, 2),
    }


def _run_many(client: httpx.Client, statements: int) -> None:
    numbers = iter(range(statements))
    with ThreadPoolExecutor(CLIENTS) as pool:
        for _ in pool.map(lambda number: _one(client, number), numbers):
            continue


def _one(client: httpx.Client, number: int) -> None:
    """What clients send: parameters, aggregates, mistakes, writes, results as links."""
    kind = number % 100
    order: dict = {"warehouse_id": "local", "wait_timeout": "50s"}
    state = "SUCCEEDED"
    if kind == 0:
        order["statement"] = f"INSERT INTO {TABLE} VALUES ({number}, 1)"
    elif kind < 10:
        order["statement"] = f"SELECT no_such_column_{number} FROM {TABLE}"
        state = "FAILED"
    elif kind < 30:
        order["statement"] = f"SELECT k, count(*) AS n FROM {TABLE} GROUP BY k"
        order |= {"disposition": "EXTERNAL_LINKS", "format": "ARROW_STREAM"}
    else:
        order["statement"] = f"SELECT * FROM {TABLE} WHERE id BETWEEN :low AND :low + 20"
        order["parameters"] = [{"name": "low", "type": "BIGINT", "value": str(number % 9000)}]
    answer = client.post(workspace.STATEMENTS, json=order).json()
    if answer.get("status", {}).get("state") != state:
        raise RuntimeError(answer)


def _rested(server: workspace.Workspace) -> tuple[float, float]:
    """MB after a rest: the least of some samples, so that no hand-over of engines is counted."""
    time.sleep(REST_SECONDS)
    samples = []
    for _ in range(SAMPLES):
        samples.append(_memory(server))
        time.sleep(0.5)
    return min(samples)


def _memory(server: workspace.Workspace) -> tuple[float, float]:
    """MB of the workspace with its children, and of itself."""
    own = psutil.Process(server.pid)
    sizes = []
    for member in [own, *own.children(recursive=True)]:
        try:
            sizes.append(round(member.memory_full_info().pss / MB, 1))
        except psutil.Error:  # it ended while it was looked at
            continue
    return round(sum(sizes), 1), sizes[0]
