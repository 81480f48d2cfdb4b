"""A workspace of its own for a benchmark: started, asked, stopped, its folder removed."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

ROOT = Path(__file__).resolve().parents[1]
STATEMENTS = "/api/2.0/sql/statements"


@dataclass(frozen=True)
class Workspace:
    """A running workspace process: address, token, data folder, process id."""

    host: str
    token: str
    data: Path
    pid: int

    @property
    def engine_port(self) -> int:
        """The port of its newest Sail server, to ask the engine past the workspace."""
        commands = {
            child.create_time(): child.cmdline()
            for child in psutil.Process(self.pid).children(recursive=True)
            if child.status() != psutil.STATUS_ZOMBIE  # it has no command line any more
        }
        ports = [
            (made, words[words.index("--port") + 1])
            for made, words in commands.items()
            if "spark" in words and "--port" in words
        ]
        return int(max(ports)[1])

    def http(self) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx.Client(base_url=self.host, headers=headers, timeout=60)

    def sql(self, statement: str) -> dict:
        """Run a statement to its end; raises RuntimeError unless it succeeds."""
        order = {"statement": statement, "warehouse_id": "local", "wait_timeout": "50s"}
        with self.http() as http:
            answer = http.post(STATEMENTS, json=order).json()
            while answer["status"]["state"] in ("PENDING", "RUNNING"):
                time.sleep(0.1)
                answer = http.get(f"{STATEMENTS}/{answer['statement_id']}").json()
        if answer["status"]["state"] != "SUCCEEDED":
            raise RuntimeError(f"{statement[:80]}: {answer['status']}")
        return answer


@contextmanager
def running() -> Iterator[Workspace]:
    """A new workspace that serves on a free port of this machine."""
    data = Path(tempfile.mkdtemp(prefix="benchmark-workspace-"))
    command = [sys.executable, "-m", "local_workspace"]
    made = subprocess.run(
        [*command, "init", "--data", str(data)], cwd=ROOT, capture_output=True, text=True
    )
    if made.returncode:
        raise RuntimeError(f"init failed: {made.stderr[-3000:]}")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (data / "serve.log").open("w") as log:
        server = subprocess.Popen(
            [*command, "serve", "--data", str(data), "--port", str(port)],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip
    try:
        line = server.stdout.readline()
        if not line:
            raise RuntimeError(f"serve failed: {(data / 'serve.log').read_text()[-3000:]}")
        yield Workspace(
            json.loads(line)["host"], json.loads(made.stdout)["token"], data, server.pid
        )
    finally:
        server.terminate()
        server.wait(30)
        server.stdout.close()
        shutil.rmtree(data, ignore_errors=True)
