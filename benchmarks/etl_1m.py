"""Bronze to Gold of one million generated rows, beside polars + delta-rs doing the same work.

Both open the same ZIPs, keep the raw records, validate, quarantine, remove repeats, and build the
three Gold tables as Delta tables, each layer read from the one before. Their counts and sums must
be equal, else the run fails. Each side runs in processes of its own, one after the other.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

from lakehouse_jobs.generator import Options, write_exports

from .report import case

ROWS = 1_000_000
OPTIONS = Options(seed=7, companies=3, months=12, lines=ROWS, start="2025-01", vendors_per_kind=40)
DATA = Path(__file__).resolve().parent / "data" / "etl_1m"
REFERENCE = "polars + delta-rs"
ROUNDS = 2


class ResultsDiffer(RuntimeError):
    """The two sides did not compute the same; their times mean nothing."""


def run() -> dict:
    """Runs both sides ROUNDS times, in turn, and reports the best round of each."""
    exports = DATA / "exports"
    if not (DATA / "complete").exists():
        shutil.rmtree(DATA, ignore_errors=True)
        write_exports(exports, OPTIONS)
        (DATA / "complete").touch()
    load = os.getloadavg()[0]
    ours, reference = [], []
    for number in range(ROUNDS):
        print(f"etl_1m: round {number + 1} of {ROUNDS}, ours", flush=True)
        ours.append(_ours(exports))
        print(f"etl_1m: round {number + 1} of {ROUNDS}, {REFERENCE}", flush=True)
        reference.append(_child("etl_reference", exports, {}))
        if ours[-1]["facts"] != reference[-1]["facts"]:
            raise ResultsDiffer(f"ours {ours[-1]['facts']}, theirs {reference[-1]['facts']}")
    best, other = (min(rounds, key=lambda r: r["total"]) for rounds in (ours, reference))
    return {
        "unit": "s",
        "rows": ROWS,
        "cases": [case("ZIP files to Gold", best["total"], other["total"], REFERENCE)],
        "seconds": {"ours": best["seconds"], "reference": other["seconds"]},
        "rounds": {
            "ours": [r["total"] for r in ours],
            "reference": [r["total"] for r in reference],
        },
        # Less moved by other work on the machine than the seconds on the clock.
        "cpu_seconds": {"ours": best["cpu_seconds"], "reference": other["cpu_seconds"]},
        "peak_mb": {"ours": best["peak_mb"], "reference": other["peak_mb"]},
        "facts": best["facts"],
        "load_at_start": round(load, 2),
    }


def _ours(exports: Path) -> dict:
    """A Sail server process and a client process that runs the job's three stages."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    sail = str(Path(sys.executable).parent / "sail")
    server = subprocess.Popen(
        [sail, "spark", "server", "--ip", "127.0.0.1", "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(port, server)
        result = _child("etl_ours", exports, {"SPARK_REMOTE": f"sc://127.0.0.1:{port}"})
        peak = _peak_mb(server.pid)
        result["peak_mb"] = {"client": result["peak_mb"], "server": peak}
        result["cpu_seconds"] = round(result["cpu_seconds"] + _cpu_seconds(server.pid), 1)
        result["peak_mb"]["sum"] = result["peak_mb"]["client"] + peak
        return result
    finally:
        server.terminate()
        server.wait(20)


def _wait_for(port: int, server: subprocess.Popen) -> None:
    for _ in range(200):
        if server.poll() is not None:
            raise RuntimeError(f"the Sail server ended with {server.returncode}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError("the Sail server does not listen")


def _peak_mb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) // 1024


def _cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _child(module: str, exports: Path, environment: dict[str, str]) -> dict:
    """Runs a side in a folder that is empty before and removed after."""
    work = DATA / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    try:
        done = subprocess.run(
            [sys.executable, "-m", f"{__package__}.{module}", str(exports), str(work)],
            cwd=Path(__file__).resolve().parents[1],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{module} failed: {done.stderr[-3000:]}")
        return json.loads(done.stdout.splitlines()[-1])
    finally:
        shutil.rmtree(work, ignore_errors=True)
