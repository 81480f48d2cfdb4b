"""No secret of a workspace is found where it does not belong."""

from __future__ import annotations

import io
import re
import subprocess
import time
from pathlib import Path

import httpx
import pytest
from command_line import answer, command, initialised
from databricks.sdk import WorkspaceClient
from databricks.sdk.config import Config
from databricks.sdk.service.jobs import SparkPythonTask, SubmitTask
from workspace_process import free_port

SCRIPT = "/Volumes/main/landing/finance_exports/wait.py"
# The task tells its token to the test, outside of the workspace's folder, and then waits.
WAIT = """
import os, pathlib, time
pathlib.Path({place!r}).write_text(os.environ["DATABRICKS_TOKEN"])
print("up", flush=True)
while pathlib.Path({place!r}).exists():
    time.sleep(0.1)
"""


@pytest.fixture
def started(tmp_path):
    data = tmp_path / "data"
    made = initialised(data)
    ready = answer("start", "--data", data, "--port", free_port(), "--faults")
    yield data, made, ready["host"]
    command("stop", "--data", data)


def findings(folder: Path, secrets: dict[str, str]) -> list[str]:
    """Where in a folder a secret stands in clear, by its name."""
    found = []
    for file in folder.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            found += [f"{name} in {file}" for name, value in secrets.items()
                      if value.encode() in content]  # fmt: skip
    return found


def command_lines() -> str:
    return subprocess.run(
        ["ps", "-eww", "-o", "args="], capture_output=True, text=True, check=True
    ).stdout


def wait_for(condition, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_secrets_are_nowhere_in_clear(started, tmp_path):
    data, made, host = started
    owner = {"Authorization": f"Bearer {made['token']}"}
    pair = made["client_id"], made["client_secret"]
    form = {"grant_type": "client_credentials"}
    access = httpx.post(f"{host}/oidc/v1/token", data=form, auth=pair).json()["access_token"]
    secrets = {"token": made["token"], "secret": made["client_secret"], "access": access}
    secrets["created"] = answer("token", "create", "--data", data)["token"]

    # A task that runs and has a token of its own.
    client = WorkspaceClient(config=Config(host=host, token=made["token"], auth_type="pat",
                                           config_file="/dev/null"))  # fmt: skip
    place = tmp_path / "task-token"
    client.files.upload(SCRIPT, io.BytesIO(WAIT.format(place=str(place)).encode()))
    task = SubmitTask(task_key="t", spark_python_task=SparkPythonTask(python_file=SCRIPT))
    run_id = client.jobs.submit(run_name="wait", tasks=[task]).response.run_id
    wait_for(lambda: place.exists() and place.read_text())
    secrets["task"] = place.read_text()

    # People put secrets where they do not belong: answers and logs must not repeat them.
    said = []
    for name, value in secrets.items():
        bearer = {"Authorization": f"Bearer {value}"}
        said += [
            httpx.get(f"{host}/api/2.0/sql/warehouses", headers=bearer),
            httpx.get(f"{host}/api/2.0/sql/warehouses", headers={"Authorization": value}),
            httpx.get(f"{host}/nowhere?token={value}", headers=owner),
            httpx.post(f"{host}/oidc/v1/token", data=form, auth=(value, value)),
            httpx.post(f"{host}/oidc/v1/token", data=form | {"scope": value}, auth=pair),
            httpx.post(f"{host}/oidc/v1/token", data={"grant_type": value}),
            httpx.post(f"{host}/_local/faults", json={"path": 7, "message": name}, headers=owner),
            httpx.get(f"{host}/_local/faults", headers=owner),
        ]
        httpx.get(f"{host}/{value}/in/a/path", headers=owner)
    for one in said:
        for name, value in secrets.items():
            assert value not in one.text, f"{name}: {one.request.method} {one.request.url.path}"

    for name, value in secrets.items():
        assert value not in command_lines(), name
    assert findings(data, secrets) == []
    # The path with a secret in it was written down, without the secret.
    log = (data / "logs" / "workspace.log").read_text()
    assert "/[redacted]/in/a/path" in log
    assert not re.search(r"\b(dapi|dose)[0-9a-f]{32}\b", log)

    # The task's token is good until the task ends.
    bearer = {"Authorization": f"Bearer {secrets['task']}"}
    me = f"{host}/api/2.0/preview/scim/v2/Me"
    assert httpx.get(me, headers=bearer).status_code == 200
    place.unlink()
    wait_for(lambda: client.jobs.get_run(run_id).state.result_state)
    wait_for(lambda: httpx.get(me, headers=bearer).status_code == 401, 10)


def test_a_killed_workspace_ends_the_tokens_of_its_tasks(started, tmp_path):
    data, made, host = started
    client = WorkspaceClient(config=Config(host=host, token=made["token"], auth_type="pat",
                                           config_file="/dev/null"))  # fmt: skip
    place = tmp_path / "task-token"
    client.files.upload(SCRIPT, io.BytesIO(WAIT.format(place=str(place)).encode()))
    task = SubmitTask(task_key="t", spark_python_task=SparkPythonTask(python_file=SCRIPT))
    client.jobs.submit(run_name="wait", tasks=[task])
    wait_for(lambda: place.exists() and place.read_text())
    command("stop", "--data", data, "--grace-seconds", "0")
    port = host.rpartition(":")[2]
    answer("start", "--data", data, "--port", port)
    bearer = {"Authorization": f"Bearer {place.read_text()}"}
    assert httpx.get(f"{host}/api/2.0/preview/scim/v2/Me", headers=bearer).status_code == 401
    place.unlink()


def test_what_is_written_is_its_owners_alone(started):
    data = started[0]
    assert data.stat().st_mode & 0o777 == 0o700
    for name in ("workspace.db", "workspace.pid", "logs/workspace.log"):
        assert (data / name).stat().st_mode & 0o077 == 0, name
