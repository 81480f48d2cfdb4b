"""The life of a workspace by its command line."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import sqlite3
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from command_line import answer, answers, command, initialised, refusal
from workspace_process import PYTHON, ROOT, child_environment, free_port

ME = "/api/2.0/preview/scim/v2/Me"


@pytest.fixture
def folder(tmp_path):
    """A folder for a workspace; what was started in it is ended."""
    data = tmp_path / "data"
    yield data
    if data.exists():
        command("stop", "--data", data)


def wait_ended(pid: int, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while os.path.exists(f"/proc/{pid}") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not os.path.exists(f"/proc/{pid}")


def status(folder) -> tuple[bool, dict]:
    """Whether the workspace runs, and what ``status`` says."""
    done = command("status", "--data", folder, code=None)
    said = json.loads(done.stdout)
    assert done.returncode == (0 if said["running"] else 3)
    return said["running"], said


def test_start_status_stop(folder):
    made = initialised(folder)
    assert status(folder) == (False, {"running": False})
    port = free_port()
    started = answer("start", "--data", folder, "--port", port)
    assert started["host"] == f"http://127.0.0.1:{port}"
    running, said = status(folder)
    assert running
    assert (said["pid"], said["health"]["status"]) == (started["pid"], "ok")
    me = httpx.get(started["host"] + ME, headers={"Authorization": f"Bearer {made['token']}"})
    assert me.status_code == 200

    text = refusal("start", "--data", folder, "--port", free_port())
    assert "runs already" in text and str(started["pid"]) in text
    text = refusal("serve", "--data", folder, "--port", free_port())
    assert "Another process serves" in text

    assert answer("stop", "--data", folder) == {"state": "stopped"}
    wait_ended(started["pid"])
    assert answer("stop", "--data", folder) == {"state": "not running"}
    assert not status(folder)[0]


def test_of_many_starts_at_once_one_wins(folder):
    initialised(folder)

    def start(port):
        return subprocess.run(
            [PYTHON, "-m", "local_workspace", "start", "--data", str(folder),
             "--port", str(port)],
            cwd=ROOT, env=child_environment(), capture_output=True, text=True, timeout=120,
        )  # fmt: skip

    with ThreadPoolExecutor(3) as pool:
        done = list(pool.map(start, [free_port() for _ in range(3)]))
    won = [run for run in done if run.returncode == 0]
    assert len(won) == 1
    assert status(folder)[1]["pid"] == json.loads(won[0].stdout)["pid"]
    assert all("serves" in run.stderr or "runs already" in run.stderr
               for run in done if run.returncode)  # fmt: skip


def test_a_killed_workspace_leaves_nothing_in_the_way(folder):
    made = initialised(folder)
    port = free_port()
    first = answer("start", "--data", folder, "--port", port)
    os.kill(first["pid"], signal.SIGKILL)
    wait_ended(first["pid"])
    assert json.loads((folder / "workspace.pid").read_text())["pid"] == first["pid"]
    assert not status(folder)[0]
    assert answer("stop", "--data", folder) == {"state": "not running"}
    second = answer("start", "--data", folder, "--port", port)
    assert second["pid"] != first["pid"]
    me = httpx.get(second["host"] + ME, headers={"Authorization": f"Bearer {made['token']}"})
    assert me.status_code == 200


def test_a_pid_file_that_names_a_stranger_misleads_nobody(folder):
    initialised(folder)
    file = folder / "workspace.pid"
    stranger = subprocess.Popen(["sleep", "600"])
    try:
        record = {"pid": stranger.pid, "host": "http://127.0.0.1:1", "started_ticks": "1"}
        file.write_text(json.dumps(record))
        assert not status(folder)[0]
        assert answer("stop", "--data", folder) == {"state": "not running"}
        # A process that has the lock and has not yet written who it is.
        with file.open() as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            assert "taking up" in refusal("stop", "--data", folder)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_workspace_that_hangs_is_killed(folder):
    initialised(folder)
    started = answer("start", "--data", folder, "--port", free_port())
    os.kill(started["pid"], signal.SIGSTOP)
    assert status(folder)[1]["health"]["status"] == "no answer"
    assert answer("stop", "--data", folder, "--grace-seconds", 1) == {"state": "killed"}
    wait_ended(started["pid"])


def test_start_says_why_it_does_not(folder, workspace):
    assert "run init first" in refusal("start", "--data", folder)
    initialised(folder)
    taken = workspace.host.rpartition(":")[2]
    assert "in use" in refusal("start", "--data", folder, "--port", taken)
    assert not status(folder)[0]


@pytest.mark.parametrize("port", ["0", "65536", "-1", "http"])
def test_a_port_is_a_port(folder, port):
    initialised(folder)
    assert "--port" in command("start", "--data", folder, "--port", port, code=2).stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--listen", "0.0.0.0"], "Add --tls"),
        (["--listen", "::"], "Add --tls"),
        (["--listen", "10.1.2.3"], "Add --tls"),
        (["--listen", "0.0.0.0", "--tls"], "--name"),
        (["--listen", "example.com"], "no IP address"),
    ],
)
def test_tokens_never_go_over_a_network_in_clear(folder, options, said):
    initialised(folder)
    for verb in ("start", "serve"):
        assert said in refusal(verb, "--data", folder, *options)


def test_an_interrupted_init_is_finished_by_the_next(folder):
    first = initialised(folder)
    with sqlite3.connect(folder / "workspace.db") as db:
        db.execute("DELETE FROM meta WHERE key IN ('org_id', 'link_secret')")
    assert "run init again" in refusal("token", "list", "--data", folder)
    second = initialised(folder)
    assert second["token"] != first["token"]
    assert len(answers("token", "list", "--data", folder)) == 1
    assert len(answers("service-principal", "list", "--data", folder)) == 1
    assert "already" in refusal("init", "--data", folder)


class Caller:
    """Asks a workspace who one is."""

    def __init__(self, workspace):
        self._workspace = workspace

    def status(self, token: str) -> int:
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.get(self._workspace.host + ME, headers=headers).status_code

    def login(self, client_id: str, secret: str) -> httpx.Response:
        form = {"grant_type": "client_credentials"}
        address = f"{self._workspace.host}/oidc/v1/token"
        return httpx.post(address, data=form, auth=(client_id, secret))


@pytest.fixture
def caller(workspace):
    return Caller(workspace)


def test_tokens_of_a_running_workspace(workspace, caller):
    data = ("--data", workspace.data)
    made = answer("token", "create", *data, "--comment", "for n8n")
    assert caller.status(made["token"]) == 200
    listed = {entry["id"]: entry for entry in answers("token", "list", *data)}
    assert listed[made["id"]]["comment"] == "for n8n"
    assert made["token"] not in json.dumps(listed)

    rotated = answer("token", "rotate", made["id"], *data)
    assert caller.status(made["token"]) == 401
    assert caller.status(rotated["token"]) == 200
    again = answer("token", "rotate", rotated["id"], *data, "--grace-seconds", "600")
    assert caller.status(rotated["token"]) == caller.status(again["token"]) == 200

    assert answer("token", "revoke", again["id"], *data) == {"revoked": again["id"]}
    assert caller.status(again["token"]) == 401
    assert "no token" in refusal("token", "revoke", again["id"], *data)
    assert "does not exist" in refusal("token", "rotate", 99999, *data)


def test_a_tokens_lifetime_is_kept(workspace, caller):
    data = ("--data", workspace.data)
    made = answer("token", "create", *data, "--lifetime-seconds", "3600")
    clock = workspace.sdk().api_client
    assert caller.status(made["token"]) == 200
    try:
        clock.do("POST", "/_local/clock", body={"ahead_seconds": 3500})
        assert caller.status(made["token"]) == 200
        clock.do("POST", "/_local/clock", body={"ahead_seconds": 3700})
        assert caller.status(made["token"]) == 401
    finally:
        clock.do("POST", "/_local/reset")
    assert caller.status(made["token"]) == 200
    # A new token of the same lifetime.
    rotated = answer("token", "rotate", made["id"], *data)
    entry = next(e for e in answers("token", "list", *data) if e["id"] == rotated["id"])
    assert entry["expires"] > entry["created"]
    for wrong in ("0", "-5", "x", "99999999999"):
        command("token", "create", *data, "--lifetime-seconds", wrong, code=2)


def test_service_principals_of_a_running_workspace(workspace, caller):
    data = ("--data", workspace.data)
    made = answer("service-principal", "create", "etl", *data)
    first = caller.login(made["client_id"], made["client_secret"])
    token = first.json()["access_token"]
    assert caller.status(token) == 200
    listed = {e["client_id"]: e for e in answers("service-principal", "list", *data)}
    assert listed[made["client_id"]]["display_name"] == "etl"
    assert made["client_secret"] not in json.dumps(listed)

    rotate = ("service-principal", "rotate-secret", made["client_id"], *data)
    kept = answer(*rotate, "--grace-seconds", "600")
    for secret in (made["client_secret"], kept["client_secret"]):
        assert caller.login(made["client_id"], secret).status_code == 200
    assert caller.status(token) == 200
    last = answer(*rotate)
    for secret in (made["client_secret"], kept["client_secret"]):
        assert caller.login(made["client_id"], secret).status_code == 401
    assert caller.status(token) == 401  # got with a secret that is no more
    token = caller.login(made["client_id"], last["client_secret"]).json()["access_token"]
    assert caller.status(token) == 200

    answer("service-principal", "delete", made["client_id"], *data)
    assert caller.status(token) == 401
    assert caller.login(made["client_id"], last["client_secret"]).status_code == 401
    assert "does not exist" in refusal("service-principal", "delete", made["client_id"], *data)
    assert "display_name" in refusal("service-principal", "create", " ", *data)


def test_an_access_token_ends_after_an_hour_and_outlives_a_restart(folder):
    made = initialised(folder)
    port = free_port()
    started = answer("start", "--data", folder, "--port", port, "--faults")
    form = {"grant_type": "client_credentials"}
    pair = made["client_id"], made["client_secret"]
    token = httpx.post(f"{started['host']}/oidc/v1/token", data=form, auth=pair).json()
    access = {"Authorization": f"Bearer {token['access_token']}"}
    answer("stop", "--data", folder)
    answer("start", "--data", folder, "--port", port, "--faults")
    assert httpx.get(started["host"] + ME, headers=access).status_code == 200
    ahead = {"ahead_seconds": token["expires_in"] + 1}
    owner = {"Authorization": f"Bearer {made['token']}"}
    httpx.post(f"{started['host']}/_local/clock", json=ahead, headers=owner).raise_for_status()
    assert httpx.get(started["host"] + ME, headers=access).status_code == 401


def test_doctor_finds_nothing_wrong_and_then_what_is(folder):
    initialised(folder)
    fine = {e["name"]: e for e in answers("doctor", "--data", folder, "--json",
                                          "--port", free_port())}  # fmt: skip
    assert all(entry["ok"] for entry in fine.values())
    assert {"port", "rights", "disk", "engine", "tokens", "database workspace.db"} <= set(fine)

    folder.chmod(0o755)
    with sqlite3.connect(folder / "workspace.db") as db:
        db.execute("DELETE FROM tokens")
    left = subprocess.Popen(["sleep", "600"], stdout=(folder / "logs" / "left").open("w"))
    port = free_port()
    try:
        with listener(port):
            done = command("doctor", "--data", folder, "--json", "--port", port, code=1)
    finally:
        left.kill()
        left.wait()
    found = {e["name"]: e for e in map(json.loads, done.stdout.splitlines())}
    bad = {name for name, entry in found.items() if not entry["ok"]}
    assert bad == {"port", "rights", "tokens", "left-over processes"}
    assert all(found[name]["way_out"] for name in bad)
    assert str(left.pid) in found["left-over processes"]["way_out"]
    text = command("doctor", "--data", folder, "--port", free_port(), code=1).stdout
    assert "BAD  rights" in text and f"-> chmod 700 {folder}" in text
    folder.chmod(0o700)


def test_doctor_on_a_damaged_database(folder):
    initialised(folder)
    database = folder / "workspace.db"
    with sqlite3.connect(database) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = bytearray(database.read_bytes())
    content[4096:] = b"\xee" * (len(content) - 4096)
    database.write_bytes(content)
    done = command("doctor", "--data", folder, "--json", "--port", free_port(), code=1)
    found = {e["name"]: e for e in map(json.loads, done.stdout.splitlines())}
    assert not found["database workspace.db"]["ok"]
    assert "restore" in found["database workspace.db"]["way_out"]
    assert "doctor" in refusal("token", "list", "--data", folder)
    for file in folder.glob("workspace.db*"):
        file.unlink()
    initialised(folder)  # for the end of the test


def test_doctor_of_a_running_workspace(workspace):
    found = answers("doctor", "--data", workspace.data, "--json")
    assert [entry["name"] for entry in found if not entry["ok"]] == []
    assert "answers" in next(e for e in found if e["name"] == "process")["text"]


def listener(port: int) -> socket.socket:
    return socket.create_server(("127.0.0.1", port))
