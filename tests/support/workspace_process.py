"""One real workspace process for the tests, and the environment of children beside it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIB = ROOT / "odoo_databricks" / "lib"
# The workspace lives in the lakehouse environment, also when the tests have one of their own.
PYTHON = os.environ.get("LAKEHOUSE_PYTHON") or sys.executable


@dataclass(frozen=True)
class Credentials:
    """What init shows once: the owner's token, and a service principal's id and secret."""

    token: str = field(repr=False)
    client_id: str
    client_secret: str = field(repr=False)


@dataclass(frozen=True)
class RunningWorkspace:
    """A workspace process: where it listens, what init showed, and its data folder."""

    host: str
    credentials: Credentials
    data: Path
    process: subprocess.Popen = field(repr=False)

    @property
    def token(self) -> str:
        return self.credentials.token

    def sdk(self):
        """Return an unmodified databricks-sdk client with the bounds that our own code uses."""
        from databricks.sdk import WorkspaceClient
        from databricks.sdk.config import Config

        return WorkspaceClient(
            config=Config(
                host=self.host,
                token=self.token,
                auth_type="pat",
                config_file=os.devnull,
                retry_timeout_seconds=10,
                http_timeout_seconds=10,
            )
        )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def child_environment() -> dict[str, str]:
    """Environment of a child: our packages importable, no Databricks settings of the caller."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DATABRICKS_", "SPARK_REMOTE", "LAKEHOUSE_", "MLFLOW_"))
    }
    environment["PYTHONPATH"] = os.pathsep.join((str(ROOT), str(LIB)))
    return environment


def init_workspace(data: Path) -> Credentials:
    """Create a workspace in ``data`` and return what it shows once."""
    made = subprocess.run(
        [PYTHON, "-m", "local_workspace", "init", "--data", str(data)],
        cwd=ROOT,
        env=child_environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert made.returncode == 0, made.stderr
    return Credentials(**json.loads(made.stdout))


def serve_workspace(
    data: Path, credentials: Credentials, port: int | None = None, options: tuple[str, ...] = ()
) -> RunningWorkspace:
    """Start ``local_workspace serve`` on a free port and wait for its ready line."""
    log = (data / "serve.stderr").open("ab")
    process = subprocess.Popen(
        [PYTHON, "-m", "local_workspace", "serve", "--data", str(data)]
        + ["--port", str(port or free_port()), "--job-python", PYTHON, *options],
        cwd=ROOT,
        env=child_environment(),
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
    )
    log.close()
    line = process.stdout.readline()
    if not line:
        process.wait(10)
        pytest.fail("the workspace did not start: " + (data / "serve.stderr").read_text()[-3000:])
    return RunningWorkspace(json.loads(line)["host"], credentials, data, process)


def stop_workspace(running: RunningWorkspace) -> None:
    running.process.terminate()
    try:
        running.process.wait(20)
    except subprocess.TimeoutExpired:
        running.process.kill()
        running.process.wait(5)
        raise
    finally:
        running.process.stdout.close()
