"""Jobs and runs through the unmodified SDK, with real child processes."""

from __future__ import annotations

import io
import json
import os
import time
import zipfile
from datetime import timedelta
from functools import partial

import httpx
import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.config import Config
from databricks.sdk.errors import BadRequest
from databricks.sdk.errors.platform import NotImplemented, ResourceDoesNotExist
from databricks.sdk.errors.sdk import OperationFailed
from databricks.sdk.service.compute import Library
from databricks.sdk.service.jobs import (
    JobParameterDefinition,
    JobSettings,
    NotebookTask,
    PythonWheelTask,
    QueueSettings,
    SparkPythonTask,
    Task,
)
from job_runs import SCRIPTS, alive, finish, python_task, states, wait_running

WHEELS = "/Volumes/main/landing/wheels"


@pytest.fixture(scope="module")
def client(workspace):
    return workspace.sdk()


@pytest.fixture(scope="module")
def script(client):
    """A function that makes a task of a key, a script's text and the tasks before it."""
    return partial(python_task, client)


def test_success_order_environment_and_output(client, script, workspace):
    note = (
        "import json, os, sys, time\n"
        "print(json.dumps({'at': time.time(), 'argv': sys.argv[1:], 'env': dict(os.environ)}))\n"
        "print('to stderr', file=sys.stderr)\n"
    )
    job = client.jobs.create(
        name="ordered",
        parameters=[JobParameterDefinition(name="day", default="2025-01-31")],
        tasks=[
            script("gold", note, "silver", parameters=["{{job.parameters.day}}"]),
            script("bronze", note),
            script("silver", note, "bronze"),
        ],
    )
    started = client.jobs.run_now(job.job_id, job_parameters={"day": "2025-02-28"})
    run = started.result(timeout=timedelta(seconds=60))
    assert (run.state.life_cycle_state.value, run.state.result_state.value) == (
        "TERMINATED", "SUCCESS",
    )  # fmt: skip
    assert run.status.termination_details.code.value == "SUCCESS"
    assert run.number_in_job == run.run_id
    assert run.job_parameters[0].value == "2025-02-28"
    outputs = {}
    for task in run.tasks:
        output = client.jobs.get_run_output(task.run_id)
        assert output.error is None
        assert output.logs.endswith("to stderr\n")
        outputs[task.task_key] = json.loads(output.logs.splitlines()[0])
    assert outputs["bronze"]["at"] < outputs["silver"]["at"] < outputs["gold"]["at"]
    assert outputs["gold"]["argv"] == ["2025-02-28"]
    environment = outputs["gold"]["env"]
    assert environment["SPARK_REMOTE"].startswith("sc://127.0.0.1:")
    assert environment["LAKEHOUSE_TABLES_ROOT"] == str(workspace.data / "tables")
    assert environment["LAKEHOUSE_VOLUMES_ROOT"] == str(workspace.data / "volumes")
    assert environment["MLFLOW_TRACKING_URI"] == f"sqlite:///{workspace.data}/mlflow.db"
    assert environment["DATABRICKS_HOST"] == workspace.host
    # The token of a task ends with the task.
    token = environment["DATABRICKS_TOKEN"]
    answer = httpx.get(
        f"{workspace.host}/api/2.0/sql/warehouses", headers={"Authorization": f"Bearer {token}"}
    )
    assert token.startswith("dapi") and answer.status_code == 401


def test_a_task_uses_the_engine_and_the_workspace(client, script):
    source = (
        "import os\n"
        "from pyspark.sql import SparkSession\n"
        "spark = SparkSession.builder.remote(os.environ['SPARK_REMOTE']).create()\n"
        "root = os.environ['LAKEHOUSE_TABLES_ROOT']\n"
        "frame = spark.range(5)\n"
        "frame.write.format('delta').mode('overwrite').save(root + '/main/gold/from_a_job')\n"
        "from databricks.sdk import WorkspaceClient\n"
        "answer = WorkspaceClient().statement_execution.execute_statement(\n"
        "    'SELECT count(*) FROM main.gold.from_a_job', 'local')\n"
        "print(answer.result.data_array)\n"
    )
    job = client.jobs.create(name="engine", tasks=[script("t", source)])
    run = finish(client, client.jobs.run_now(job.job_id).run_id)
    output = client.jobs.get_run_output(run.tasks[0].run_id)
    assert run.state.result_state.value == "SUCCESS", output.error_trace
    assert output.logs.splitlines()[0] == "[['5']]"


def test_a_failed_task(client, script):
    job = client.jobs.create(
        name="failing",
        tasks=[
            script("load", "print('before')\nraise ValueError('31/02/2025 is no date')\n"),
            script("report", "print('never')\n", "load"),
            script("other", "print('still runs')\n"),
        ],
    )
    waiting = client.jobs.run_now(job.job_id)
    with pytest.raises(OperationFailed):
        waiting.result(timeout=timedelta(seconds=60))
    run = client.jobs.get_run(waiting.run_id)
    assert (run.state.life_cycle_state.value, run.state.result_state.value) == (
        "INTERNAL_ERROR", "FAILED",
    )  # fmt: skip
    assert run.state.state_message == (
        "Task load failed with message: Workload failed, see run output for details."
    )
    assert run.status.state.value == "TERMINATED"
    assert run.status.termination_details.code.value == "RUN_EXECUTION_ERROR"
    assert states(run) == {
        "load": ("TERMINATED", "FAILED"),
        "report": ("TERMINATED", "UPSTREAM_FAILED"),
        "other": ("TERMINATED", "SUCCESS"),
    }
    failed = next(task for task in run.tasks if task.task_key == "load")
    output = client.jobs.get_run_output(failed.run_id)
    assert output.error == "ValueError: 31/02/2025 is no date"
    assert "Traceback" in output.error_trace
    assert output.logs.startswith("before\n")
    with pytest.raises(BadRequest, match="each individual task run"):
        client.jobs.get_run_output(run.run_id)
    single = client.jobs.get_run(failed.run_id)
    assert single.state.result_state.value == "FAILED"
    page = httpx.get(run.run_page_url)
    assert page.status_code == 200
    assert "31/02/2025 is no date" in page.text and "UPSTREAM_FAILED" in page.text
    assert "refresh" not in page.headers  # it has ended
    assert httpx.get(run.run_page_url + "0").status_code == 403


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("import sys\nsys.exit(3)\n", "SystemExit: 3"),
        ("import os\nos._exit(4)\n", "The process ended with exit code 4."),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n",
         "The process was ended by signal SIGKILL."),
        ("def broken(:\n", "SyntaxError"),
    ],
)  # fmt: skip
def test_ways_to_fail(client, script, source, error):
    job = client.jobs.create(name="ways", tasks=[script("t", source)])
    run = finish(client, client.jobs.run_now(job.job_id).run_id)
    assert run.state.result_state.value == "FAILED"
    assert client.jobs.get_run_output(run.tasks[0].run_id).error.startswith(error)


def test_a_clean_exit_is_no_failure(client, script):
    job = client.jobs.create(name="clean", tasks=[script("t", "import sys\nsys.exit(0)\n")])
    run = finish(client, client.jobs.run_now(job.job_id).run_id)
    assert run.state.result_state.value == "SUCCESS"


STUBBORN = (
    "import os, signal, subprocess, sys, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
    "print(os.getpid(), child.pid, flush=True)\n"
    "time.sleep(600)\n"
)


def test_cancel_ends_the_whole_group(client, script):
    job = client.jobs.create(
        name="stubborn", tasks=[script("t", STUBBORN), script("after", "print(1)\n", "t")]
    )
    waiting = client.jobs.run_now(job.job_id)
    task_run = wait_running(client, waiting.run_id, "t").run_id
    pids: list[int] = []
    while len(pids) < 2:
        pids = [int(p) for p in client.jobs.get_run_output(task_run).logs.split()]
        time.sleep(0.05)
    assert all(alive(pid) for pid in pids)
    client.jobs.cancel_run(waiting.run_id)
    assert client.jobs.get_run(waiting.run_id).state.life_cycle_state.value == "TERMINATING"
    page = httpx.get(client.jobs.get_run(waiting.run_id).run_page_url)
    assert page.headers["refresh"] and "TERMINATING" in page.text
    run = finish(client, waiting.run_id)
    assert (run.state.life_cycle_state.value, run.state.result_state.value) == (
        "TERMINATED", "CANCELED",
    )  # fmt: skip
    assert run.status.termination_details.code.value == "USER_CANCELED"
    assert states(run)["t"] == ("TERMINATED", "CANCELED")
    assert states(run)["after"][1] in ("CANCELED", "UPSTREAM_CANCELED")
    assert not any(alive(pid) for pid in pids)
    client.jobs.cancel_run(waiting.run_id)  # no effect on an ended run
    assert client.jobs.get_run(waiting.run_id).state.result_state.value == "CANCELED"


def test_timeout_of_a_task(client, script):
    job = client.jobs.create(
        name="slow", tasks=[script("t", "import time\ntime.sleep(60)\n", timeout_seconds=1)]
    )
    run = finish(client, client.jobs.run_now(job.job_id).run_id)
    assert run.state.result_state.value == "TIMEDOUT"


def test_idempotency_token(client, script):
    job = client.jobs.create(name="once", tasks=[script("t", "print(1)\n")])
    other = client.jobs.create(name="once more", tasks=[script("t", "print(1)\n")])
    first = client.jobs.run_now(job.job_id, idempotency_token="bill-2025-01").run_id
    again = client.jobs.run_now(job.job_id, idempotency_token="bill-2025-01").run_id
    assert first == again
    finish(client, first)
    assert client.jobs.run_now(job.job_id, idempotency_token="bill-2025-01").run_id == first
    assert len(list(client.jobs.list_runs(job_id=job.job_id))) == 1
    # An empty token is none.
    empty = [client.jobs.run_now(other.job_id, idempotency_token="").run_id for _ in range(2)]
    assert len(set(empty)) == 2
    with pytest.raises(BadRequest, match="another job"):
        client.jobs.run_now(other.job_id, idempotency_token="bill-2025-01")
    with pytest.raises(BadRequest, match="64"):
        client.jobs.run_now(job.job_id, idempotency_token="x" * 65)


def test_max_concurrent_runs_skip_and_queue(client, script):
    slow = script("t", "import time\ntime.sleep(1.5)\n")
    job = client.jobs.create(name="alone", tasks=[slow])
    first = client.jobs.run_now(job.job_id).run_id
    skipped = client.jobs.get_run(client.jobs.run_now(job.job_id).run_id)
    assert (skipped.state.life_cycle_state.value, skipped.state.result_state.value) == (
        "SKIPPED", "MAXIMUM_CONCURRENT_RUNS_REACHED",
    )  # fmt: skip
    queued = client.jobs.run_now(job.job_id, queue=QueueSettings(enabled=True)).run_id
    dropped = client.jobs.run_now(job.job_id, queue=QueueSettings(enabled=True)).run_id
    assert client.jobs.get_run(queued).state.life_cycle_state.value == "QUEUED"
    client.jobs.cancel_run(dropped)
    assert client.jobs.get_run(dropped).state.result_state.value == "CANCELED"
    assert {r.run_id for r in client.jobs.list_runs(job_id=job.job_id, active_only=True)} == {
        first, queued,
    }  # fmt: skip
    assert finish(client, first).end_time <= finish(client, queued).tasks[0].start_time


def test_parallel_tasks_overlap(client, script):
    nap = "import time\nprint(time.time())\ntime.sleep(1)\nprint(time.time())\n"
    job = client.jobs.create(name="wide", tasks=[script("a", nap), script("b", nap)])
    run = finish(client, client.jobs.run_now(job.job_id).run_id)
    spans = [
        [float(x) for x in client.jobs.get_run_output(task.run_id).logs.split()]
        for task in run.tasks
    ]
    assert max(span[0] for span in spans) < min(span[1] for span in spans)


def make_wheel() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as wheel:
        wheel.writestr(
            "acme_tasks/main.py",
            "import sys, importlib.resources as r\n"
            "def go():\n"
            "    text = r.files('acme_tasks').joinpath('data.txt').read_text()\n"
            "    print('went', sys.argv[1:], text)\n"
            "def direct():\n    print('direct', sys.argv[1:])\n    return 0\n"
            "def fail():\n    return 7\n",
        )
        wheel.writestr("acme_tasks/__init__.py", "")
        wheel.writestr("acme_tasks/data.txt", "packed")
        wheel.writestr(
            "acme_tasks-1.0.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: acme-tasks\nVersion: 1.0\n",
        )
        wheel.writestr(
            "acme_tasks-1.0.dist-info/entry_points.txt",
            "[console_scripts]\ngo_there = acme_tasks.main:go\n",
        )
        wheel.writestr("acme_tasks-1.0.dist-info/RECORD", "")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("entry_point", "settings", "logs", "result"),
    [
        ("go_there", {"parameters": ["a", "b c"]}, "went ['a', 'b c'] packed", "SUCCESS"),
        ("go_there", {"named_parameters": {"day": "x"}}, "went ['--day=x'] packed", "SUCCESS"),
        ("acme_tasks.main:direct", {"parameters": []}, "direct []", "SUCCESS"),
        ("acme_tasks.main:fail", {}, "", "FAILED"),
        ("nowhere", {}, "", "FAILED"),
    ],
)
def test_wheel_tasks(client, entry_point, settings, logs, result):
    path = f"{WHEELS}/acme_tasks-1.0-py3-none-any.whl"
    client.files.upload(path, io.BytesIO(make_wheel()), overwrite=True)
    task = PythonWheelTask(package_name="acme-tasks", entry_point=entry_point, **settings)
    job = client.jobs.create(
        name="wheel",
        tasks=[Task(task_key="t", python_wheel_task=task, libraries=[Library(whl=path)])],
    )
    run = finish(client, client.jobs.run_now(job.job_id).run_id)
    output = client.jobs.get_run_output(run.tasks[0].run_id)
    assert run.state.result_state.value == result, output.error_trace
    assert output.logs.startswith(logs)
    if entry_point == "nowhere":
        assert "nowhere" in output.error


def test_missing_wheel_and_missing_file(client):
    lost = Task(
        task_key="t",
        python_wheel_task=PythonWheelTask(package_name="x", entry_point="y"),
        libraries=[Library(whl=f"{WHEELS}/lost.whl")],
    )
    gone = Task(task_key="t", spark_python_task=SparkPythonTask(python_file=f"{SCRIPTS}/gone.py"))
    for task in (lost, gone):
        job = client.jobs.create(name="lost", tasks=[task])
        run = finish(client, client.jobs.run_now(job.job_id).run_id)
        assert run.state.result_state.value == "FAILED"
        assert "does not exist" in client.jobs.get_run_output(run.tasks[0].run_id).error


def test_logs_are_capped(client, script, workspace):
    source = "for i in range(200000):\n    print(f'{i:060d}')\n"
    job = client.jobs.create(name="loud", tasks=[script("t", source)])
    run = finish(client, client.jobs.run_now(job.job_id).run_id, seconds=60)
    output = client.jobs.get_run_output(run.tasks[0].run_id)
    assert output.logs_truncated
    assert f"{199999:060d}" in output.logs and "bytes left out" in output.logs
    kept = workspace.data / "runs" / str(run.tasks[0].run_id) / "stdout"
    assert kept.stat().st_size < 6 * 1024 * 1024


def test_settings_are_kept_listed_and_replaced(client, script):
    job = client.jobs.create(name="Finance Medallion", tasks=[script("t", "print(1)\n")])
    got = client.jobs.get(job.job_id)
    assert got.settings.name == "Finance Medallion"
    assert got.settings.max_concurrent_runs == 1
    found = list(client.jobs.list(name="finance medallion"))
    assert [item.job_id for item in found] == [job.job_id]
    client.jobs.reset(job.job_id, JobSettings(name="renamed", tasks=[script("u", "print(2)\n")]))
    client.jobs.update(job.job_id, new_settings=JobSettings(max_concurrent_runs=3))
    got = client.jobs.get(job.job_id).settings
    assert (got.name, got.tasks[0].task_key, got.max_concurrent_runs) == ("renamed", "u", 3)
    run_id = client.jobs.run_now(job.job_id).run_id
    finish(client, run_id)
    client.jobs.delete(job.job_id)
    with pytest.raises(ResourceDoesNotExist):
        client.jobs.get(job.job_id)
    with pytest.raises(ResourceDoesNotExist):
        client.jobs.get_run(run_id)


def test_listing_pages(client, script):
    task = script("t", "print(1)\n")
    made = {client.jobs.create(name="page", tasks=[task]).job_id for _ in range(5)}
    assert {job.job_id for job in client.jobs.list(name="page", limit=2)} == made
    for job_id in made:
        client.jobs.delete(job_id)


@pytest.mark.parametrize(
    "settings",
    [
        {"name": "empty"},
        {"tasks": []},
        {"tasks": [{"task_key": "a"}]},
        {"tasks": [{"task_key": "../a", "spark_python_task": {"python_file": "x"}}]},
        {"tasks": [{"task_key": "a", "spark_python_task": {}}]},
        {"tasks": [{"task_key": "a", "spark_python_task": {"python_file": "x"},
                    "depends_on": [{"task_key": "b"}]}]},
        {"tasks": [{"task_key": "a", "spark_python_task": {"python_file": "x"},
                    "depends_on": [{"task_key": "a"}]}]},
        {"tasks": [{"task_key": "a", "spark_python_task": {"python_file": "x"}}] * 2},
        {"max_concurrent_runs": "many",
         "tasks": [{"task_key": "a", "spark_python_task": {"python_file": "x"}}]},
    ],
)  # fmt: skip
def test_wrong_settings_are_refused(client, settings):
    with pytest.raises(BadRequest):
        client.api_client.do("POST", "/api/2.2/jobs/create", body=settings)


def test_what_is_not_computed_is_refused_by_name(client, script):
    notebook = Task(task_key="n", notebook_task=NotebookTask(notebook_path="/x"))
    with pytest.raises(NotImplemented, match="notebook_task"):
        client.jobs.create(name="n", tasks=[notebook])
    for kind in ("notebook_task", "condition_task", "for_each_task", "dbt_task"):
        with pytest.raises(NotImplemented, match=kind):
            client.api_client.do(
                "POST", "/api/2.2/jobs/create", body={"tasks": [{"task_key": "n", kind: {}}]}
            )


def test_unknown_ids(client):
    with pytest.raises(ResourceDoesNotExist):
        client.jobs.get(987654)
    with pytest.raises(BadRequest):
        client.jobs.run_now(987654)
    with pytest.raises(ResourceDoesNotExist):
        client.jobs.get_run(987654)
    with pytest.raises(BadRequest):
        client.jobs.cancel_run(987654)


def test_nothing_of_the_callers_environment_leaks(client, script):
    assert "DATABRICKS_CONFIG_PROFILE" not in os.environ
    job = client.jobs.create(
        name="env",
        tasks=[script("t", "import os\nprint(sorted(n for n in os.environ if 'PARENT' in n))\n")],
    )
    run = finish(client, client.jobs.run_now(job.job_id).run_id)
    assert client.jobs.get_run_output(run.tasks[0].run_id).logs.strip() == "[]"


def test_a_task_acts_for_who_started_it(client, script, workspace):
    source = (
        "from databricks.sdk import WorkspaceClient\n"
        "print(WorkspaceClient().current_user.me().user_name)\n"
    )
    job = client.jobs.create(name="who", tasks=[script("t", source)])
    credentials = workspace.credentials
    service = WorkspaceClient(
        config=Config(
            host=workspace.host, client_id=credentials.client_id,
            client_secret=credentials.client_secret, auth_type="oauth-m2m",
            config_file=os.devnull, retry_timeout_seconds=10,
        )
    )  # fmt: skip
    for caller in (client, service):
        run = finish(client, caller.jobs.run_now(job.job_id).run_id)
        user = caller.current_user.me().user_name
        assert run.creator_user_name == user
        assert client.jobs.get_run_output(run.tasks[0].run_id).logs.splitlines() == [user]
