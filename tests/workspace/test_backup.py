"""Backups: taken from a running workspace, restored elsewhere, and refused when they are bad."""

from __future__ import annotations

import io
import json
import stat
import subprocess
import tarfile
import threading

import pytest
from command_line import answer, command, initialised, refusal
from databricks.sdk import WorkspaceClient
from databricks.sdk.config import Config
from databricks.sdk.service.jobs import SparkPythonTask, Task
from workspace_process import PYTHON, child_environment, free_port

FILE = "/Volumes/main/landing/finance_exports/note.txt"
LOG_MODEL = """
import sys, mlflow
mlflow.set_tracking_uri(f"sqlite:///{sys.argv[1]}/mlflow.db")
experiment = mlflow.create_experiment("kept", artifact_location=f"file://{sys.argv[1]}/mlartifacts")
with mlflow.start_run(experiment_id=experiment):
    mlflow.log_text("seven", "n.txt")
    class Seven(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):
            return [7]
    mlflow.pyfunc.log_model(name="seven", python_model=Seven(), pip_requirements=[],
                            registered_model_name="seven")
"""
READ_MODEL = """
import sys, mlflow
mlflow.set_tracking_uri(f"sqlite:///{sys.argv[1]}/mlflow.db")
run = mlflow.search_runs(experiment_names=["kept"]).iloc[0]
print(mlflow.artifacts.load_text(run.artifact_uri + "/n.txt"))
print(mlflow.pyfunc.load_model("models:/seven/1").predict([1]))
"""


def client(host: str, token: str) -> WorkspaceClient:
    return WorkspaceClient(config=Config(host=host, token=token, auth_type="pat",
                                         config_file="/dev/null"))  # fmt: skip


def sql(workspace: WorkspaceClient, text: str) -> list:
    done = workspace.statement_execution.execute_statement(text, "local", wait_timeout="50s")
    assert done.status.state.value == "SUCCEEDED", done.status.error
    return done.result.data_array if done.result else []


def python(code: str, folder) -> str:
    """What a program prints that is given the folder of a workspace."""
    program = folder.parent / "program.py"
    program.write_text(code)
    done = subprocess.run(
        [PYTHON, program, folder], env=child_environment() | {"GIT_PYTHON_REFRESH": "quiet"},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_what_a_running_workspace_held_is_there_after_a_restore(tmp_path):
    first, second, file = tmp_path / "first", tmp_path / "deep" / "second", tmp_path / "b.tar"
    made = initialised(first)
    python(LOG_MODEL, first)
    started = answer("start", "--data", first, "--port", free_port())
    try:
        workspace = client(started["host"], made["token"])
        sql(workspace, "CREATE TABLE main.gold.kept AS SELECT 1 AS n")
        sql(workspace, "CREATE SCHEMA main.empty_one")
        workspace.files.upload(FILE, io.BytesIO(b"a note"))
        task = Task(task_key="t", spark_python_task=SparkPythonTask(python_file=FILE))
        job = workspace.jobs.create(name="kept", tasks=[task]).job_id
        ended = threading.Event()
        inserted = 1

        def insert():  # the copy is made while a table is written to
            nonlocal inserted
            while not ended.is_set():
                sql(workspace, "INSERT INTO main.gold.kept VALUES (1)")
                inserted += 1

        writer = threading.Thread(target=insert)
        writer.start()
        done = answer("backup", "--data", first, file)
        ended.set()
        writer.join()
    finally:
        command("stop", "--data", first)
    assert done["bytes"] == file.stat().st_size
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert made["token"].encode() not in file.read_bytes()

    answer("restore", "--data", second, file)
    assert stat.S_IMODE(second.stat().st_mode) == 0o700
    first.rename(tmp_path / "gone")  # nothing may still point there
    started = answer("start", "--data", second, "--port", free_port())
    try:
        workspace = client(started["host"], made["token"])
        rows = sql(workspace, "SELECT COUNT(*), SUM(n) FROM main.gold.kept")
        assert rows[0][0] == rows[0][1] and 1 <= int(rows[0][0]) <= inserted
        sql(workspace, "INSERT INTO main.gold.kept VALUES (1)")
        assert ["empty_one"] in [row[:1] for row in sql(workspace, "SHOW SCHEMAS IN main")]
        assert workspace.files.download(FILE).contents.read() == b"a note"
        assert workspace.jobs.get(job).settings.name == "kept"
        assert python(READ_MODEL, second).split() == ["seven", "[7]"]
        assert command("doctor", "--data", second).returncode == 0
    finally:
        command("stop", "--data", second)


def test_a_backup_replaces_nothing_and_stays_outside(tmp_path):
    data = tmp_path / "data"
    initialised(data)
    taken = tmp_path / "taken.tar"
    taken.write_text("mine")
    assert "replaces no file" in refusal("backup", "--data", data, taken)
    assert taken.read_text() == "mine"
    assert "inside the workspace" in refusal("backup", "--data", data, data / "b.tar")
    assert "No such file" in refusal("backup", "--data", data, tmp_path / "no" / "b.tar")
    assert "run init first" in refusal("backup", "--data", tmp_path / "none", tmp_path / "b.tar")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "taken.tar"]


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A good backup, to be spoilt."""
    folder = tmp_path_factory.mktemp("good")
    initialised(folder / "data")
    (folder / "data" / "volumes" / "note.txt").write_text("a note")
    command("backup", "--data", folder / "data", folder / "b.tar")
    return folder / "b.tar"


def entries(file) -> list[tuple[tarfile.TarInfo, bytes]]:
    with tarfile.open(file) as tar:
        return [(entry, tar.extractfile(entry).read() if entry.isreg() else b"") for entry in tar]


def written(folder, members) -> str:
    file = folder / "bad.tar"
    with tarfile.open(file, "w") as tar:
        for entry, content in members:
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return str(file)


def refused(tmp_path, file) -> str:
    """A restore that is refused, and that leaves nothing behind."""
    before = sorted(tmp_path.iterdir())
    said = refusal("restore", "--data", tmp_path / "new", file)
    assert sorted(tmp_path.iterdir()) == before
    return said


def test_a_restore_needs_an_empty_folder(tmp_path, good):
    data = tmp_path / "data"
    data.mkdir()
    (data / "x").write_text("mine")
    assert "not empty" in refusal("restore", "--data", data, good)
    assert [path.name for path in data.iterdir()] == ["x"]
    (data / "x").unlink()
    command("restore", "--data", data, good)
    assert (data / "volumes" / "note.txt").read_text() == "a note"
    assert "not empty" in refusal("restore", "--data", data, good)


@pytest.mark.parametrize(
    "name", ["../evil", "volumes/../../evil", "/tmp/evil-of-a-backup", "./x", "a//b", "."]
)
def test_a_name_that_leads_elsewhere_is_refused(tmp_path, good, name):
    entry = tarfile.TarInfo(name)
    assert "no file of a workspace" in refused(
        tmp_path, written(tmp_path, [(entry, b"x"), *entries(good)])
    )
    assert not (tmp_path / "evil").exists() and not (tmp_path.parent / "evil").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_what_is_neither_file_nor_folder_is_refused(tmp_path, good, kind):
    entry = tarfile.TarInfo("volumes/link")
    entry.type, entry.linkname = kind, "/etc/passwd"
    assert "no file of a workspace" in refused(
        tmp_path, written(tmp_path, [(entry, b""), *entries(good)])
    )


def test_a_damaged_backup_is_refused(tmp_path, good):
    members = entries(good)
    changed = [(e, b"another" if e.name.endswith("note.txt") else c) for e, c in members]
    assert "damaged: volumes/note.txt" in refused(tmp_path, written(tmp_path, changed))
    missing = [(e, c) for e, c in members if not e.name.endswith("note.txt")]
    assert "damaged: volumes/note.txt" in refused(tmp_path, written(tmp_path, missing))
    twice = [*members[:-1], *(m for m in members if m[0].name.endswith("note.txt")), members[-1]]
    assert "could not be restored" in refused(tmp_path, written(tmp_path, twice))
    assert "no manifest" in refused(tmp_path, written(tmp_path, members[:-1]))
    (tmp_path / "bad.tar").write_bytes(good.read_bytes()[:-40_000])
    assert "not a whole one" in refused(tmp_path, tmp_path / "bad.tar")
    (tmp_path / "bad.tar").write_bytes(b"no tar at all" * 100)
    assert "no backup" in refused(tmp_path, tmp_path / "bad.tar")
    assert "No such file" in refused(tmp_path, tmp_path / "absent.tar")


@pytest.mark.parametrize("manifest", [{}, [], {"format": 99}, {"format": 1}, {"format": 1,
                                      "files": [], "data": 7}])  # fmt: skip
def test_a_strange_manifest_is_refused(tmp_path, good, manifest):
    *members, (entry, _) = entries(good)
    content = json.dumps(manifest).encode()
    assert "no manifest" in refused(tmp_path, written(tmp_path, [*members, (entry, content)]))
