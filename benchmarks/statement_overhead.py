"""A statement through the API, beside the same statement on the same engine through pyspark.

Two small queries and an aggregate over a million rows, one after the other in turns. What the API
adds is HTTP, the token, the session, the record in the store and the rows as JSON.
"""

from __future__ import annotations

import os
import statistics
import time

import httpx
from pyspark.sql import SparkSession

from . import workspace
from .report import case

ROWS = 1_000_000
REFERENCE = "pyspark on the same Sail"
TABLE = "main.gold.numbers"
WARM_UP = 20

QUERIES = {
    # name: (statement, rounds)
    "1 row": (f"SELECT id, name, amount FROM {TABLE} WHERE id = 123456", 200),
    "80 rows": (f"SELECT id, name, amount, day FROM {TABLE} WHERE id < 80 ORDER BY id", 200),
    "aggregate over 1M rows": (
        f"SELECT name, count(*) AS n, sum(amount) AS total FROM {TABLE} GROUP BY name ORDER BY n",
        40,
    ),
}
_MAKE = f"""
CREATE TABLE {TABLE} AS SELECT id, concat('vendor ', id % 500) AS name,
cast(id % 10007 AS DECIMAL(18,2)) AS amount,
date_add(DATE'2025-01-01', cast(id % 365 AS INT)) AS day
FROM range({ROWS})
"""


class AnswersDiffer(RuntimeError):
    """Both sides must give the same number of rows."""


def run() -> dict:
    load = os.getloadavg()[0]
    cases, seconds = [], {}
    with workspace.running() as server, server.http() as client:
        server.sql(_MAKE)
        spark = _spark(server)
        for name, (statement, rounds) in QUERIES.items():
            ours, reference = _measure(client, spark, statement, rounds)
            cases.append(
                case(name, statistics.median(ours), statistics.median(reference), REFERENCE)
            )
            seconds[name] = {
                "added_p50_ms": round(cases[-1]["ours"] - cases[-1]["reference"], 2),
                "p95": {"ours": _p95(ours), "reference": _p95(reference)},
            }
        spark.stop()
    for one in cases:
        one["ours"], one["reference"] = round(one["ours"], 2), round(one["reference"], 2)
    return {
        "unit": "ms",
        "rows": ROWS,
        "cases": cases,
        "details": seconds,
        "load_at_start": round(load, 2),
    }


def _measure(
    client: httpx.Client, spark: SparkSession, statement: str, rounds: int
) -> tuple[list[float], list[float]]:
    """Milliseconds of each round on both sides."""
    ours: list[float] = []
    reference: list[float] = []
    for number in range(WARM_UP + rounds):
        started = time.perf_counter()
        mine = _ask(client, statement)
        between = time.perf_counter()
        theirs = spark.sql(statement).toArrow().num_rows
        ended = time.perf_counter()
        if mine != theirs:
            raise AnswersDiffer(f"{mine} and {theirs} rows of {statement}")
        if number >= WARM_UP:
            ours.append((between - started) * 1000)
            reference.append((ended - between) * 1000)
    return ours, reference


def _ask(client: httpx.Client, statement: str) -> int:
    order = {"statement": statement, "warehouse_id": "local", "wait_timeout": "50s"}
    answer = client.post(workspace.STATEMENTS, json=order).json()
    if answer.get("status", {}).get("state") != "SUCCEEDED":
        raise RuntimeError(answer)
    return len(answer["result"]["data_array"])


def _spark(server: workspace.Workspace) -> SparkSession:
    """A session on the workspace's engine that knows the table, as the workspace's own do."""
    spark = SparkSession.builder.remote(f"sc://127.0.0.1:{server.engine_port}").getOrCreate()
    spark.conf.set("spark.sql.session.timeZone", "UTC")
    catalog, schema, table = TABLE.split(".")
    folder = server.data / "tables" / catalog / schema
    spark.sql(f"CREATE SCHEMA IF NOT EXISTS {catalog}.{schema} LOCATION '{folder.as_uri()}'")
    spark.sql(f"CREATE TABLE {TABLE} USING delta LOCATION '{(folder / table).as_uri()}'")
    return spark


def _p95(times: list[float]) -> float:
    return round(sorted(times)[int(len(times) * 0.95)], 2)
