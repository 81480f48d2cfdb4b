"""Run the benchmarks in the lakehouse environment."""

from __future__ import annotations

import subprocess

from tools import environments, lakehouse, paths


def run(only: str | None) -> int:
    python = environments.LAKEHOUSE.ensure()
    command = [python, "-m", "benchmarks", *([only] if only else [])]
    return subprocess.run(command, env=lakehouse.python_env(), cwd=paths.ROOT).returncode
