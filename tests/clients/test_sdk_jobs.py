"""Jobs as the SDK asks for them: define, run, watch, repair, cancel, delete.

Nothing here is bound to the embedded workspace, except where a test says so: files lie in the
user's folder of the workspace tree, tasks run in a serverless environment.
"""

from __future__ import annotations

import base64
import time
import uuid
from datetime import timedelta

import pytest
from databricks.sdk.errors import DatabricksError, OperationFailed, ResourceDoesNotExist
from databricks.sdk.service.compute import Environment
from databricks.sdk.service.jobs import (
    CronSchedule,
    JobEnvironment,
    JobParameterDefinition,
    JobSettings,
    PauseStatus,
    QueueSettings,
    RunIf,
    RunJobTask,
    RunType,
    SparkPythonTask,
    SqlTask,
    SqlTaskFile,
    SubmitTask,
    Task,
    TaskDependency,
    ViewsToExport,
)
from databricks.sdk.service.workspace import ImportFormat

FINAL = ("TERMINATED", "SKIPPED", "INTERNAL_ERROR")
SECONDS = 900  # a serverless task may have to wait for its machine
ENVIRONMENT = JobEnvironment("default", Environment(environment_version="2"))

ECHO = "import sys\nprint(' '.join(sys.argv[1:]))\n"
SLOW = "import time\ntime.sleep(1200)\n"
FAIL = "raise ValueError('31/02/2025 is no date')\n"


@pytest.fixture(scope="module")
def client(target):
    return target.sdk()


@pytest.fixture(scope="module")
def folder(client):
    """A folder of the user's; gone after the tests."""
    path = f"/Workspace/Users/{client.current_user.me().user_name}/jobs-{uuid.uuid4().hex[:8]}"
    client.workspace.mkdirs(path)
    yield path
    client.workspace.delete(path, recursive=True)


@pytest.fixture(scope="module")
def file(client, folder):
    """file(name, text) -> path in the workspace tree."""

    def put(name: str, text: str) -> str:
        client.workspace.import_(
            f"{folder}/{name}",
            content=base64.b64encode(text.encode()).decode(),
            format=ImportFormat.RAW,
            overwrite=True,
        )
        return f"{folder}/{name}"

    return put


@pytest.fixture
def job(client, file):
    """job(tasks, ...) -> job id, with a serverless environment; deleted after the test."""
    made = []

    def make(*tasks: Task, **settings) -> int:
        settings.setdefault("name", f"sdk-jobs-{uuid.uuid4().hex[:8]}")
        created = client.jobs.create(tasks=list(tasks), environments=[ENVIRONMENT], **settings)
        made.append(created.job_id)
        return created.job_id

    yield make
    known = {item.job_id for item in client.jobs.list()}
    for job_id in known.intersection(made):
        client.jobs.delete(job_id)


@pytest.fixture
def python(file):
    """python(key, source, *after) -> a task that runs the source."""

    def task(key: str, source: str, *after: str, parameters=(), **settings) -> Task:
        path = file(f"{key}.py", source)
        return Task(
            task_key=key,
            environment_key="default",
            spark_python_task=SparkPythonTask(python_file=path, parameters=list(parameters)),
            depends_on=[TaskDependency(task_key=name) for name in after] or None,
            **settings,
        )

    return task


def finish(client, run_id: int):
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        run = client.jobs.get_run(run_id)
        if run.state.life_cycle_state.value in FINAL:
            return run
        time.sleep(0.3)
    raise AssertionError(f"run {run_id} is still {run.state}")


def wait_running(client, run_id: int):
    """The first task run that runs."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        for task in client.jobs.get_run(run_id).tasks:
            if task.state.life_cycle_state.value == "RUNNING":
                return task
        time.sleep(0.2)
    raise AssertionError(f"no task of run {run_id} runs")


def results(run) -> dict[str, str]:
    """Result of the last attempt of each task."""
    ordered = sorted(run.tasks, key=lambda task: task.attempt_number or 0)
    return {task.task_key: task.state.result_state.value for task in ordered}


def test_a_run_from_its_start_to_its_output(client, job, python):
    job_id = job(
        python("first", ECHO, parameters=["{{job.parameters.day}}"]),
        python("second", ECHO, "first", parameters=["after", "{{tasks.first.result_state}}"]),
        parameters=[JobParameterDefinition(name="day", default="2025-01-31")],
    )
    token = uuid.uuid4().hex
    waiting = client.jobs.run_now(
        job_id, idempotency_token=token, job_parameters={"day": "2025-02-28"}
    )
    assert client.jobs.run_now(job_id, idempotency_token=token).run_id == waiting.run_id
    run = waiting.result(timeout=timedelta(seconds=SECONDS))
    assert (run.state.life_cycle_state.value, run.state.result_state.value) == (
        "TERMINATED", "SUCCESS",
    )  # fmt: skip
    assert run.status.termination_details.code.value == "SUCCESS"
    assert (run.run_type, run.trigger.value) == (RunType.JOB_RUN, "ONE_TIME")
    assert [(p.name, p.value) for p in run.job_parameters] == [("day", "2025-02-28")]
    logs = {}
    for task in run.tasks:
        output = client.jobs.get_run_output(task.run_id)
        assert output.error is None and output.metadata.job_run_id == run.run_id
        logs[task.task_key] = output.logs.strip()
    assert logs == {"first": "2025-02-28", "second": "after success"}
    # Also a run with one task only has its output at the task.
    with pytest.raises(DatabricksError, match="individual task run"):
        client.jobs.get_run_output(run.run_id)


def test_a_failure_its_reason_and_its_repair(client, job, python, file):
    job_id = job(
        python("load", FAIL),
        python("report", ECHO, "load"),
        python("clean", ECHO, "load", run_if=RunIf.AT_LEAST_ONE_FAILED),
    )
    waiting = client.jobs.run_now(job_id)
    with pytest.raises(OperationFailed):
        waiting.result(timeout=timedelta(seconds=SECONDS))
    run = client.jobs.get_run(waiting.run_id)
    assert results(run) == {"load": "FAILED", "report": "UPSTREAM_FAILED", "clean": "SUCCESS"}
    assert (run.state.life_cycle_state.value, run.state.result_state.value) == (
        "INTERNAL_ERROR", "FAILED",
    )  # fmt: skip
    assert run.status.termination_details.code.value == "RUN_EXECUTION_ERROR"
    assert run.state.state_message.startswith("Task load failed with message: Workload failed")
    failed = next(task for task in run.tasks if task.task_key == "load")
    output = client.jobs.get_run_output(failed.run_id)
    assert "31/02/2025 is no date" in output.error and "Traceback" in output.error_trace

    file("load.py", ECHO)
    repair_id = client.jobs.repair_run(
        run.run_id, rerun_all_failed_tasks=True, rerun_dependent_tasks=True
    ).response.repair_id
    run = finish(client, run.run_id)
    assert results(run) == {"load": "SUCCESS", "report": "SUCCESS", "clean": "EXCLUDED"}
    assert run.state.result_state.value == "SUCCESS"
    history = client.jobs.get_run(run.run_id, include_history=True).repair_history
    assert [(item.type.value, item.id) for item in history] == [
        ("ORIGINAL", None), ("REPAIR", repair_id),
    ]  # fmt: skip
    with pytest.raises(DatabricksError):  # latest_repair_id is missing
        client.jobs.repair_run(run.run_id, rerun_tasks=["load"])
    assert "31/02/2025" in client.jobs.get_run_output(failed.run_id).error


def test_retries_are_attempts_of_the_task(client, job, python):
    job_id = job(python("load", FAIL, max_retries=1, min_retry_interval_millis=0))
    run = finish(client, client.jobs.run_now(job_id).run_id)
    assert sorted(task.attempt_number for task in run.tasks) == [0, 1]
    assert len({task.run_id for task in run.tasks}) == 2


def test_cancelling(client, job, python):
    job_id = job(
        python("slow", SLOW), max_concurrent_runs=1, queue=QueueSettings(enabled=True)
    )  # fmt: skip
    first = client.jobs.run_now(job_id).run_id
    wait_running(client, first)
    second = client.jobs.run_now(job_id).run_id
    assert client.jobs.get_run(second).state.life_cycle_state.value == "QUEUED"
    active = {run.run_id for run in client.jobs.list_runs(job_id=job_id, active_only=True)}
    assert active == {first, second}
    client.jobs.cancel_run(second)
    client.jobs.cancel_all_runs(job_id=job_id)
    for run_id in (first, second):
        run = finish(client, run_id)
        assert (run.state.life_cycle_state.value, run.state.result_state.value) == (
            "TERMINATED", "CANCELED",
        )  # fmt: skip
    done = [run.run_id for run in client.jobs.list_runs(job_id=job_id, completed_only=True)]
    assert sorted(done) == sorted([first, second])
    client.jobs.delete_run(second)
    with pytest.raises(DatabricksError):
        client.jobs.get_run(second)


def test_a_timeout(client, target, job, python):
    job_id = job(python("slow", SLOW), timeout_seconds=2 if target.embedded else 60)
    run = finish(client, client.jobs.run_now(job_id).run_id)
    assert run.state.result_state.value == "TIMEDOUT"


def test_a_one_time_run(client, python):
    task = python("once", ECHO, parameters=["one", "time"])
    one = SubmitTask(
        task_key="once", environment_key="default", spark_python_task=task.spark_python_task
    )
    token = uuid.uuid4().hex
    waiting = client.jobs.submit(
        run_name="sdk-once", tasks=[one], environments=[ENVIRONMENT], idempotency_token=token
    )
    run = waiting.result(timeout=timedelta(seconds=SECONDS))
    assert (run.run_type, run.run_name) == (RunType.SUBMIT_RUN, "sdk-once")
    assert client.jobs.get_run_output(run.tasks[0].run_id).logs.strip() == "one time"
    listed = client.jobs.list_runs(run_type=RunType.SUBMIT_RUN, start_time_from=run.start_time)
    assert run.run_id in [item.run_id for item in listed]


def test_sql_files_and_other_jobs(client, target, job, file):
    sql = file("answer.sql", "SELECT 6 * 7 AS answer; SELECT :day AS day")
    inner = job(
        Task(
            task_key="sql",
            sql_task=SqlTask(
                warehouse_id=target.warehouse_id,
                file=SqlTaskFile(path=sql),
                parameters={"day": "x"},
            ),
        )
    )
    outer = job(Task(task_key="call", run_job_task=RunJobTask(job_id=inner)))
    run = finish(client, client.jobs.run_now(outer).run_id)
    assert run.state.result_state.value == "SUCCESS"
    child = client.jobs.get_run_output(run.tasks[0].run_id).run_job_output.run_id
    child_run = client.jobs.get_run(child)
    assert (child_run.job_id, child_run.trigger.value) == (inner, "RUN_JOB_TASK")
    output = client.jobs.get_run_output(child_run.tasks[0].run_id)
    assert output.sql_output.query_output.warehouse_id == target.warehouse_id


def test_definitions(client, job, python):
    name = f"sdk-jobs-{uuid.uuid4().hex[:8]}"
    schedule = CronSchedule("0 0 6 ? * MON-FRI", "Asia/Manila", pause_status=PauseStatus.PAUSED)
    tasks = [python("a", ECHO), python("b", ECHO, "a")]
    job_id = job(*tasks, name=name, schedule=schedule, tags={"team": "tax"})
    got = client.jobs.get(job_id)
    assert got.creator_user_name and got.created_time
    settings = got.settings
    assert (settings.name, settings.schedule, settings.tags) == (name, schedule, {"team": "tax"})
    assert settings.max_concurrent_runs == 1 and settings.timeout_seconds == 0
    assert [task.run_if for task in settings.tasks] == [RunIf.ALL_SUCCESS] * 2
    client.jobs.reset(job_id, settings)
    assert client.jobs.get(job_id).settings.as_dict() == settings.as_dict()
    client.jobs.update(
        job_id,
        new_settings=JobSettings(max_concurrent_runs=3),
        fields_to_remove=["schedule", "tasks/b"],
    )
    settings = client.jobs.get(job_id).settings
    assert (settings.max_concurrent_runs, settings.schedule) == (3, None)
    assert [task.task_key for task in settings.tasks] == ["a"]
    assert [item.job_id for item in client.jobs.list(name=name.upper())] == [job_id]
    expanded = next(iter(client.jobs.list(name=name, expand_tasks=True)))
    assert [task.task_key for task in expanded.settings.tasks] == ["a"]
    client.jobs.delete(job_id)
    with pytest.raises(ResourceDoesNotExist):
        client.jobs.get(job_id)


def test_a_schedule_fires(client, job, python):
    job_id = job(python("t", ECHO), schedule=CronSchedule("0/10 * * * * ?", "Asia/Manila"))
    deadline = time.monotonic() + 120
    runs = []
    while not runs and time.monotonic() < deadline:
        runs = list(client.jobs.list_runs(job_id=job_id))
        time.sleep(0.3)
    assert runs[0].trigger.value == "PERIODIC"


def test_export(client, target, job, python):
    if not target.embedded:
        pytest.skip("the service exports notebooks only")
    job_id = job(python("t", FAIL))
    run = finish(client, client.jobs.run_now(job_id).run_id)
    [view] = client.jobs.export_run(run.run_id, views_to_export=ViewsToExport.ALL).views
    assert view.content.startswith("<!doctype html>") and "31/02/2025 is no date" in view.content
