"""Models for the tests of serving, and what these tests do again and again."""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from databricks.sdk.service.serving import EndpointCoreConfigInput, ServedEntityInput
from workspace_process import (
    RunningWorkspace,
    child_environment,
    init_workspace,
    serve_workspace,
    stop_workspace,
)

from local_workspace.mlflow_server.relocate import relocate

READY = timedelta(seconds=240)

TRAIN = """
import sys, time, os
import mlflow, pandas as pd
from mlflow.models import infer_signature
from sklearn.linear_model import LinearRegression

uri, root = sys.argv[1:3]
mlflow.set_tracking_uri(uri)
experiment = mlflow.create_experiment("tests", artifact_location=root + "/tests")
frame = pd.DataFrame({"a": [0.0, 1.0, 2.0]})


class Moody(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        self.held = []
        print("moody wakes up")

    def predict(self, context, model_input, params=None):
        mood = model_input["mood"].iloc[0]
        print("mood:", mood)
        if mood == "raise":
            raise ValueError("this model always has a reason")
        if mood == "exit":
            os._exit(3)
        if mood == "hang":
            time.sleep(600)
        if mood == "nap":
            time.sleep(1)
        if mood == "greedy":
            bytearray(8 << 30)
        if mood == "hoard":
            self.held.append(bytearray(3 << 30))
        if mood == "talk":
            print("blah " * (1 << 20))
        if mood == "pid":
            return [str(os.getpid())]
        return [mood.upper()]


class Broken(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        print("about to break")
        raise RuntimeError("no such vocabulary")

    def predict(self, context, model_input, params=None):
        return []


class Slow(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        time.sleep(6)

    def predict(self, context, model_input, params=None):
        return ["slow"]


with mlflow.start_run(experiment_id=experiment):
    for slope in (2.0, 3.0):
        model = LinearRegression().fit(frame, frame["a"] * slope)
        mlflow.sklearn.log_model(
            model, name="m", registered_model_name="main.ml.line",
            signature=infer_signature(frame, model.predict(frame)),
            serialization_format="cloudpickle",
        )
    moods = pd.DataFrame({"mood": ["calm"]})
    for name, model in (("moody", Moody()), ("broken", Broken()), ("slow", Slow())):
        mlflow.pyfunc.log_model(
            name=name, python_model=model, registered_model_name="main.ml." + name,
            signature=infer_signature(moods, ["CALM"]),
        )
"""


@functools.cache
def _trained(folder: Path) -> Path:
    """A folder with mlflow.db and mlartifacts: main.ml.line (1 and 2), moody, broken, slow."""
    folder.mkdir()
    script = folder / "train.py"
    script.write_text(TRAIN)
    root = (folder / "mlartifacts").as_uri()
    done = subprocess.run(
        [sys.executable, str(script), f"sqlite:///{folder / 'mlflow.db'}", root],
        env=child_environment() | {"MLFLOW_DISABLE_TELEMETRY": "true"},
        cwd=folder, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def workspace_with_models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningWorkspace]:
    """A workspace of its own for a test module. The models are trained once a session."""
    data = tmp_path_factory.mktemp("serving")
    credentials = init_workspace(data)
    give_models(tmp_path_factory, data)
    running = serve_workspace(data, credentials, options=("--faults",))
    yield running
    stop_workspace(running)


def give_models(tmp_path_factory: pytest.TempPathFactory, data: Path) -> None:
    """Put the trained models into a workspace that does not run yet."""
    trained = _trained(tmp_path_factory.getbasetemp() / "serving-models")
    shutil.copytree(trained / "mlartifacts", data / "mlartifacts", dirs_exist_ok=True)
    shutil.copy(trained / "mlflow.db", data / "mlflow.db")
    relocate(data / "mlflow.db", str(trained), str(data))


def entity(
    model: str, version: str = "1", name: str | None = None, scale_to_zero: bool = False
) -> ServedEntityInput:
    return ServedEntityInput(
        name=name,
        entity_name=f"main.ml.{model}",
        entity_version=version,
        workload_size="Small",
        scale_to_zero_enabled=scale_to_zero,
    )


def serve(client, name: str, *entities: ServedEntityInput, **more):
    """Create an endpoint and wait until it serves."""
    config = EndpointCoreConfigInput(name=name, served_entities=list(entities))
    return client.serving_endpoints.create_and_wait(name, config=config, timeout=READY, **more)


def http(workspace: RunningWorkspace) -> httpx.Client:
    """Plain HTTP with the token: the SDK hides statuses and headers behind its retries."""
    headers = {"Authorization": f"Bearer {workspace.token}"}
    return httpx.Client(base_url=workspace.host, headers=headers, timeout=60)


def ask(web: httpx.Client, endpoint: str, mood: str, **more) -> httpx.Response:
    body = {"dataframe_records": [{"mood": mood}]} | more
    return web.post(f"/serving-endpoints/{endpoint}/invocations", json=body)


def until(condition, what: str, seconds: float = 90):
    """Poll until ``condition()`` is true. Returns what it gave."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.1)
    return found


def model_processes(workspace: RunningWorkspace, model: str) -> list[int]:
    """Process ids of the children of the workspace that host a model."""
    listed = subprocess.run(
        ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(workspace.process.pid)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [
        int(line.split()[0])
        for line in listed.stdout.splitlines()
        if "model_host.py" in line and f".{model}/" in line
    ]


def select(client, sql: str) -> list[list]:
    """Rows of a query, as the SDK gives them."""
    answer = client.statement_execution.execute_statement(sql, "local", wait_timeout="30s")
    assert answer.status.state.value == "SUCCEEDED", answer.status.error
    return answer.result.data_array or []
