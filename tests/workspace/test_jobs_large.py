"""Jobs with hundreds of tasks: bounded threads and processes, pages, turns for other jobs."""

from __future__ import annotations

import time

import psutil
import pytest
from databricks.sdk.service.jobs import Task
from job_runs import GOOD, SLEEP, finish, python_task, results, state, wait_running, wait_until

SLOTS = 4


@pytest.fixture(scope="module")
def client(workspace):
    return workspace.sdk()


def children(workspace) -> int:
    """Guards of task processes: one for each task under way."""
    found = 0
    for process in psutil.Process(workspace.process.pid).children():
        try:
            found += any("task_host.py" in part for part in process.cmdline())
        except psutil.NoSuchProcess:
            continue
    return found


def test_300_tasks(client, workspace):
    ready = python_task(client, "t", "import time\ntime.sleep(0.05)\n").as_dict()
    tasks = [Task.from_dict(ready | {"task_key": f"t{number:03d}"}) for number in range(299)]
    last = {"task_key": "last", "depends_on": [{"task_key": task.task_key} for task in tasks]}
    job = client.jobs.create(name="large", tasks=[*tasks, Task.from_dict(ready | last)])
    process = psutil.Process(workspace.process.pid)
    before = process.num_threads()
    run_id = client.jobs.run_now(job.job_id).run_id
    most_threads = most_children = 0
    beside = None
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        most_threads = max(most_threads, process.num_threads())
        most_children = max(most_children, children(workspace))
        brief = client.api_client.do(
            "GET", "/api/2.2/jobs/runs/list", query={"job_id": job.job_id}
        )["runs"][0]  # fmt: skip
        if beside is None and most_children:
            other = client.jobs.create(name="beside", tasks=[python_task(client, "t", GOOD)])
            beside = client.jobs.run_now(other.job_id).run_id
        if brief["end_time"]:
            break
        time.sleep(0.05)
    run = finish(client, run_id, 5)
    assert state(run) == ("TERMINATED", "SUCCESS")
    assert len(run.tasks) == 300 and set(results(run).values()) == {"SUCCESS"}
    assert most_children <= SLOTS
    # three threads for each task under way (one waits, two read its output) and a few for calls
    assert most_threads - before <= 3 * SLOTS + 40
    # a small job had its turn long before the large one was done
    assert finish(client, beside).end_time < run.end_time - run.run_duration / 2
    first = client.api_client.do("GET", "/api/2.2/jobs/runs/get", query={"run_id": run_id})
    assert len(first["tasks"]) == 100
    second = client.api_client.do(
        "GET", "/api/2.2/jobs/runs/get",
        query={"run_id": run_id, "page_token": first["next_page_token"]},
    )  # fmt: skip
    assert not {t["run_id"] for t in first["tasks"]} & {t["run_id"] for t in second["tasks"]}
    expanded = next(iter(client.jobs.list_runs(job_id=job.job_id, expand_tasks=True)))
    assert len(expanded.tasks) == 300


def test_a_large_run_is_cancelled_at_once(client, workspace):
    asleep = python_task(client, "t", SLEEP).as_dict()
    tasks = [Task.from_dict(asleep | {"task_key": f"t{number:03d}"}) for number in range(300)]
    job = client.jobs.create(name="cancelled", tasks=tasks)
    run_id = client.jobs.run_now(job.job_id).run_id
    wait_running(client, run_id)
    client.jobs.cancel_run(run_id)
    run = finish(client, run_id, 20)
    assert state(run) == ("TERMINATED", "CANCELED")
    assert set(results(run).values()) == {"CANCELED"} and len(run.tasks) == 300
    wait_until(lambda: children(workspace) == 0, "the end of all its processes")
    started = [task for task in run.tasks if task.start_time]
    assert 1 <= len(started) <= SLOTS
