"""docker-compose.yml and what its images are made of. No Docker engine is needed."""

import base64
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tools.processes import free_port

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "docker-compose.yml"
SECRETS = ("POSTGRES_PASSWORD", "ODOO_DATABRICKS_ENCRYPTION_KEY")


@pytest.fixture(scope="session")
def compose():
    """The command of Compose: the plugin of Docker, or the program of its own."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]):
            done = subprocess.run([*command, "version"], capture_output=True, check=False)
            if done.returncode == 0:
                return command
    pytest.skip("no Compose on this machine: neither `docker compose` nor `docker-compose`")


@pytest.fixture
def env_file(tmp_path):
    target = tmp_path / "made.env"
    assert make_env(target).returncode == 0
    return target


def make_env(target):
    command = [sys.executable, ROOT / "docker" / "make_env.py", "--file", target]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def compose_config(compose, *options, env=None):
    bare = {k: v for k, v in os.environ.items() if k not in SECRETS}
    command = [*compose, "-f", str(COMPOSE), "--project-directory", str(ROOT), *options]
    return subprocess.run(
        command, cwd="/", env={**bare, **(env or {})}, capture_output=True, text=True, check=False
    )


def test_compose_accepts_the_file(compose, env_file):
    done = compose_config(compose, "--env-file", str(env_file), "config", "-q")
    assert done.returncode == 0, done.stderr


def test_compose_refuses_to_start_without_secrets(compose, tmp_path):
    empty = tmp_path / "empty.env"
    empty.touch()
    done = compose_config(compose, "--env-file", str(empty), "config", "-q")
    assert done.returncode != 0 and "make_env.py" in done.stderr


def test_every_port_is_published_on_loopback_only():
    text = COMPOSE.read_text()
    blocks = re.findall(r"^ +ports:\n((?: +- .*\n)+)", text, re.MULTILINE)
    assert len(blocks) == text.count("ports:") > 0
    for line in "".join(blocks).splitlines():
        assert line.strip().startswith('- "127.0.0.1:'), line


def test_the_file_holds_no_secret_and_every_service_a_health_check():
    text = COMPOSE.read_text()
    for name in re.findall(r"\$\{(\w+):\?", text):
        assert name in SECRETS
    for line in text.splitlines():
        if re.search(r"PASSWORD|KEY|TOKEN", line.split(":")[0]):
            assert re.search(r": \$\{\w+:\?", line), line
    services = re.findall(r"^  (\w+):\n", text.split("\nvolumes:")[0], re.MULTILINE)
    assert services == ["db", "workspace", "odoo"]
    assert text.count("healthcheck:") == len(services)


def test_the_env_file_is_private_complete_and_never_overwritten(env_file):
    assert stat.S_IMODE(env_file.stat().st_mode) == 0o600
    values = dict(line.split("=", 1) for line in env_file.read_text().splitlines())
    assert set(SECRETS) <= set(values)
    assert len(values["POSTGRES_PASSWORD"]) >= 24
    assert len(base64.urlsafe_b64decode(values["ODOO_DATABRICKS_ENCRYPTION_KEY"])) == 32
    before = env_file.read_text()
    again = make_env(env_file)
    assert again.returncode == 1 and "left as it is" in again.stderr
    assert env_file.read_text() == before


def test_two_env_files_share_no_secret(tmp_path):
    make_env(tmp_path / "a")
    make_env(tmp_path / "b")
    first, second = (set((tmp_path / n).read_text().splitlines()) for n in "ab")
    assert first & second == {"ODOO_PORT=8069"}


@pytest.mark.parametrize("image", ["odoo", "workspace"])
def test_what_an_image_copies_is_in_the_checkout(image):
    lines = (ROOT / "docker" / image / "Dockerfile").read_text().splitlines()
    copies = [re.sub(r"^COPY (--\S+ )*", "", x).split() for x in lines if x.startswith("COPY ")]
    assert copies
    ignored = (ROOT / ".dockerignore").read_text().split()
    for *sources, _target in copies:
        for source in sources:
            assert (ROOT / source).exists(), source
            assert source.split("/")[0] not in ignored


def test_odoo_starts_with_the_token_of_the_workspace(tmp_path):
    token = tmp_path / "token.json"
    entrypoint = tmp_path / "entrypoint"
    entrypoint.write_text('#!/bin/sh\necho "$ODOO_DATABRICKS_LOCAL_TOKEN $*"\n')
    entrypoint.chmod(0o755)
    env = {**os.environ, "WORKSPACE_TOKEN_FILE": str(token), "ODOO_ENTRYPOINT": str(entrypoint)}
    command = [ROOT / "docker" / "odoo" / "start.sh", "odoo", "--database=odoo"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "no token" in done.stderr
    token.write_text(json.dumps({"token": "dapi-of-a-test"}))
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.stdout == "dapi-of-a-test odoo --database=odoo\n", done.stderr


def test_the_workspace_container_starts_the_workspace_and_leaves_its_token(tmp_path):
    pytest.importorskip("pysail", reason="the workspace runs in the lakehouse environment")
    token_file = tmp_path / "token.json"
    tools = str(Path(sys.executable).parent)
    env = {
        **os.environ,
        "PATH": os.pathsep.join([tools, os.environ["PATH"]]),
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "odoo_databricks" / "lib")]),
        "WORKSPACE_DATA": str(tmp_path / "data"),
        "WORKSPACE_TOKEN_FILE": str(token_file),
    }
    port = str(free_port(0))  # any: the usual one may be taken at any moment
    command = [ROOT / "docker" / "workspace" / "start.sh", "serve", "--port", port]
    tokens = []
    for _start in range(2):
        with (
            open(tmp_path / "log", "w") as log,
            subprocess.Popen(
                command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=log, text=True
            ) as process,
        ):
            try:
                line = process.stdout.readline()
                assert line, (tmp_path / "log").read_text()
                tokens.append(json.loads(token_file.read_text())["token"])
                request = urllib.request.Request(
                    f"{json.loads(line)['host']}/api/2.0/preview/scim/v2/Me",
                    headers={"Authorization": f"Bearer {tokens[-1]}"},
                )
                with urllib.request.urlopen(request, timeout=10) as answer:
                    assert json.load(answer)["active"]
            finally:
                process.terminate()
    assert tokens[0] == tokens[1], "a second start must keep the first token"
    assert not (tmp_path / "token.json.new").exists()
