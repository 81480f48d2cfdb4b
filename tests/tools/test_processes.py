"""Background processes are found again by their id and end with all they started."""

import json
import os
import socket
import sys
import time
from pathlib import Path

import pytest

from tools.processes import Process, _start_ticks, free_port

CHILD_AND_GRANDCHILD = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open(sys.argv[1], "w").write(str(child.pid))
time.sleep(600)
"""


@pytest.fixture
def process(tmp_path):
    process = Process(tmp_path / "it.pid", tmp_path / "it.log")
    yield process
    process.stop()


def _wait_for(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def _start(process: Process, tmp_path: Path) -> tuple[int, int]:
    note = tmp_path / "grandchild"
    command = [sys.executable, "-c", CHILD_AND_GRANDCHILD, note]
    pid = process.start(command, dict(os.environ), tmp_path)
    _wait_for(lambda: note.exists() and note.read_text())
    return pid, int(note.read_text())


def test_stop_ends_the_process_and_what_it_started(process, tmp_path):
    pid, grandchild = _start(process, tmp_path)
    assert process.pid() == pid
    process.stop()
    assert process.pid() is None
    _wait_for(lambda: _start_ticks(grandchild) is None)
    assert not process.pid_file.exists()


def test_a_reused_number_is_not_taken_for_ours(process, tmp_path):
    """After a reboot the pid in the file may belong to somebody else: it is left alone."""
    stranger = Process(tmp_path / "stranger.pid", tmp_path / "stranger.log")
    pid, _ = _start(stranger, tmp_path)
    process.pid_file.write_text(json.dumps({"pid": pid, "started": "1"}))
    assert process.pid() is None
    process.stop()
    assert stranger.pid() == pid
    stranger.stop()


def test_a_taken_port_is_not_chosen():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert free_port(port) != port
    assert free_port(port) == port
