"""One-row invocations of a served model, beside ``pyfunc.predict`` of the same model in process.

Latency: rounds in turn, one request after the other on one connection. Rate: a client process
sends at a fixed rate whatever the answers do (latency counts from when a request was due); the
rate grows by steps until one is not held, and the highest one must then be held for a minute.
Held means: every answer is a 200, and p99 is below a second.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from . import workspace
from .report import case

ROOT = Path(__file__).resolve().parents[1]
NAME = "main.ml.benchmark"
ENDPOINT = "benchmark"
REFERENCE = "pyfunc.predict in process"
RECORD = {f"feature_{number}": number / 10 for number in range(8)}
ROUNDS = 4
COUNT = 500
FIRST_RATE = 100
STEP = 50
STEP_SECONDS = 10
HOLD_SECONDS = 60
LATE_MS = 1000


def run() -> dict:
    load = os.getloadavg()[0]
    with workspace.running() as place:
        model = {
            "tracking": f"sqlite:///{place.data / 'mlflow.db'}",
            "artifacts": (place.data / "mlartifacts" / "benchmark").as_uri(),
            "name": NAME,
            "record": RECORD,
            "count": COUNT,
        }
        _child("serving_model", ["register"], model)
        _serve(place)
        order = {
            "host": place.host,
            "token": place.token,
            "path": f"/serving-endpoints/{ENDPOINT}/invocations",
            "body": {"dataframe_records": [RECORD]},
        }
        _same_prediction(place, order, model)
        _child("serving_load", [], order | {"count": COUNT})  # warms up
        ours, reference = [], []
        for number in range(ROUNDS):
            print(f"serving: round {number + 1} of {ROUNDS}", flush=True)
            ours.append(_child("serving_load", [], order | {"count": COUNT}))
            reference.append(_child("serving_model", ["predict"], model)["times"])
        held = _highest_rate(order)
        half = _at_rate(order, held["rate"] / 2, HOLD_SECONDS)
    best, other = (min(rounds, key=statistics.median) for rounds in (ours, reference))
    return {
        "unit": "ms",
        "rows": 1,
        "cases": [
            case(f"one row, p{percent}", _percentile(best, percent), _percentile(other, percent),
                 REFERENCE)
            for percent in (50, 95)
        ],
        "rounds_p50": {
            "ours": [_percentile(times, 50) for times in ours],
            "reference": [_percentile(times, 50) for times in reference],
        },
        "rate": {"held_for_seconds": HOLD_SECONDS, **held},
        "half_rate": half,
        "load_at_start": round(load, 2),
    }  # fmt: skip


def _serve(place: workspace.Workspace) -> None:
    """Make the endpoint and wait until it answers."""
    entity = {"entity_name": NAME, "entity_version": "1", "workload_size": "Small"}
    body = {"name": ENDPOINT, "config": {"served_entities": [entity]}}
    path = "/api/2.0/serving-endpoints"
    with place.http() as http:
        http.post(path, json=body).raise_for_status()
        deadline = time.monotonic() + 120
        while (state := http.get(f"{path}/{ENDPOINT}").json()["state"])["ready"] != "READY":
            if state["config_update"] == "UPDATE_FAILED" or time.monotonic() > deadline:
                raise RuntimeError(f"the endpoint does not serve: {state}")
            time.sleep(0.2)


def _same_prediction(place: workspace.Workspace, order: dict, model: dict) -> None:
    with place.http() as http:
        ours = http.post(order["path"], json=order["body"]).json()["predictions"]
    theirs = _child("serving_model", ["predict"], model | {"count": 1})["prediction"]
    if ours != theirs:
        raise RuntimeError(f"ours predicts {ours}, the reference {theirs}")


def _highest_rate(order: dict) -> dict:
    rate = FIRST_RATE
    while _is_held(_at_rate(order, rate, STEP_SECONDS)):
        rate += STEP
    while rate > STEP:
        rate -= STEP
        found = _at_rate(order, rate, HOLD_SECONDS)
        if _is_held(found):
            return found
    raise RuntimeError("no rate is held")


def _at_rate(order: dict, rate: float, seconds: int) -> dict:
    found = _child("serving_load", [], order | {"rate": rate, "seconds": seconds})
    times = found["times"] or [float("inf")]
    result = {
        "rate": rate,
        "sent": found["sent"],
        "errors": found["errors"],
        **{f"p{percent}_ms": _percentile(times, percent) for percent in (50, 95, 99)},
    }
    print(f"serving: {result}, {found['first_error'] or 'no error'}", flush=True)
    return result


def _is_held(found: dict) -> bool:
    return found["errors"] == 0 and found["p99_ms"] < LATE_MS


def _percentile(times: list[float], percent: int) -> float:
    ordered = sorted(times)
    return round(ordered[min(len(ordered) * percent // 100, len(ordered) - 1)], 3)


def _child(module: str, arguments: list[str], order: dict) -> dict | list:
    """Run one side; the token goes by standard input, so that no list of processes shows it."""
    done = subprocess.run(
        [sys.executable, "-m", f"{__package__}.{module}", *arguments],
        cwd=ROOT, input=json.dumps(order), capture_output=True, text=True,
        env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"},
    )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError(f"{module} failed: {done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])
