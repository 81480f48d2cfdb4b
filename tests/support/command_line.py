"""The workspace's command line as a person or a script runs it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from workspace_process import PYTHON, ROOT, child_environment


def command(*arguments: object, code: int | None = 0) -> subprocess.CompletedProcess[str]:
    """Run ``local-workspace ARGUMENTS``; the exit code must be ``code`` (None: any)."""
    done = subprocess.run(
        [PYTHON, "-m", "local_workspace", *map(str, arguments)],
        cwd=ROOT, env=child_environment(), capture_output=True, text=True, timeout=120,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert code is None or done.returncode == code, f"{done.returncode}: {done.stdout}{done.stderr}"
    assert "Traceback" not in done.stderr
    return done


def answer(*arguments: object) -> dict:
    """The one JSON line that a command prints."""
    return json.loads(command(*arguments).stdout)


def answers(*arguments: object) -> list[dict]:
    return [json.loads(line) for line in command(*arguments).stdout.splitlines()]


def refusal(*arguments: object) -> str:
    """What a command says that cannot do its work; it prints nothing else."""
    done = command(*arguments, code=1)
    assert done.stdout == ""
    return done.stderr


def initialised(folder: Path) -> dict:
    return answer("init", "--data", folder)
