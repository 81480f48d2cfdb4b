"""What a workspace keeps over a stop, a kill and a new start; and what it leaves behind."""

from __future__ import annotations

import io
import signal
import stat
import subprocess
import sys
import time

import pytest
from databricks.sdk.service.jobs import QueueSettings, SparkPythonTask, Task
from workspace_process import (
    ROOT,
    child_environment,
    free_port,
    init_workspace,
    serve_workspace,
    stop_workspace,
)

FILE = "/Volumes/main/landing/finance_exports/sleep.py"


def descendants(pid: int) -> set[int]:
    listed = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True)
    children: dict[int, list[int]] = {}
    for line in listed.stdout.splitlines():
        child, parent = map(int, line.split())
        children.setdefault(parent, []).append(child)
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        for child in children.get(waiting.pop(), []):
            found.add(child)
            waiting.append(child)
    return found


def running(pids: set[int]) -> set[int]:
    found = set()
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat") as state:
                if state.read().rpartition(")")[2].split()[0] != "Z":
                    found.add(pid)
        except FileNotFoundError:
            continue
    return found


def wait_gone(pids: set[int], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while running(pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not running(pids)


@pytest.fixture
def data(tmp_path):
    return tmp_path / "workspace"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_what_survives_the_end_of_the_workspace(data, how):
    token = init_workspace(data)
    port = free_port()
    first = serve_workspace(data, token, port)
    client = first.sdk()
    client.statement_execution.execute_statement(
        "CREATE TABLE main.gold.kept AS SELECT 7 AS n", "local"
    )
    source = b"import time\nprint('up', flush=True)\ntime.sleep(600)\n"
    client.files.upload(FILE, io.BytesIO(source))
    job = client.jobs.create(
        name="sleeper",
        tasks=[Task(task_key="t", spark_python_task=SparkPythonTask(python_file=FILE))],
    )
    run_id = client.jobs.run_now(job.job_id, idempotency_token="only-once").run_id
    queued = client.jobs.run_now(job.job_id, queue=QueueSettings(enabled=True)).run_id
    task_id = client.jobs.get_run(run_id).tasks[0].run_id
    while "up" not in (client.jobs.get_run_output(task_id).logs or ""):
        time.sleep(0.05)
    left = descendants(first.process.pid)
    assert len(left) >= 2  # the engine and the task
    first.process.send_signal(how)
    first.process.wait(20)
    first.process.stdout.close()
    wait_gone(left)

    began = time.monotonic()
    second = serve_workspace(data, token, port)
    try:
        assert time.monotonic() - began < 15
        client = second.sdk()
        run = client.jobs.get_run(run_id)
        assert (run.state.life_cycle_state.value, run.state.result_state.value) == (
            "INTERNAL_ERROR", "FAILED",
        )  # fmt: skip
        assert "workspace stopped" in run.state.state_message
        output = client.jobs.get_run_output(task_id)
        assert "workspace stopped" in output.error
        assert output.logs.startswith("up")
        assert client.jobs.run_now(job.job_id, idempotency_token="only-once").run_id == run_id
        taken_up = client.jobs.get_run(queued)
        assert taken_up.state.life_cycle_state.value in ("PENDING", "RUNNING")
        answer = client.statement_execution.execute_statement("TABLE main.gold.kept", "local")
        assert answer.result.data_array == [["7"]]
    finally:
        stop_workspace(second)


def test_init_is_for_new_folders_and_private(data):
    init_workspace(data)
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    again = subprocess.run(
        [sys.executable, "-m", "local_workspace", "init", "--data", str(data)],
        cwd=ROOT, env=child_environment(), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert again.returncode == 1 and again.stdout == ""
    assert "already" in again.stderr


def test_serve_without_init_or_on_a_taken_port_says_why(data, workspace):
    def serve(folder, port):
        return subprocess.run(
            [sys.executable, "-m", "local_workspace", "serve", "--data", str(folder),
             "--port", str(port)],
            cwd=ROOT, env=child_environment(), capture_output=True, text=True, timeout=60,
        )  # fmt: skip

    missing = serve(data, free_port())
    assert missing.returncode == 1 and "init" in missing.stderr
    init_workspace(data)
    taken = serve(data, int(workspace.host.rsplit(":", 1)[1]))
    assert taken.returncode != 0 and taken.stdout == ""
    assert "in use" in taken.stderr
    assert workspace.process.poll() is None
    twice = serve(workspace.data, free_port())
    assert twice.returncode == 1 and "serves" in twice.stderr
    assert workspace.sdk().current_user.me().active
