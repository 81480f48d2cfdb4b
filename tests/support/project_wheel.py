"""The wheel of the project's jobs and pipelines, built as a release builds it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("lakehouse_jobs", "ml", "odoo_databricks/lib/bir_rules")


def build_wheel(work: Path) -> Path:
    """Build in a copy below ``work``, so that no build folder appears in the checkout."""
    source = work / "source"
    for part in PARTS:
        shutil.copytree(ROOT / part, source / part, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml"):
        shutil.copy(ROOT / name, source / name)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q"]
    built = subprocess.run(
        [*command, "-w", str(work), str(source)], capture_output=True, text=True, timeout=120
    )
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = work.glob("*.whl")
    return path
