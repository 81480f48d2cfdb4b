"""Tasks that are no Python: SQL files, updates of pipelines, other jobs; Python in the tree."""

from __future__ import annotations

import base64
import io
import itertools
import time

import httpx
import pytest
from databricks.sdk.service.jobs import (
    JobParameterDefinition,
    PipelineTask,
    QueueSettings,
    RunJobTask,
    SparkPythonTask,
    SqlTask,
    SqlTaskFile,
    Task,
    TaskDependency,
)
from databricks.sdk.service.pipelines import FileLibrary, PipelineLibrary
from databricks.sdk.service.workspace import ImportFormat
from job_runs import (
    BAD,
    FINAL,
    GOOD,
    SLEEP,
    finish,
    python_task,
    results,
    state,
    wait_running,
    wait_until,
)

FOLDER = "/Volumes/main/landing/finance_exports/kinds"
_numbers = itertools.count()
# A query that takes longer than any of these tests.
ENDLESS = "SELECT sum(a.id * b.id) FROM range(100000000) a CROSS JOIN range(100000) b"


@pytest.fixture(scope="module")
def client(workspace):
    return workspace.sdk()


def put(client, text: str, name: str) -> str:
    path = f"{FOLDER}/{next(_numbers)}_{name}"
    client.files.upload(path, io.BytesIO(text.encode()), overwrite=True)
    return path


def sql_task(path: str, *after: str, warehouse_id: str = "local", **settings) -> Task:
    task = SqlTask(warehouse_id=warehouse_id, file=SqlTaskFile(path=path), **settings)
    depends_on = [TaskDependency(task_key=key) for key in after] or None
    return Task(task_key="sql", sql_task=task, depends_on=depends_on)


def run_one(client, *tasks, seconds=60, **settings):
    """Run tasks as a job. Returns (run, output of the last task)."""
    job = client.jobs.create(name="kinds", tasks=list(tasks), **settings)
    run = finish(client, client.jobs.run_now(job.job_id).run_id, seconds)
    return run, client.jobs.get_run_output(run.tasks[-1].run_id)


def rows(client, sql: str):
    return client.statement_execution.execute_statement(sql, "local").result.data_array


def test_the_statements_of_a_file_run_one_after_the_other_in_one_session(client):
    script = """
    -- a comment; with a semicolon
    CREATE TABLE main.gold.sql_task (n INT, text STRING) USING delta;
    USE main.gold;
    INSERT INTO sql_task VALUES (1, 'a;b'), (2, "c'd");
    SELECT n, text, :who AS who, :day AS day FROM sql_task ORDER BY n;
    """
    path = put(client, script, "steps.sql")
    run, output = run_one(
        client,
        sql_task(path, parameters={"who": "o'neil", "day": "task", "unused": "x"}),
        parameters=[JobParameterDefinition(name="day", default="2026-01-31")],
    )
    assert state(run) == ("TERMINATED", "SUCCESS"), output.error
    assert rows(client, "SELECT text FROM main.gold.sql_task ORDER BY n") == [
        ["a;b"], ["c'd"],
    ]  # fmt: skip
    query = output.sql_output.query_output
    assert query.warehouse_id == "local" and query.query_text == script
    assert len(query.sql_statements) == 4
    last = client.statement_execution.get_statement(query.sql_statements[-1].lookup_key)
    assert last.result.data_array[1] == ["2", "c'd", "o'neil", "2026-01-31"]
    assert "c'd" in output.logs and "statement 4 of 4" in output.logs
    assert "o&#x27;neil" in httpx.get(query.output_link.partition("#")[0]).text
    client.statement_execution.execute_statement("DROP TABLE main.gold.sql_task", "local")


def test_a_statement_that_fails_ends_the_task(client):
    path = put(client, "SELECT 1; SELECT * FROM main.gold.nowhere; SELECT 2", "bad.sql")
    run, output = run_one(client, sql_task(path))
    assert state(run) == ("INTERNAL_ERROR", "FAILED")
    assert "TABLE_OR_VIEW_NOT_FOUND" in output.error
    assert len(output.sql_output.query_output.sql_statements) == 2


@pytest.mark.parametrize(
    ("text", "warehouse", "error"),
    [(None, "local", "does not exist"), ("-- nothing", "local", "no statement"),
     ("SELECT 1", "nowhere", "nowhere")],
)  # fmt: skip
def test_sql_tasks_that_cannot_begin(client, text, warehouse, error):
    path = put(client, text, "x.sql") if text else f"{FOLDER}/gone.sql"
    run, output = run_one(client, sql_task(path, warehouse_id=warehouse))
    assert state(run) == ("INTERNAL_ERROR", "FAILED")
    assert error in output.error


def test_cancelling_and_timing_out_of_a_statement(client):
    path = put(client, ENDLESS, "endless.sql")
    job = client.jobs.create(name="endless", tasks=[sql_task(path)])
    run_id = client.jobs.run_now(job.job_id).run_id
    task = wait_running(client, run_id)
    wait_until(lambda: client.jobs.get_run_output(task.run_id).logs, "the statement's start")
    client.jobs.cancel_run(run_id)
    assert state(finish(client, run_id)) == ("TERMINATED", "CANCELED")
    slow = sql_task(path)
    slow.timeout_seconds = 1
    run, _ = run_one(client, slow)
    assert results(run) == {"sql": "TIMEDOUT"}
    statements = client.jobs.get_run_output(run.tasks[0].run_id).sql_output.query_output
    [only] = statements.sql_statements
    ended = client.statement_execution.get_statement(only.lookup_key)
    assert ended.status.state.value == "CANCELED"


def test_files_of_the_workspace_tree(client):
    folder = "/Workspace/Shared/kinds"
    client.workspace.mkdirs(folder)
    for name, text in (("task.py", "print('from the tree')\n"), ("task.sql", "SELECT 42 AS n")):
        client.workspace.import_(
            f"{folder}/{name}",
            content=base64.b64encode(text.encode()).decode(),
            format=ImportFormat.RAW,
            overwrite=True,
        )
    python = Task(
        task_key="python", spark_python_task=SparkPythonTask(python_file=f"{folder}/task.py")
    )
    run, output = run_one(client, python)
    assert output.logs == "from the tree\n"
    run, output = run_one(client, sql_task(f"{folder}/task.sql"))
    assert state(run) == ("TERMINATED", "SUCCESS") and "42" in output.logs
    gone = SparkPythonTask(python_file=f"{folder}/gone.py")
    run, output = run_one(client, Task(task_key="python", spark_python_task=gone))
    assert "gone.py" in output.error


HEAD = """
from pyspark import pipelines as dp
from pyspark.sql import SparkSession
import time
"""


@pytest.fixture
def pipeline(client):
    """pipeline(body of its one view) -> pipeline id; forgotten after the test."""
    made = []

    def make(body: str) -> str:
        name = f"kinds_{next(_numbers)}"
        source = f"{HEAD}\n@dp.materialized_view(name='{name}')\ndef view():\n    {body}\n"
        library = PipelineLibrary(file=FileLibrary(path=put(client, source, "pipeline.py")))
        created = client.pipelines.create(
            name=name, catalog="main", schema="gold", libraries=[library]
        )
        made.append(created.pipeline_id)
        return created.pipeline_id

    yield make
    for pipeline_id in made:
        client.pipelines.delete(pipeline_id)


def update_task(pipeline_id: str, **settings) -> Task:
    return Task(task_key="update", pipeline_task=PipelineTask(pipeline_id=pipeline_id, **settings))


def test_a_pipeline_task_runs_an_update(client, pipeline):
    pipeline_id = pipeline("return SparkSession.active().range(3)")
    run, output = run_one(client, update_task(pipeline_id, full_refresh=True))
    assert state(run) == ("TERMINATED", "SUCCESS"), output.error
    [update] = client.pipelines.list_updates(pipeline_id).updates
    assert (update.state.value, update.cause.value, update.full_refresh) == (
        "COMPLETED", "JOB_TASK", True,
    )  # fmt: skip
    assert update.update_id in output.logs and "COMPLETED" in output.logs


def test_a_failed_update_and_a_pipeline_that_is_not_there(client, pipeline):
    run, output = run_one(client, update_task(pipeline("raise ValueError('no such year')")))
    assert state(run) == ("INTERNAL_ERROR", "FAILED")
    assert "failed" in output.error
    run, output = run_one(client, update_task("5d1a4e0f-0000-4000-8000-000000000000"))
    assert state(run) == ("INTERNAL_ERROR", "FAILED")
    assert "5d1a4e0f" in output.error


def test_cancelling_a_pipeline_task_stops_the_update(client, pipeline):
    pipeline_id = pipeline("time.sleep(600)")
    job = client.jobs.create(name="update", tasks=[update_task(pipeline_id)])
    run_id = client.jobs.run_now(job.job_id).run_id
    wait_until(lambda: client.pipelines.list_updates(pipeline_id).updates, "an update")
    client.jobs.cancel_run(run_id)
    assert state(finish(client, run_id)) == ("TERMINATED", "CANCELED")
    [update] = client.pipelines.list_updates(pipeline_id).updates
    assert update.state.value == "CANCELED"


def calling(job_id: int, key: str = "call", **settings) -> Task:
    return Task(task_key=key, run_job_task=RunJobTask(job_id=job_id, **settings))


def test_a_job_that_runs_another(client):
    echo = "import sys\nprint(sys.argv[1:])\n"
    inner = client.jobs.create(
        name="inner",
        parameters=[
            JobParameterDefinition(name="day", default="0"),
            JobParameterDefinition(name="who", default="nobody"),
        ],
        tasks=[
            python_task(
                client, "t", echo,
                parameters=["{{job.parameters.day}}", "{{job.parameters.who}}"],
            )
        ],
    )  # fmt: skip
    run, output = run_one(
        client,
        calling(inner.job_id, job_parameters={"who": "{{task.name}}"}),
        parameters=[
            JobParameterDefinition(name="day", default="31"),
            JobParameterDefinition(name="only_here", default="x"),
        ],
    )
    assert state(run) == ("TERMINATED", "SUCCESS"), output.error
    child = client.jobs.get_run(output.run_job_output.run_id)
    assert (child.job_id, child.trigger.value) == (inner.job_id, "RUN_JOB_TASK")
    assert child.trigger_info.run_id == run.tasks[0].run_id
    assert client.jobs.get_run_output(child.tasks[0].run_id).logs == "['31', 'call']\n"
    assert run.tasks[0].start_time <= child.start_time <= child.end_time <= run.end_time


def test_a_started_job_that_fails_and_is_repaired(client, tmp_path):
    flaky = (
        "import pathlib, sys\np = pathlib.Path(sys.argv[1])\n"
        "if not p.exists():\n    p.touch()\n    raise SystemExit('first')\n"
    )
    inner = client.jobs.create(
        name="inner", tasks=[python_task(client, "t", flaky, parameters=[str(tmp_path / "seen")])]
    )
    run, output = run_one(client, calling(inner.job_id))
    assert state(run) == ("INTERNAL_ERROR", "FAILED")
    failed_child = output.run_job_output.run_id
    assert f"Run {failed_child} ended with FAILED" in output.error
    client.jobs.repair_run(run.run_id, rerun_all_failed_tasks=True)
    run = finish(client, run.run_id)
    assert state(run) == ("TERMINATED", "SUCCESS")
    again = client.jobs.get_run_output(run.tasks[-1].run_id).run_job_output.run_id
    assert again != failed_child
    assert state(client.jobs.get_run(failed_child)) == ("INTERNAL_ERROR", "FAILED")


def test_cancelling_a_run_cancels_the_job_it_started(client):
    inner = client.jobs.create(name="inner", tasks=[python_task(client, "t", SLEEP)])
    middle = client.jobs.create(name="middle", tasks=[calling(inner.job_id)])
    outer = client.jobs.create(name="outer", tasks=[calling(middle.job_id)])
    run_id = client.jobs.run_now(outer.job_id).run_id

    def deepest():
        runs = list(client.jobs.list_runs(job_id=inner.job_id, active_only=True))
        return runs and runs[0].run_id

    child = wait_until(deepest, "the innermost run")
    wait_running(client, child)
    client.jobs.cancel_run(run_id)
    assert state(finish(client, run_id)) == ("TERMINATED", "CANCELED")
    assert state(client.jobs.get_run(child)) == ("TERMINATED", "CANCELED")


def test_started_jobs_keep_to_their_own_limits(client):
    inner = client.jobs.create(name="inner", tasks=[python_task(client, "t", SLEEP)])
    busy = client.jobs.run_now(inner.job_id).run_id
    run, output = run_one(client, calling(inner.job_id))
    assert state(run) == ("INTERNAL_ERROR", "FAILED")
    assert "MAXIMUM_CONCURRENT_RUNS_REACHED" in output.error
    client.jobs.update(
        inner.job_id, new_settings=client.jobs.get(inner.job_id).settings.__class__(
            queue=QueueSettings(enabled=True)
        )
    )  # fmt: skip
    job = client.jobs.create(name="waits", tasks=[calling(inner.job_id)], timeout_seconds=600)
    waits = client.jobs.run_now(job.job_id).run_id
    task = wait_running(client, waits)
    child = client.jobs.get_run_output(task.run_id).run_job_output.run_id
    assert state(client.jobs.get_run(child)) == ("QUEUED", None)
    client.jobs.cancel_run(busy)
    wait_running(client, child)
    client.jobs.cancel_run(child)
    assert state(finish(client, waits)) == ("TERMINATED", "CANCELED")


def test_a_started_job_that_is_not_there(client):
    run, output = run_one(client, calling(987654))
    assert state(run) == ("INTERNAL_ERROR", "FAILED")
    assert "987654" in output.error


def test_waiting_jobs_take_no_slot(client):
    """More jobs wait for others than there are slots: they could never go on if they took one."""
    leaf = client.jobs.create(
        name="leaf", tasks=[python_task(client, "t", GOOD)], max_concurrent_runs=100
    )
    chain = leaf.job_id
    for _ in range(2):
        chain = client.jobs.create(
            name="chain",
            tasks=[calling(chain, f"c{number}") for number in range(4)],
            max_concurrent_runs=100,
        ).job_id
    run = finish(client, client.jobs.run_now(chain).run_id, seconds=120)
    assert state(run) == ("TERMINATED", "SUCCESS")
    assert len(list(client.jobs.list_runs(job_id=leaf.job_id))) == 16


def test_mixed_kinds_in_one_graph(client, pipeline):
    prepare = put(client, "CREATE TABLE IF NOT EXISTS main.gold.mixed (n INT) USING delta", "m.sql")
    first = sql_task(prepare)
    update = update_task(pipeline("return SparkSession.active().range(1)"))
    update.depends_on = [TaskDependency(task_key="sql")]
    last = python_task(client, "python", BAD, "update", max_retries=1)
    job = client.jobs.create(name="mixed", tasks=[last, update, first])
    run = finish(client, client.jobs.run_now(job.job_id).run_id)
    assert results(run) == {"sql": "SUCCESS", "update": "SUCCESS", "python": "FAILED"}
    assert len(run.tasks) == 4 and all(
        task.state.life_cycle_state.value in FINAL for task in run.tasks
    )
    assert time.time() * 1000 >= run.end_time
