"""The result file that every benchmark writes."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "results"


def machine() -> dict:
    """Cores, memory and load of this machine; the load says how far a time may be trusted."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**30
    return {
        "cores": os.cpu_count(),
        "memory_gib": memory,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def commit() -> str | None:
    """The commit of the checkout, with + if files differ from it; None outside a repository."""
    root = Path(__file__).resolve().parents[1]

    def git(*args: str) -> str | None:
        done = subprocess.run(["git", *args], cwd=root, capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else None

    head = git("rev-parse", "--short", "HEAD")
    return None if head is None else head + ("+" if git("status", "--porcelain") else "")


def case(name: str, ours: float, reference: float, reference_name: str) -> dict:
    return {
        "name": name,
        "ours": ours,
        "reference": reference,
        "reference_name": reference_name,
        "ratio": round(ours / reference, 3),
    }


def write(name: str, result: dict) -> Path:
    """Writes results/NAME.json with machine, commit and the worst ratio; returns its path."""
    RESULTS.mkdir(exist_ok=True)
    worst = max(entry["ratio"] for entry in result["cases"])
    head = {"name": name, "unit": result["unit"], "rows": result["rows"]}
    document = {**head, "machine": machine(), "commit": commit(), **result, "ratio": worst}
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(document, indent=2) + "\n")
    return path
