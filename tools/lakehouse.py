"""The lakehouse's own code as jobs get it: a wheel, built from the checkout when it changed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tools import environments, paths
from tools.steps import StepFailed, run, step

WHEEL_SOURCES = ("lakehouse_jobs", "ml", "odoo_databricks/lib/bir_rules")
WHEEL_FILES = ("setup.py", "pyproject.toml")


def python_env() -> dict[str, str]:
    """Environment of lakehouse processes run from the checkout."""
    found = [str(paths.ROOT), str(paths.ADDON / "lib")]
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("DATABRICKS_", "MLFLOW_"))}
    return {**kept, "PYTHONPATH": os.pathsep.join(found), "PYTHONDONTWRITEBYTECODE": "1"}


def build_wheel() -> Path:
    """Return the wheel of `lakehouse_jobs`, `ml` and `bir_rules`, built anew if they changed."""
    target = paths.BUILD / "wheel"
    stamp = target / "fingerprint"
    current = paths.fingerprint(*(paths.ROOT / n for n in (*WHEEL_SOURCES, *WHEEL_FILES)))
    wheels = sorted(target.glob("*.whl"))
    if wheels and stamp.exists() and stamp.read_text() == current:
        return wheels[0]
    with step("wheel of the lakehouse jobs"):
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        # pip builds from a copy: setuptools leaves build/ and egg-info folders where it runs
        source = target / "source"
        for name in WHEEL_FILES:
            source.mkdir(exist_ok=True)
            shutil.copy2(paths.ROOT / name, source / name)
        for folder in WHEEL_SOURCES:
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(paths.ROOT / folder, source / folder, ignore=ignored)
        python = environments.LAKEHOUSE.python
        command = [python, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
        run([*command, "-w", target, source], log="wheel")
        shutil.rmtree(source)
        wheels = sorted(target.glob("*.whl"))
        if len(wheels) != 1:
            raise StepFailed(f"expected one wheel in {target}, found {len(wheels)}")
        stamp.write_text(current)
    return wheels[0]
