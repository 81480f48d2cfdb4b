"""Arrow fetch of one million rows through the connector, beside the same statement on the engine.

The engine is the same process in both cases: once asked through the workspace by an unmodified
databricks-sql-connector (kernel and Thrift backends), once by Spark Connect's ``toArrow()``. Each
side runs in a process of its own, in turn. All must hold the same rows, else the run fails. What
delta-rs takes to read the same table without an engine is given for information only: a scan is
always answered by the engine here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tools import environments

from . import workspace
from .report import case

ROWS = 1_000_000
ROUNDS = 3
TABLE = "main.gold.arrow_fetch"
STATEMENT = f"SELECT * FROM {TABLE}"
REFERENCE = "toArrow() on the same Sail process"
BACKENDS = ("kernel", "thrift")
MAKE = f"""
    CREATE TABLE {TABLE} USING DELTA AS SELECT
        id,
        concat('Vendor ', id % 5000, ' Trading Corp.') AS vendor,
        lpad(cast(id % 900000000 AS STRING), 9, '0') AS tin,
        cast(id * 1.25 AS DECIMAL(18,2)) AS amount,
        date_add(DATE'2025-01-01', cast(id % 365 AS INT)) AS day,
        cast(1735689600 + id AS TIMESTAMP) AS received_at,
        id % 7 = 0 AS reviewed
    FROM range({ROWS})
"""


class ResultsDiffer(RuntimeError):
    """The sides did not read the same rows; their times mean nothing."""


def run() -> dict:
    """Runs every side ROUNDS times, in turn, and reports the best fetch of each."""
    load = os.getloadavg()[0]
    clients = str(environments.CLIENTS.ensure())
    found: dict[str, list[dict]] = {name: [] for name in (*BACKENDS, "engine", "delta-rs")}
    with workspace.running() as place:
        place.sql(MAKE)
        folder = place.data / "tables" / TABLE.replace(".", "/")
        for number in range(ROUNDS):
            print(f"arrow_fetch_1m: round {number + 1} of {ROUNDS}", flush=True)
            for name in ("engine", "delta-rs"):
                given = {"port": place.engine_port, "folder": str(folder), "table": TABLE}
                found[name].append(_child(sys.executable, "reference", name, given))
            for name in BACKENDS:
                given = {"host": place.host, "token": place.token}
                found[name].append(_child(clients, "client", name, given))
    facts = found["engine"][0]["facts"][0]
    for name, rounds in found.items():
        for read in sum((one["facts"] for one in rounds), []):
            if read != facts:
                raise ResultsDiffer(f"{name} read {read}, the engine {facts}")
    seconds = {name: sum((one["seconds"] for one in rounds), []) for name, rounds in found.items()}
    best = {name: min(times) for name, times in seconds.items()}
    print(f"arrow_fetch_1m: delta-rs reads the table in {best['delta-rs']} s (for information)")
    return {
        "unit": "s",
        "rows": ROWS,
        "cases": [case(name, best[name], best["engine"], REFERENCE) for name in BACKENDS],
        "rounds": seconds,
        "delta_rs": best["delta-rs"],
        "facts": facts,
        "load_at_start": round(load, 2),
    }


def _child(python: str, module: str, name: str, given: dict) -> dict:
    """Run one side; the token goes by standard input, so that no list of processes shows it."""
    done = subprocess.run(
        [python, "-m", f"{__package__}.arrow_fetch_{module}", name],
        cwd=Path(__file__).resolve().parents[1],
        input=json.dumps({"statement": STATEMENT, **given}),
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{name} failed: {done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])
