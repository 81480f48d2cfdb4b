"""kill -9 of the workspace, its engine, a model and a job, again and again, under work.

``KILL_ROUNDS`` sets how often; the figures of a run are printed (``pytest -s``).
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections import Counter

import httpx
import pytest
from kill_rounds import VICTIMS, Workers, check_kept, find_victim, query, wait_final
from workspace_process import (
    child_environment,
    free_port,
    init_workspace,
    serve_workspace,
    stop_workspace,
)

ROUNDS = int(os.environ.get("KILL_ROUNDS", "4"))
TASK = b"import time\ntime.sleep(0.4)\nprint('done')\n"
MODEL = """
import sys, mlflow, pandas as pd
from mlflow.models import infer_signature
from sklearn.linear_model import LinearRegression
mlflow.set_tracking_uri(sys.argv[1])
experiment = mlflow.create_experiment("kill", artifact_location=sys.argv[2] + "/kill")
frame = pd.DataFrame({"a": [0.0, 1.0, 2.0]})
with mlflow.start_run(experiment_id=experiment):
    model = LinearRegression(fit_intercept=False).fit(frame, frame["a"] * 2)
    mlflow.sklearn.log_model(model, name="m", registered_model_name="main.ml.twice",
        signature=infer_signature(frame, model.predict(frame)),
        serialization_format="cloudpickle")
"""


@pytest.fixture
def prepared(tmp_path):
    """A workspace with tables, a job and an endpoint. Returns (running, port, job id)."""
    data, port = tmp_path / "workspace", free_port()
    running = serve_workspace(data, init_workspace(data), port)
    script = tmp_path / "model.py"
    script.write_text(MODEL)
    made = subprocess.run(
        [sys.executable, str(script), f"sqlite:///{data}/mlflow.db",
         (data / "mlartifacts").as_uri()],
        env=child_environment() | {"MLFLOW_DISABLE_TELEMETRY": "true"},
        cwd=tmp_path, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr[-2000:]
    with _client(running) as client:
        for number in (0, 1):
            query(client, f"CREATE TABLE main.gold.killed_{number} (n BIGINT) USING delta")
        path = "/Volumes/main/landing/finance_exports/task.py"
        assert client.put(f"/api/2.0/fs/files{path}", content=TASK).status_code == 204
        task = {"task_key": "t", "spark_python_task": {"python_file": path}}
        job = {"name": "kill", "tasks": [task], "max_concurrent_runs": 3}
        job_id = client.post("/api/2.2/jobs/create", json=job).json()["job_id"]
        entity = {"entity_name": "main.ml.twice", "entity_version": "1"}
        config = {"name": "twice", "config": {"served_entities": [entity]}}
        assert client.post("/api/2.0/serving-endpoints", json=config).status_code == 200
        _score_again(client)  # a first deployment that is killed has failed, as it should
    yield running, port, job_id
    # the last process of the rounds is stopped by the test


def test_nothing_acknowledged_is_lost(prepared):
    running, port, job_id = prepared
    rng = random.Random(29)
    workers = Workers(running.token, job_id, "twice")
    workers.host = running.host
    workers.start()
    killed: Counter[str] = Counter()
    restarts: list[float] = []
    try:
        for number in range(ROUNDS):
            kind = VICTIMS[number % len(VICTIMS)] if number < 4 else rng.choice(VICTIMS)
            time.sleep(rng.uniform(0.1, 3.0))
            victim = _wait_victim(running.process.pid, kind)
            victim.kill()
            killed[kind] += 1
            if kind == "workspace":
                running.process.wait(20)
                running.process.stdout.close()
                began = time.monotonic()
                running = serve_workspace(running.data, running.credentials, port)
                restarts.append(time.monotonic() - began)
            with _client(running) as client:
                check_kept(client, workers.account, newest=25)
        workers.stop()
        account = workers.account
        with _client(running) as client:
            check_kept(client, account)
            results = wait_final(client, sorted(set(account.runs.values())))
            for statement in account.statements:
                found = client.get(f"/api/2.0/sql/statements/{statement}")
                if found.status_code == 200:
                    assert found.json()["status"]["state"] not in ("PENDING", "RUNNING")
            _score_again(client)
    finally:
        workers.stop()
        stop_workspace(running)
    print(
        f"\n{sum(killed.values())} kills {dict(killed)}; acknowledged:"
        f" {sum(map(len, account.rows.values()))} rows, {len(account.files)} files,"
        f" {len(results)} runs {dict(Counter(results.values()))}, {account.scored} scores;"
        f" restarts {[round(seconds, 1) for seconds in restarts]} s"
    )
    assert len(set(account.runs.values())) == len(account.runs)  # a token is one run
    assert account.rows and account.files and account.runs and account.scored
    assert account.unfriendly == []


def _client(running) -> httpx.Client:
    headers = {"Authorization": f"Bearer {running.token}"}
    return httpx.Client(base_url=running.host, headers=headers, timeout=60)


def _wait_victim(pid: int, kind: str):
    deadline = time.monotonic() + 60
    while (victim := find_victim(pid, kind)) is None:
        assert time.monotonic() < deadline, f"no process of kind {kind}"
        time.sleep(0.02)
    return victim


def _score_again(client: httpx.Client) -> None:
    deadline = time.monotonic() + 90
    while True:
        body = {"dataframe_records": [{"a": 4.0}]}
        answer = client.post("/serving-endpoints/twice/invocations", json=body)
        if answer.status_code == 200:
            assert answer.json() == {"predictions": [8.0]}
            return
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.3)
