"""The shapes of our answers beside those of independent emulators, where they are installed.

minilake and semblance-databricks were written by others from the same public contract: where
one implements a call, each field that both answer must have the same JSON type. They are found
on PATH or by ``MINILAKE`` and ``SEMBLANCE``, the paths of their commands.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from dataclasses import dataclass

import httpx
import pytest
from workspace_process import free_port

TASK = {"task_key": "t", "spark_python_task": {"python_file": "/Volumes/main/landing/x/t.py"}}
READS = (
    "/api/2.0/preview/scim/v2/Me",
    "/api/2.0/sql/warehouses",
    "/api/2.1/clusters/list",
    "/api/2.1/unity-catalog/catalogs",
    "/api/2.2/jobs/list?expand_tasks=true",
    "/api/2.2/jobs/runs/list",
    "/api/2.0/workspace/list?path=/",
    "/api/2.0/workspace/get-status?path=/Users",
    "/api/2.2/jobs/get?job_id=987654",
    "/api/2.0/workspace/get-status?path=/no/such",
)


@dataclass
class Emulator:
    name: str
    client: httpx.Client


@pytest.fixture(scope="module", params=["minilake", "semblance-databricks"])
def emulator(request, tmp_path_factory):
    name = request.param
    command = os.environ.get(name.split("-")[0].upper()) or shutil.which(name)
    if not command:
        pytest.skip(f"{name} is not installed")
    port, home = free_port(), tmp_path_factory.mktemp("emulator")
    arguments = ["serve"] if name.startswith("semblance") else []
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [command, *arguments, "--port", str(port)], cwd=home, stdout=log, stderr=log,
            env=os.environ | {"HOME": str(home)},
        )  # fmt: skip
    headers = {"Authorization": "Bearer dapi-any"}
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=20)
    try:
        _wait(client, READS[0])
        yield Emulator(name.split("-")[0], client)
    finally:
        client.close()
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="module")
def ours(target):
    headers = {"Authorization": f"Bearer {target.token}"}
    with httpx.Client(base_url=target.host, headers=headers, timeout=20) as client:
        yield client


@pytest.mark.parametrize("path", READS)
def test_answers_have_the_same_shape(emulator, ours, path):
    theirs, mine = emulator.client.get(path), ours.get(path)
    if (mine.status_code < 400) != (theirs.status_code < 400):
        refused = f"{theirs.status_code} {theirs.text[:80]}"
        pytest.skip(f"{emulator.name} does not compute {path} or has no such object: {refused}")
    assert differences(mine.json(), theirs.json()) == []


def test_a_created_job_has_the_same_shape(emulator, ours):
    body = {"name": "shape", "tasks": [TASK], "max_concurrent_runs": 1}
    made = [client.post("/api/2.2/jobs/create", json=body) for client in (ours, emulator.client)]
    if made[1].status_code == 501:
        pytest.skip(f"{emulator.name} does not create jobs")
    assert differences(made[0].json(), made[1].json()) == []
    found = [
        client.get("/api/2.2/jobs/get", params=answer.json()).json()
        for client, answer in zip((ours, emulator.client), made, strict=True)
    ]
    ours.post("/api/2.2/jobs/delete", json=made[0].json())
    assert differences(*found) == []


def differences(mine: object, theirs: object, path: str = "") -> list[str]:
    """Fields of both answers whose JSON types differ; null says nothing about a type."""
    if mine is None or theirs is None:
        return []
    if kind(mine) != kind(theirs):
        return [f"{path}: ours is {kind(mine)}, theirs {kind(theirs)}"]
    if isinstance(mine, dict):
        return [
            line
            for key in mine.keys() & theirs.keys()
            for line in differences(mine[key], theirs[key], f"{path}.{key}")
        ]
    if isinstance(mine, list) and mine and theirs:
        return differences(mine[0], theirs[0], f"{path}[0]")
    return []


def kind(value: object) -> str:
    names = {bool: "boolean", int: "number", float: "number", str: "text", dict: "object",
             list: "list"}  # fmt: skip
    return names[type(value)]


def _wait(client: httpx.Client, path: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            client.get(path)
            return
        except httpx.TransportError:
            assert time.monotonic() < deadline, "the emulator did not start"
            time.sleep(0.2)
