"""Updates that are stopped, killed, crowded out or left behind; nothing is read twice or lost."""

from __future__ import annotations

import io
import json
import os
import random
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest
from databricks.sdk.errors.platform import ResourceConflict
from databricks.sdk.service.pipelines import FileLibrary, PipelineLibrary
from pipeline_runs import (
    complete_update,
    errors,
    events,
    finished,
    run_update,
    state_of,
    wait_update,
)
from workspace_process import free_port, init_workspace, serve_workspace, stop_workspace

ROOT = "/Volumes/main/landing/finance_exports"
HEAD = "import os, time\nfrom pyspark import pipelines as dp\n"
SLEEPER = """
@dp.materialized_view(name="main.gold.{name}")
def {name}():
    if os.path.exists({gate!r}):
        print("up", flush=True)
        time.sleep(600)
    return spark.range(3)
"""
STREAM = """
@dp.table(name="main.bronze.raw")
def raw():
    return spark.readStream.schema("id BIGINT").json("{root}/in")
@dp.materialized_view(name="main.gold.counted")
def counted():
    return spark.read.table("main.bronze.raw").groupBy().count()
"""


@pytest.fixture
def data(tmp_path):
    return tmp_path / "workspace"


@pytest.fixture
def place(data):
    """A workspace of its own: these tests kill what they find in it."""
    running = serve_workspace(data, init_workspace(data))
    yield running
    stop_workspace(running)


def make(client, name, source):
    path = f"{ROOT}/{name}.py"
    client.files.upload(path, io.BytesIO((HEAD + source).encode()), overwrite=True)
    library = PipelineLibrary(file=FileLibrary(path=path))
    return client.pipelines.create(name=name, catalog="main", libraries=[library]).pipeline_id


def gate_in(tmp_path) -> Path:
    """While this file exists, a sleeper sleeps."""
    gate = tmp_path / "gate"
    gate.touch()
    return gate


def log_of(data, pipeline_id, update_id) -> str:
    file = data / "pipelines" / pipeline_id / update_id / "stdout"
    return file.read_text() if file.exists() else ""


def wait_up(data, pipeline_id, update_id, seconds=90):
    deadline = time.monotonic() + seconds
    while "up" not in log_of(data, pipeline_id, update_id):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def hosts(data) -> list[int]:
    """Processes of updates of the workspace in ``data``."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().decode(errors="replace")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if f"{data}/pipelines/" in command:
                found.append(int(entry.name))
    return found


def wait_no_hosts(data, seconds=60):
    deadline = time.monotonic() + seconds
    while hosts(data):
        assert time.monotonic() < deadline, hosts(data)
        time.sleep(0.05)


def count(client, table):
    answer = client.statement_execution.execute_statement(
        f"SELECT count(*), count(DISTINCT id) FROM {table}", "local"
    )
    return [int(n) for n in answer.result.data_array[0]]


def test_stop_cancels_the_update_and_ends_its_processes(place, data, tmp_path):
    client = place.sdk()
    gate = gate_in(tmp_path)
    pipeline = make(client, "stopped", SLEEPER.format(name="stopped", gate=str(gate)))
    client.pipelines.stop(pipeline)  # nothing to stop
    update = client.pipelines.start_update(pipeline).update_id
    wait_up(data, pipeline, update)
    assert client.pipelines.get(pipeline).state.value == "STARTING"
    with pytest.raises(ResourceConflict, match="active update"):
        client.pipelines.start_update(pipeline)
    assert hosts(data)
    view = client.pipelines.stop(pipeline).result()
    assert view.state.value == "IDLE" and view.latest_updates[0].state.value == "CANCELED"
    assert not hosts(data)
    states = [
        event["details"]["update_progress"]["state"]
        for event in events(client, pipeline, update, "update_progress")
    ]
    assert states[-2:] == ["STOPPING", "CANCELED"]
    actions = events(client, pipeline, update, "user_action")
    assert [event["details"]["user_action"]["action"] for event in actions] == ["START", "STOP"]
    gate.unlink()
    complete_update(client, pipeline)


def test_a_stopped_write_leaves_the_table_as_it_was(place, data):
    """The engine ends what it computes for an update that is stopped."""
    client = place.sdk()
    source = """
@dp.materialized_view(name="main.gold.heavy")
def heavy():
    rows = spark.range({rows}).selectExpr("id % 1000 AS k", "id")
    return rows.alias("a").join(rows.alias("b"), "k").selectExpr("a.id AS id", "b.id AS other")
"""
    pipeline = make(client, "heavy", source.format(rows=2000))
    complete_update(client, pipeline)
    before = count(client, "main.gold.heavy")
    make_again = HEAD + source.format(rows=1_000_000)
    client.files.upload(f"{ROOT}/heavy.py", io.BytesIO(make_again.encode()), overwrite=True)
    update = client.pipelines.start_update(pipeline).update_id
    wait_update(client, pipeline, update, ("RUNNING",), 90)
    client.pipelines.stop(pipeline)
    assert wait_update(client, pipeline, update) == "CANCELED"
    assert count(client, "main.gold.heavy") == before
    files = sum(1 for _ in (data / "tables/main/gold/heavy").glob("*.parquet"))
    time.sleep(1)  # an engine that went on writing would add files or a commit meanwhile
    assert count(client, "main.gold.heavy") == before
    assert sum(1 for _ in (data / "tables/main/gold/heavy").glob("*.parquet")) == files


def test_a_child_that_is_killed_fails_its_update(place, data, tmp_path):
    client = place.sdk()
    gate = gate_in(tmp_path)
    pipeline = make(client, "killed", SLEEPER.format(name="killed", gate=str(gate)))
    update = client.pipelines.start_update(pipeline).update_id
    wait_up(data, pipeline, update)
    for pid in hosts(data):
        os.kill(pid, signal.SIGKILL)
    assert wait_update(client, pipeline, update) == "FAILED"
    assert "SIGKILL" in errors(client, pipeline, update)[""]


def test_code_that_ends_its_own_process_fails_its_update(place):
    client = place.sdk()
    pipeline = make(client, "exits", "os._exit(7)\n")
    update = run_update(client, pipeline)
    assert state_of(client, pipeline, update) == "FAILED"
    assert "exit code 7" in errors(client, pipeline, update)[""]


def test_an_engine_that_dies_fails_the_update_and_the_next_one_works(place, data, tmp_path):
    client = place.sdk()
    gate = gate_in(tmp_path)
    source = f"""
@dp.materialized_view(name="main.gold.base")
def base():
    return spark.range(3)
@dp.materialized_view(name="main.gold.engine")
def engine():
    frame = spark.read.table("main.gold.base")
    if os.path.exists({str(gate)!r}):
        print("up", flush=True)
        time.sleep(2)
    return frame
"""
    pipeline = make(client, "engine", source)
    update = client.pipelines.start_update(pipeline).update_id
    wait_up(data, pipeline, update)
    os.kill(_engine_of(place.process.pid), signal.SIGKILL)
    assert wait_update(client, pipeline, update) == "FAILED"
    gate.unlink()
    complete_update(client, pipeline)


def _engine_of(workspace: int) -> int:
    """The engine's process: the child of the workspace that runs Sail."""
    listed = subprocess.run(
        ["ps", "-ww", "--ppid", str(workspace), "-o", "pid=,args="], capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    (found,) = [line for line in listed.stdout.splitlines() if "sail spark server" in line]
    return int(found.split()[0])


def test_updates_wait_for_a_slot_and_can_be_stopped_there(place, data, tmp_path):
    client = place.sdk()
    gate = gate_in(tmp_path)
    ids = [
        make(client, name, SLEEPER.format(name=name, gate=str(gate)))
        for name in ("one", "two", "three", "four")
    ]
    updates = [client.pipelines.start_update(pipeline).update_id for pipeline in ids[:2]]
    for pipeline, update in zip(ids[:2], updates, strict=True):
        wait_up(data, pipeline, update)
    updates += [client.pipelines.start_update(pipeline).update_id for pipeline in ids[2:]]
    assert [state_of(client, *pair) for pair in zip(ids[2:], updates[2:], strict=True)] == [
        "QUEUED", "QUEUED",
    ]  # fmt: skip
    client.pipelines.stop(ids[2])
    assert state_of(client, ids[2], updates[2]) == "CANCELED"
    gate.unlink()
    client.pipelines.stop(ids[0])
    assert wait_update(client, ids[3], updates[3]) == "COMPLETED"
    client.pipelines.delete(ids[1])  # stops the one that sleeps
    assert not hosts(data)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_what_survives_the_end_of_the_workspace(data, tmp_path, how):
    credentials = init_workspace(data)
    port = free_port()
    first = serve_workspace(data, credentials, port)
    client = first.sdk()
    gate = gate_in(tmp_path)
    names = ("alive", "also", "waits")
    ids = [make(client, name, SLEEPER.format(name=name, gate=str(gate))) for name in names]
    gate.unlink()
    complete_update(client, ids[0])
    gate.touch()
    updates = [client.pipelines.start_update(pipeline).update_id for pipeline in ids]
    for pipeline, update in zip(ids[:2], updates[:2], strict=True):
        wait_up(data, pipeline, update)
    assert state_of(client, ids[2], updates[2]) == "QUEUED"
    first.process.send_signal(how)
    first.process.wait(60)
    first.process.stdout.close()
    wait_no_hosts(data)
    gate.unlink()

    second = serve_workspace(data, credentials, port)
    try:
        client = second.sdk()
        for pipeline, update in zip(ids[:2], updates[:2], strict=True):
            assert state_of(client, pipeline, update) == "FAILED"
            assert "workspace stopped" in errors(client, pipeline, update)[""]
            view = client.pipelines.get(pipeline)
            assert view.state.value == "IDLE" and "workspace stopped" in view.cause
        assert wait_update(client, ids[2], updates[2]) == "COMPLETED"
        assert count(client, "main.gold.alive") == [3, 3]
        complete_update(client, ids[0])
        assert not _stored(data, "SELECT id FROM tokens WHERE comment LIKE 'pipeline update%'")
    finally:
        stop_workspace(second)


def test_kills_at_random_points_lose_no_row_and_repeat_none(place, data):
    """Sixteen updates of a stream, most of them killed somewhere; each file counts once."""
    client = place.sdk()
    pipeline = make(client, "stream", STREAM.format(root=ROOT))
    chance = random.Random(5)
    rows = 0
    outcomes = []
    for turn in range(16):
        records = "".join(json.dumps({"id": rows + n}) + "\n" for n in range(50))
        client.files.upload(f"{ROOT}/in/{turn}.json", io.BytesIO(records.encode()))
        rows += 50
        update = client.pipelines.start_update(pipeline, full_refresh=turn == 9).update_id
        wait_update(client, pipeline, update, ("RESETTING", "SETTING_UP_TABLES", "RUNNING",
                                               "COMPLETED", "FAILED"))  # fmt: skip
        time.sleep(chance.uniform(0, 0.5))
        for pid in hosts(data):
            os.kill(pid, signal.SIGKILL)
        outcomes.append(wait_update(client, pipeline, update))
    assert "FAILED" in outcomes
    last = complete_update(client, pipeline)
    assert count(client, "main.bronze.raw") == [rows, rows]
    assert finished(client, pipeline, last)["main.gold.counted"]["metrics"] == {
        "num_output_rows": 1
    }


def test_a_batch_whose_commit_was_not_noted_is_not_read_again(place, data):
    """The state file as it is when a process ends between the commit and the note of it."""
    client = place.sdk()
    pipeline = make(client, "noted", STREAM.format(root=ROOT))
    client.files.upload(f"{ROOT}/in/a.json", io.BytesIO(b'{"id": 1}\n{"id": 2}\n'))
    complete_update(client, pipeline)
    table = data / "tables/main/bronze/raw"
    state_file = table / "_pipeline/state.json"
    log = sorted((table / "_delta_log").glob("*.json"))[-1]
    tag = json.loads(log.read_text().splitlines()[0])["commitInfo"]["userMetadata"]
    state = json.loads(state_file.read_text())
    read = state["flows"].pop("main.bronze.raw")
    pending = {"tag": tag, "since": int(log.stem) - 1, "flow": "main.bronze.raw", "files": read}
    state_file.write_text(json.dumps(state | {"pending": pending}))
    complete_update(client, pipeline)
    assert count(client, "main.bronze.raw") == [2, 2]
    # The same, ended before the commit: the files are still to be read.
    client.files.upload(f"{ROOT}/in/b.json", io.BytesIO(b'{"id": 3}\n'))
    state = json.loads(state_file.read_text())
    lost = pending | {"tag": "never written", "since": int(log.stem),
                      "files": {f"{ROOT}/in": ["b.json"]}}  # fmt: skip
    state_file.write_text(json.dumps(state | {"pending": lost}))
    complete_update(client, pipeline)
    assert count(client, "main.bronze.raw") == [3, 3]


def test_a_full_refresh_that_was_cut_short_is_done_again(place, data):
    client = place.sdk()
    pipeline = make(client, "cut", STREAM.format(root=ROOT))
    client.files.upload(f"{ROOT}/in/a.json", io.BytesIO(b'{"id": 1}\n{"id": 2}\n'))
    complete_update(client, pipeline)
    state_file = data / "tables/main/bronze/raw/_pipeline/state.json"
    state = json.loads(state_file.read_text())
    state_file.write_text(json.dumps(state | {"flows": {}, "resetting": True}))
    complete_update(client, pipeline)
    assert count(client, "main.bronze.raw") == [2, 2]


def test_an_update_is_metered(place, data):
    client = place.sdk()
    pipeline = make(client, "metered", SLEEPER.format(name="metered", gate="/nowhere"))
    update = complete_update(client, pipeline)
    found = _stored(
        data, "SELECT metadata, end_ms - start_ms, identity FROM usage_records"
        " WHERE product = 'DLT'",
    )  # fmt: skip
    assert [json.loads(row[0]) for row in found] == [
        {"dlt_pipeline_id": pipeline, "dlt_update_id": update}
    ]
    assert found[0][1] > 0 and found[0][2] == client.current_user.me().user_name


def _stored(data, query):
    with closing(sqlite3.connect(data / "workspace.db")) as db:
        return db.execute(query).fetchall()


def test_much_output_is_capped_and_old_logs_go(place, data):
    client = place.sdk()
    text = "for _ in range(200): print('x' * 100_000)\n"
    source = text + SLEEPER.format(name="loud", gate="/nowhere")
    pipeline = make(client, "loud", source)
    update = complete_update(client, pipeline)
    folder = data / "pipelines" / pipeline / update
    assert (folder / "stdout").stat().st_size < 6 * 1024 * 1024
    assert {entry.name for entry in folder.iterdir()} <= {
        "stdout", "stderr", "update.json", "task.json", "result.json",
    }  # fmt: skip
    client.pipelines.delete(pipeline)
    assert not folder.parent.exists()


def test_an_update_acts_as_the_creator_of_its_pipeline(place, data):
    """A service principal's pipeline, started by somebody else, calls with its token."""
    from databricks.sdk import WorkspaceClient

    source = """
import json, urllib.request
def who():
    request = urllib.request.Request(os.environ["DATABRICKS_HOST"] + "/api/2.0/preview/scim/v2/Me")
    request.add_header("Authorization", "Bearer " + os.environ["DATABRICKS_TOKEN"])
    return json.load(urllib.request.urlopen(request))["userName"]
@dp.materialized_view(name="main.gold.who")
def whose():
    return spark.range(1).selectExpr(f"'{who()}' AS name")
"""
    principal = WorkspaceClient(
        host=place.host, client_id=place.credentials.client_id, auth_type="oauth-m2m",
        client_secret=place.credentials.client_secret, config_file=os.devnull,
    )  # fmt: skip
    pipeline = make(principal, "acts", source)
    complete_update(place.sdk(), pipeline)
    answer = place.sdk().statement_execution.execute_statement("TABLE main.gold.who", "local")
    assert answer.result.data_array == [[place.credentials.client_id]]
    assert principal.pipelines.get(pipeline).run_as_user_name == place.credentials.client_id
    assert not _stored(data, "SELECT id FROM tokens WHERE comment LIKE 'pipeline update%'")
