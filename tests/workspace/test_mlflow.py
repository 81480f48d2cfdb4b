"""MLflow's server behind the workspace: what it is guarded from, its life, names of artifacts."""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import os
import re
import shutil
import signal
import sqlite3
import time

import httpx
import psutil
import pytest
from workspace_process import init_workspace, serve_workspace, stop_workspace

from local_workspace.errors import ApiError
from local_workspace.mlflow_server.names import ArtifactNames
from local_workspace.mlflow_server.process import SECRET_HEADER, MlflowServer
from local_workspace.settings import Settings

API = "/api/2.0/mlflow"
FILES = "/api/2.0/mlflow-artifacts/artifacts"


@pytest.fixture(scope="module")
def http(workspace):
    headers = {"authorization": f"Bearer {workspace.token}"}
    with httpx.Client(base_url=workspace.host, headers=headers, timeout=120) as client:
        yield client


def hosts(workspace) -> list[psutil.Process]:
    """The MLflow processes of a workspace."""
    found = []
    for child in psutil.Process(workspace.process.pid).children():
        try:
            if any("mlflow_host.py" in part for part in child.cmdline()) and (
                "serve" in child.cmdline()
            ):
                found.append(child)
        except psutil.NoSuchProcess:
            continue
    return found


def experiment(http, name: str) -> str:
    answer = http.post(f"{API}/experiments/create", json={"name": name})
    assert answer.status_code == 200, answer.text
    return answer.json()["experiment_id"]


def new_run(http, experiment_id: str) -> dict:
    body = {"experiment_id": experiment_id, "start_time": 1}
    return http.post(f"{API}/runs/create", json=body).json()["run"]["info"]


# --- guarded -----------------------------------------------------------------------------------


def test_nothing_is_reached_without_the_token(workspace, http):
    experiment(http, "guarded")
    with httpx.Client(base_url=workspace.host) as stranger:
        for path in (f"{API}/experiments/get-by-name?experiment_name=guarded", FILES):
            assert stranger.get(path).status_code == 401
        assert stranger.put(f"{FILES}/x", content=b"x").status_code == 401
        assert stranger.get("/_local/models/m/1/MLmodel").status_code == 403


def test_the_servers_own_port_answers_only_the_workspace(workspace, http):
    experiment(http, "own-port")
    (host,) = hosts(workspace)
    (port,) = {c.laddr.port for c in host.net_connections() if c.status == psutil.CONN_LISTEN}
    address = f"http://127.0.0.1:{port}{API}/experiments/get?experiment_id=0"
    for headers in ({}, {SECRET_HEADER: "0" * 64}, {"authorization": f"Bearer {workspace.token}"}):
        assert httpx.get(address, headers=headers).status_code == 403
    assert not [part for part in host.cmdline() if re.fullmatch("[0-9a-f]{32,}", part)]


@pytest.mark.parametrize(
    "call",
    [
        "GET /api/2.0/mlflow/gateway-proxy",
        "POST /api/2.0/mlflow/runs/log-inputs",
        "GET /ajax-api/2.0/mlflow/experiments/search",
        "GET /api/3.0/mlflow/server-info",
        "GET /api/2.0/mlflow/artifacts/list",
    ],
)
def test_a_call_that_nobody_makes_is_not_passed_on(http, call):
    method, path = call.split(" ")
    answer = http.request(method, path)
    assert answer.status_code == 501
    assert path in answer.json()["message"]


@pytest.mark.parametrize(
    "path",
    ["../workspace.db", "1/../../workspace.db", "..%2fworkspace.db", "%2e%2e/workspace.db",
     "1/%2e%2e/%2e%2e/workspace.db", "1//x", "a%00b", "x" * 300],
)  # fmt: skip
def test_artifact_paths_stay_in_the_root(workspace, http, path):
    before = (workspace.data / "workspace.db").stat().st_size
    for answer in (
        http.put(httpx.URL(workspace.host + FILES + "/" + path), content=b"x"),
        http.get(httpx.URL(workspace.host + FILES + "/" + path)),
    ):
        # A client library may resolve the dots itself: it then names another route.
        assert answer.status_code in (400, 404, 501), answer.text
        assert "SQLite" not in answer.text
    assert (workspace.data / "workspace.db").stat().st_size >= before


def test_a_link_out_of_the_root_is_not_followed(workspace, http):
    link = workspace.data / "mlartifacts" / "out"
    link.symlink_to(workspace.data)
    try:
        assert http.get(f"{FILES}/out/workspace.db").status_code == 400
        assert http.get(FILES, params={"path": "out"}).status_code == 400
    finally:
        link.unlink()


@pytest.mark.parametrize(
    "place",
    ["file:///etc", "/etc", "s3://bucket/x", "mlflow-artifacts:/../..", "http://127.0.0.1/x",
     "mlflow-artifacts:/%2e%2e/x", "dbfs:/databricks/mlflow-tracking/../../x", "relative"],
)  # fmt: skip
def test_artifacts_are_kept_by_the_workspace_only(http, place):
    answer = http.post(
        f"{API}/experiments/create", json={"name": f"place {place}", "artifact_location": place}
    )
    assert answer.status_code == 400
    assert "artifact_location" in answer.json()["message"]
    http.post(f"{API}/registered-models/create", json={"name": "places"})
    version = http.post(f"{API}/model-versions/create", json={"name": "places", "source": place})
    assert version.status_code == 400


def test_a_file_of_another_run_is_no_source(http):
    one, two = (new_run(http, experiment(http, name)) for name in ("source-a", "source-b"))
    http.post(f"{API}/registered-models/create", json={"name": "sources"})
    body = {"name": "sources", "source": one["artifact_uri"] + "/m", "run_id": two["run_id"]}
    answer = http.post(f"{API}/model-versions/create", json=body)
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("content", "status"),
    [(b"{", 400), (b"\xff\xfe", 400), (b"[]", 400), (b'{"name": 7}', 400), (b"", 400)],
)
def test_bad_bodies(http, content, status):
    answer = http.post(f"{API}/experiments/create", content=content)
    assert answer.status_code == status
    assert answer.json()["error_code"]
    assert "Traceback" not in answer.text


def test_no_place_of_this_machine_in_an_answer(workspace, http):
    experiment_id = experiment(http, "no-paths")
    info = new_run(http, experiment_id)
    assert info["artifact_uri"] == f"mlflow-artifacts:/{experiment_id}/{info['run_id']}/artifacts"
    sdk = {"user-agent": "mlflow/3 databricks-sdk-py/0.156.0"}
    for headers in ({}, sdk):
        for path, query in (
            ("experiments/get", {"experiment_id": experiment_id}),
            ("runs/get", {"run_id": info["run_id"]}),
        ):
            answer = http.get(f"{API}/{path}", params=query, headers=headers)
            assert answer.status_code == 200
            assert str(workspace.data) not in answer.text


# --- artifacts ---------------------------------------------------------------------------------


def test_an_artifact_is_written_whole_or_not_at_all(workspace, http):
    content = os.urandom(5_000_000)
    assert http.put(f"{FILES}/9/r/artifacts/big.bin", content=content).status_code == 200
    assert http.get(f"{FILES}/9/r/artifacts/big.bin").content == content
    listed = http.get(FILES, params={"path": "9/r/artifacts"}).json()["files"]
    assert listed == [{"path": "big.bin", "is_dir": False, "file_size": len(content)}]

    def cut():
        yield content[:100_000]
        raise ConnectionError("the client goes away")

    with pytest.raises(ConnectionError):
        http.put(f"{FILES}/9/r/artifacts/half.bin", content=cut())
    listed = http.get(FILES, params={"path": "9/r/artifacts"}).json()["files"]
    assert [entry["path"] for entry in listed] == ["big.bin"]


def test_both_kinds_of_clients_reach_the_same_file(http):
    experiment_id = experiment(http, "two-names")
    run_id = new_run(http, experiment_id)["run_id"]
    inside = "/api/2.0/fs/files/WorkspaceInternal/Mlflow/Artifacts"
    path = f"{inside}/{experiment_id}/Runs/{run_id}/artifacts/a/b.txt"
    assert http.put(path, content=b"one").status_code == 204
    assert http.get(f"{FILES}/{experiment_id}/{run_id}/artifacts/a/b.txt").content == b"one"
    listing = http.get(path.replace("/fs/files/", "/fs/directories/").removesuffix("/b.txt"))
    assert [entry["name"] for entry in listing.json()["contents"]] == ["b.txt"]
    for wrong in (f"{inside}/1/Elsewhere/x", f"{inside}/1", "/api/2.0/fs/files/Models/a/b/c/x/y"):
        assert http.get(wrong).status_code == 400
    assert http.get("/api/2.0/fs/files/Models/main/ml/nothing/1/MLmodel").status_code == 404


@pytest.mark.parametrize("databricks", [False, True])
def test_names_go_out_and_come_back(tmp_path, databricks):
    root = tmp_path / "with space" / "é"
    names = ArtifactNames(root)
    inner = [
        f"{root.as_uri()}/1/{'a' * 32}/artifacts",
        f"{root.as_uri()}/1/models/m-1/artifacts/x",
        f"{root.as_uri()}/12",
    ]
    text = json.dumps({"places": inner, "other": "file:///etc/passwd"})
    outer = names.outward(text, databricks)
    assert root.as_uri() not in outer
    assert ("/logged_models/m-1" in outer) is databricks
    assert names.inward(outer) == text


# --- the life of the process -------------------------------------------------------------------


def test_many_calls_at_the_same_time(http):
    run_id = new_run(http, experiment(http, "many"))["run_id"]

    def log(number: int) -> int:
        body = {"run_id": run_id, "key": f"m{number}", "value": number, "timestamp": 1}
        return http.post(f"{API}/runs/log-metric", json=body).status_code

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert set(pool.map(log, range(60))) == {200}
    metrics = http.get(f"{API}/runs/get", params={"run_id": run_id}).json()["run"]["data"][
        "metrics"
    ]
    assert {m["key"]: m["value"] for m in metrics} == {f"m{n}": n for n in range(60)}


def test_a_killed_server_is_replaced(workspace, http):
    experiment_id = experiment(http, "killed")
    (host,) = hosts(workspace)
    host.send_signal(signal.SIGKILL)
    answer = http.get(f"{API}/experiments/get", params={"experiment_id": experiment_id})
    assert answer.status_code == 200
    assert answer.json()["experiment"]["name"] == "killed"
    assert [each.pid for each in hosts(workspace)] != [host.pid]


def test_idle_it_ends_and_a_call_brings_it_back(tmp_path):
    settings = Settings(tmp_path, mlflow_idle_seconds=0.5)
    settings.make_folders()

    async def walk() -> None:
        server = MlflowServer(settings)
        await server.start()
        try:
            path = f"{API}/experiments/create"
            made = await server.call("POST", path, {"name": "idle"})
            deadline = time.monotonic() + 60
            while server.pid is not None:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.1)
            again = await server.call(
                "GET", f"{API}/experiments/get", experiment_id=made["experiment_id"]
            )
            assert again["experiment"]["name"] == "idle"
            pid = server.pid
        finally:
            await server.stop()
        assert not psutil.pid_exists(pid)
        with pytest.raises(ApiError) as refused:
            await server.call("GET", f"{API}/experiments/get", experiment_id="0")
        assert refused.value.status == 503

    asyncio.run(walk())


def test_a_server_that_cannot_start_says_so(tmp_path):
    settings = Settings(tmp_path, job_python="/bin/false")
    settings.make_folders()

    async def walk() -> None:
        server = MlflowServer(settings)
        try:
            with pytest.raises(ApiError) as refused:
                await server.call("GET", f"{API}/experiments/get", experiment_id="0")
            assert refused.value.status == 503
        finally:
            await server.stop()

    asyncio.run(walk())


def test_moved_elsewhere_the_models_are_found(tmp_path):
    """A backup restored in another place: artifacts are named by where they are now."""
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    running = serve_workspace(first, init_workspace(first))
    try:
        headers = {"authorization": f"Bearer {running.token}"}
        with httpx.Client(base_url=running.host, headers=headers, timeout=120) as http:
            info = new_run(http, experiment(http, "moved"))
            place = info["artifact_uri"].removeprefix("mlflow-artifacts:/")
            http.put(f"{FILES}/{place}/m/MLmodel", content=b"model").raise_for_status()
            http.post(f"{API}/registered-models/create", json={"name": "moved"})
            source = {"name": "moved", "source": f"{info['artifact_uri']}/m"}
            body = source | {"run_id": info["run_id"]}
            http.post(f"{API}/model-versions/create", json=body).raise_for_status()
        (host,) = hosts(running)
    finally:
        stop_workspace(running)
    assert not psutil.pid_exists(host.pid)
    shutil.move(first, second)
    again = serve_workspace(second, running.credentials)
    try:
        with httpx.Client(base_url=again.host, headers=headers, timeout=120) as http:
            query = {"name": "moved", "version": "1", "path": "MLmodel"}
            signed = http.get(f"{API}/model-versions/get-signed-download-uri", params=query)
            assert httpx.get(signed.json()["signed_uri"]).content == b"model"
            assert httpx.get(signed.json()["signed_uri"] + "0").status_code == 403
        with sqlite3.connect(second / "mlflow.db") as db:
            (uri,) = db.execute("SELECT artifact_uri FROM runs").fetchone()
        assert uri.startswith((second / "mlartifacts").as_uri())
    finally:
        stop_workspace(again)


def test_the_database_is_made_ahead_and_whole(tmp_path):
    """A new workspace lays out MLflow's tables by itself; a half-made file is never in place."""
    token = init_workspace(tmp_path)
    (tmp_path / "mlflow.db.new-1").write_bytes(b"left over")
    running = serve_workspace(tmp_path, token)
    try:
        deadline = time.monotonic() + 90
        while not (tmp_path / "mlflow.db").exists():
            assert time.monotonic() < deadline
            time.sleep(0.1)
        with sqlite3.connect(tmp_path / "mlflow.db") as db:
            assert db.execute("SELECT COUNT(*) FROM alembic_version").fetchone() == (1,)
        assert hosts(running) == []
        while list(tmp_path.glob("mlflow.db.new-*")):
            assert time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        stop_workspace(running)


def test_a_job_and_a_client_use_one_registry(workspace, http, tmp_path):
    """A job opens MLflow's database itself; a client elsewhere sees what it wrote."""
    script = tmp_path / "job.py"
    script.write_text(
        "import mlflow\n"
        "mlflow.set_experiment('/Shared/both')\n"
        "with mlflow.start_run():\n"
        "    mlflow.log_metric('m', 1.5)\n"
        "    mlflow.log_text('from a job', 'note.txt')\n"
    )
    task = {"task_key": "log", "spark_python_task": {"python_file": str(script)}}
    job = http.post("/api/2.2/jobs/create", json={"name": "log", "tasks": [task]}).json()
    run_id = http.post("/api/2.2/jobs/run-now", json={"job_id": job["job_id"]}).json()["run_id"]
    deadline = time.monotonic() + 120
    while True:
        run = http.get("/api/2.2/jobs/runs/get", params={"run_id": run_id}).json()
        if run["state"]["life_cycle_state"] in ("TERMINATED", "INTERNAL_ERROR"):
            break
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert run["state"]["result_state"] == "SUCCESS", run["state"]
    query = {"experiment_name": "/Shared/both"}
    found = http.get(f"{API}/experiments/get-by-name", params=query).json()["experiment"]
    body = {"experiment_ids": [found["experiment_id"]]}
    (logged,) = http.post(f"{API}/runs/search", json=body).json()["runs"]
    assert logged["data"]["metrics"][0]["value"] == 1.5
    place = logged["info"]["artifact_uri"].removeprefix("mlflow-artifacts:/")
    assert http.get(f"{FILES}/{place}/note.txt").text == "from a job"
