"""Makes `lib` importable as a top-level package, so that Odoo is not needed for its tests."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT / "odoo_databricks"), str(HERE)]
START_SECONDS = 60


@pytest.fixture(autouse=True)
def _no_outer_settings(monkeypatch):
    """A developer's proxy must not stand between the tests and their servers."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def faulty():
    from faulty_server import FaultyServer

    with FaultyServer().running() as server:
        yield server


@dataclass
class Workspace:
    """A running embedded workspace; `local` calls its own test controls."""

    host: str
    token: str

    def local(self, control, /, **body):
        request = urllib.request.Request(
            self.host + control,
            data=json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {self.token}",
                "Content-Type": "application/json",
            },
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def connect(self, **options):
        from lib.client import connect

        options.setdefault("token", self.token)
        return connect(self.host, "pat", **options)


@pytest.fixture(scope="session")
def workspace(tmp_path_factory):
    """The embedded workspace as a process of the lakehouse environment."""
    python = os.environ.get("LAKEHOUSE_PYTHON")
    if not python:
        pytest.skip("LAKEHOUSE_PYTHON does not name the interpreter of the lakehouse environment")
    folder = tmp_path_factory.mktemp("workspace")
    command = [python, "-m", "local_workspace"]
    # What the outer test run set for its own workspace must not reach this one.
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("DATABRICKS_", "LAKEHOUSE_"))}
    made = subprocess.run(
        [*command, "init", "--data", str(folder / "data")],
        cwd=ROOT,
        env=clean,
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=True,
    )
    token = json.loads(made.stdout)["token"]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (folder / "stderr").open("w") as log:
        server = subprocess.Popen(
            [*command, "serve", "--data", str(folder / "data"), "--port", str(port), "--faults"],
            cwd=ROOT,
            env=clean,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        timer = threading.Timer(START_SECONDS, server.kill)
        timer.start()
        line = server.stdout.readline()
        timer.cancel()
        if not line:
            server.wait(10)
            pytest.fail("the workspace did not start:\n" + (folder / "stderr").read_text()[-3000:])
        try:
            yield Workspace(json.loads(line)["host"], token)
        finally:
            server.send_signal(signal.SIGTERM)
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait(10)
                raise
