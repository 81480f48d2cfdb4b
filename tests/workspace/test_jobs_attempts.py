"""Retries, timeouts and repairs: several attempts of a task, each with its own run id."""

from __future__ import annotations

import httpx
import pytest
from databricks.sdk.errors import BadRequest
from databricks.sdk.service.jobs import JobParameterDefinition, JobSettings
from job_runs import (
    BAD,
    GOOD,
    SLEEP,
    attempts,
    finish,
    python_task,
    results,
    state,
    wait_running,
    wait_until,
)

# Fails until a file says that it has run often enough; argv: the file, the number of failures.
FLAKY = (
    "import pathlib, sys\n"
    "count = pathlib.Path(sys.argv[1])\n"
    "before = len(count.read_text()) if count.exists() else 0\n"
    "count.write_text('x' * (before + 1))\n"
    "print('attempt', before)\n"
    "if before < int(sys.argv[2]):\n    raise ValueError(f'failure {before}')\n"
)


@pytest.fixture(scope="module")
def client(workspace):
    return workspace.sdk()


@pytest.fixture
def flaky(client, tmp_path):
    """A task that fails a number of times."""

    def task(key: str, failures: int, *after: str, **settings):
        given = [str(tmp_path / key), str(failures)]
        return python_task(client, key, FLAKY, *after, parameters=given, **settings)

    return task


def run_job(client, tasks, **settings):
    job = client.jobs.create(name="attempts", tasks=tasks, **settings)
    return job.job_id, client.jobs.run_now(job.job_id).run_id


def test_a_task_is_tried_again(client, flaky):
    _, run_id = run_job(
        client, [flaky("t", 2, max_retries=3), python_task(client, "after", GOOD, "t")]
    )
    run = finish(client, run_id)
    assert state(run) == ("TERMINATED", "SUCCESS")
    tried = attempts(run, "t")
    assert [task.attempt_number for task in tried] == [0, 1, 2]
    assert [state(task)[1] for task in tried] == ["FAILED", "FAILED", "SUCCESS"]
    assert [len(attempts(run, key)) for key in ("t", "after")] == [3, 1]
    for task in tried:
        output = client.jobs.get_run_output(task.run_id)
        assert output.logs.startswith(f"attempt {task.attempt_number}\n")
        assert output.metadata.original_attempt_run_id == tried[0].run_id
        assert (output.error == f"ValueError: failure {task.attempt_number}") == (
            task.attempt_number < 2
        )
    assert tried[0].end_time <= tried[1].start_time and tried[1].end_time <= tried[2].start_time


def test_retries_come_to_an_end(client, flaky):
    _, run_id = run_job(client, [flaky("t", 9, max_retries=1)])
    run = finish(client, run_id)
    assert state(run) == ("INTERNAL_ERROR", "FAILED")
    assert [state(task)[1] for task in attempts(run, "t")] == ["FAILED", "FAILED"]


def test_waiting_for_a_retry_and_cancelling_it(client, flaky):
    task = flaky("t", 9, max_retries=-1, min_retry_interval_millis=600_000)
    _, run_id = run_job(client, [task])

    def waiting():
        run = client.jobs.get_run(run_id)
        return len(run.tasks) == 2 and run

    run = wait_until(waiting, "a second attempt")
    first, second = attempts(run, "t")
    assert state(first) == ("TERMINATED", "FAILED")
    assert state(second) == ("WAITING_FOR_RETRY", None)
    assert second.status.state.value == "WAITING"
    assert state(run) == ("RUNNING", None)
    client.jobs.cancel_run(run_id)
    run = client.jobs.get_run(run_id)  # nothing runs: it has ended at once
    assert state(run) == ("TERMINATED", "CANCELED")
    assert results(run) == {"t": "CANCELED"}


def test_the_interval_counts_from_the_start_of_the_failed_attempt(client, flaky):
    _, run_id = run_job(client, [flaky("t", 1, max_retries=1, min_retry_interval_millis=1500)])
    first, second = attempts(finish(client, run_id), "t")
    assert second.start_time - first.start_time >= 1500


def test_a_task_that_is_too_slow(client):
    tasks = [
        python_task(client, "once", SLEEP, timeout_seconds=1),
        python_task(
            client, "again", SLEEP, timeout_seconds=1, max_retries=1, retry_on_timeout=True
        ),
        python_task(client, "never", SLEEP, timeout_seconds=1, max_retries=1),
        python_task(client, "after", GOOD, "once"),
    ]
    _, run_id = run_job(client, tasks)
    run = finish(client, run_id)
    assert results(run) == {
        "once": "TIMEDOUT", "again": "TIMEDOUT", "never": "TIMEDOUT", "after": "UPSTREAM_FAILED",
    }  # fmt: skip
    assert [len(attempts(run, key)) for key in ("once", "again", "never")] == [1, 2, 1]
    assert state(run) == ("INTERNAL_ERROR", "TIMEDOUT")
    slow = attempts(run, "once")[0]
    assert slow.status.termination_details.code.value == "CANCELED"
    assert slow.state.user_cancelled_or_timedout


def test_a_run_that_is_too_slow(client):
    tasks = [python_task(client, "t", SLEEP), python_task(client, "after", GOOD, "t")]
    _, run_id = run_job(client, tasks, timeout_seconds=1)
    run = finish(client, run_id)
    assert state(run) == ("TERMINATED", "TIMEDOUT")
    assert results(run) == {"t": "TIMEDOUT", "after": "CANCELED"}


def test_a_new_timeout_holds_for_the_run_under_way(client):
    job_id, run_id = run_job(client, [python_task(client, "t", SLEEP)])
    wait_running(client, run_id)
    client.jobs.update(job_id, new_settings=JobSettings(timeout_seconds=1))
    assert state(finish(client, run_id)) == ("TERMINATED", "TIMEDOUT")


def test_repairs_keep_the_old_attempts(client, flaky):
    job_id, run_id = run_job(
        client,
        [
            flaky("load", 2),
            python_task(client, "report", GOOD, "load"),
            python_task(client, "other", GOOD),
        ],
    )
    run = finish(client, run_id)
    assert results(run) == {"load": "FAILED", "report": "UPSTREAM_FAILED", "other": "SUCCESS"}
    assert run.repair_history == []

    first = client.jobs.repair_run(run_id, rerun_all_failed_tasks=True).response.repair_id
    run = finish(client, run_id)
    assert state(run) == ("INTERNAL_ERROR", "FAILED")
    assert [task.attempt_number for task in attempts(run, "load")] == [0, 1]
    assert [task.attempt_number for task in attempts(run, "other")] == [0]

    with pytest.raises(BadRequest, match="latest_repair_id"):
        client.jobs.repair_run(run_id, rerun_all_failed_tasks=True)
    with pytest.raises(BadRequest, match="latest_repair_id"):
        client.jobs.repair_run(run_id, rerun_all_failed_tasks=True, latest_repair_id=first + 1000)
    second = client.jobs.repair_run(
        run_id, rerun_tasks=["load"], rerun_dependent_tasks=True, latest_repair_id=first
    ).response.repair_id
    run = finish(client, run_id)
    assert state(run) == ("TERMINATED", "SUCCESS")
    assert [state(task)[1] for task in attempts(run, "load")] == ["FAILED", "FAILED", "SUCCESS"]
    for task in attempts(run, "load"):  # the old ones can still be read
        logs = client.jobs.get_run_output(task.run_id).logs
        assert logs.startswith(f"attempt {task.attempt_number}\n")

    history = client.jobs.get_run(run_id, include_history=True).repair_history
    assert [(item.type.value, item.id) for item in history] == [
        ("ORIGINAL", None), ("REPAIR", first), ("REPAIR", second),
    ]  # fmt: skip
    assert [state(item) for item in history] == [
        ("INTERNAL_ERROR", "FAILED"), ("INTERNAL_ERROR", "FAILED"), ("TERMINATED", "SUCCESS"),
    ]  # fmt: skip
    assert [len(item.task_run_ids) for item in history] == [3, 2, 2]
    assert sum(len(item.task_run_ids) for item in history) == len(run.tasks)
    assert history[0].end_time <= history[1].start_time
    page = httpx.get(run.run_page_url).text
    assert "failure 0" in page and "failure 1" in page and f"REPAIR {second}" in page
    with pytest.raises(BadRequest, match="no task"):
        client.jobs.repair_run(run_id, rerun_all_failed_tasks=True, latest_repair_id=second)


def test_a_repair_uses_present_settings_and_other_parameters(client):
    note = "import sys\nprint(sys.argv[1:])\n"
    job = client.jobs.create(
        name="repair",
        parameters=[JobParameterDefinition(name="day", default="1")],
        tasks=[
            python_task(client, "t", BAD),
            python_task(client, "u", note, parameters=["{{job.parameters.day}}"]),
        ],
    )
    run_id = client.jobs.run_now(job.job_id).run_id
    assert results(finish(client, run_id)) == {"t": "FAILED", "u": "SUCCESS"}
    mended = python_task(
        client, "t", note, parameters=["{{job.parameters.day}}", "{{job.repair_count}}"]
    )
    client.jobs.update(job.job_id, new_settings=JobSettings(tasks=[mended]))
    client.jobs.repair_run(run_id, rerun_tasks=["t"], job_parameters={"day": "2"})
    run = finish(client, run_id)
    assert state(run) == ("TERMINATED", "SUCCESS")
    assert client.jobs.get_run_output(attempts(run, "t")[-1].run_id).logs == "['2', '1']\n"
    assert len(attempts(run, "u")) == 1
    assert run.job_parameters[0].value == "2"


def test_what_cannot_be_repaired(client):
    _, run_id = run_job(client, [python_task(client, "t", SLEEP)])
    wait_running(client, run_id)
    with pytest.raises(BadRequest, match="cannot be repaired"):
        client.jobs.repair_run(run_id, rerun_all_failed_tasks=True)
    client.jobs.cancel_run(run_id)
    run = finish(client, run_id)
    for asked in (
        {},
        {"rerun_tasks": ["t"], "rerun_all_failed_tasks": True},
        {"rerun_tasks": ["x"]},
        {"rerun_tasks": ["t"], "latest_repair_id": 5},
        {"rerun_tasks": ["t"], "job_parameters": {"x": "1"}},
    ):
        with pytest.raises(BadRequest):
            client.jobs.repair_run(run_id, **asked)
    with pytest.raises(BadRequest, match="task run"):
        client.jobs.repair_run(run.tasks[0].run_id, rerun_tasks=["t"])
    with pytest.raises(BadRequest):
        client.jobs.repair_run(987654, rerun_tasks=["t"])
    assert state(client.jobs.get_run(run_id)) == ("TERMINATED", "CANCELED")
