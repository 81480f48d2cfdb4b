"""kill -9 of the workspace at several moments of jobs, and what its next start makes of them."""

from __future__ import annotations

import random
import signal
import sqlite3
import time

import httpx
import pytest
from databricks.sdk.service.jobs import CronSchedule, JobSettings, QueueSettings, RunJobTask, Task
from job_runs import (
    FINAL,
    GOOD,
    SLEEP,
    alive,
    attempts,
    finish,
    python_task,
    results,
    state,
    wait_running,
    wait_until,
)
from workspace_process import free_port, init_workspace, serve_workspace, stop_workspace

# Prints its own token and the ids of two processes; neither heeds SIGTERM.
STUBBORN = (
    "import os, signal, subprocess, sys, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "child = subprocess.Popen([sys.executable, '-c',\n"
    "    'import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)'])\n"
    "time.sleep(0.5)\n"
    "print(os.environ['DATABRICKS_TOKEN'], os.getpid(), child.pid, flush=True)\n"
    "time.sleep(600)\n"
)


class Restarted:
    """A workspace that can be killed and started again on the same data and port."""

    def __init__(self, data) -> None:
        self.data = data
        self.port = free_port()
        self.running = serve_workspace(data, init_workspace(data), self.port)

    @property
    def client(self):
        return self.running.sdk()

    def kill(self) -> None:
        self.running.process.send_signal(signal.SIGKILL)
        self.running.process.wait(20)
        self.running.process.stdout.close()

    def start(self) -> None:
        self.running = serve_workspace(self.data, self.running.credentials, self.port)

    def database(self) -> sqlite3.Connection:
        """The store of a workspace that is down."""
        return sqlite3.connect(self.data / "workspace.db", isolation_level=None)


@pytest.fixture
def restarted(tmp_path):
    made = Restarted(tmp_path / "workspace")
    yield made
    if made.running.process.poll() is None:
        stop_workspace(made.running)


def check_whole(database: sqlite3.Connection) -> None:
    """What must hold of the states at any moment, also right after a kill."""
    wrong = {
        "an attempt goes on in a run that has ended":
            "SELECT COUNT(*) FROM task_runs t JOIN runs r ON r.run_id = t.parent_run_id"
            " WHERE r.end_ms IS NOT NULL AND t.end_ms IS NULL",
        "a run goes on without an attempt that does":
            "SELECT COUNT(*) FROM runs r WHERE r.end_ms IS NULL AND NOT EXISTS"
            " (SELECT 1 FROM task_runs t WHERE t.parent_run_id = r.run_id AND t.end_ms IS NULL)",
        "a run without tasks":
            "SELECT COUNT(*) FROM runs r WHERE NOT EXISTS"
            " (SELECT 1 FROM task_runs t WHERE t.parent_run_id = r.run_id)",
        "an end without a result":
            "SELECT COUNT(*) FROM task_runs WHERE (end_ms IS NULL) <> (result IS NULL)",
        "two repairs under way":
            "SELECT COUNT(*) FROM (SELECT run_id FROM repairs WHERE end_ms IS NULL"
            " GROUP BY run_id HAVING COUNT(*) > 1)",
        "a repair without attempts":
            "SELECT COUNT(*) FROM repairs p WHERE p.type = 'REPAIR' AND NOT EXISTS"
            " (SELECT 1 FROM task_runs t WHERE t.repair_id = p.repair_id)",
        "two live attempts of one task":
            "SELECT COUNT(*) FROM (SELECT 1 FROM task_runs WHERE end_ms IS NULL"
            " GROUP BY parent_run_id, task_key HAVING COUNT(*) > 1)",
    }  # fmt: skip
    for what, count in wrong.items():
        assert database.execute(count).fetchone() == (0,), what


def test_what_ran_is_gone_and_has_failed_and_what_waited_goes_on(restarted):
    client = restarted.client
    job = client.jobs.create(
        name="stubborn",
        tasks=[
            python_task(client, "t", STUBBORN, max_retries=3),
            python_task(client, "after", GOOD, "t"),
        ],
    )
    quick = client.jobs.create(
        name="quick",
        tasks=[python_task(client, "t", SLEEP)],
        queue=QueueSettings(enabled=True),
    )
    run_id = client.jobs.run_now(job.job_id, idempotency_token="only-once").run_id
    first = client.jobs.run_now(quick.job_id).run_id
    queued = client.jobs.run_now(quick.job_id).run_id
    wait_running(client, first)
    task = wait_running(client, run_id)
    told = wait_until(lambda: client.jobs.get_run_output(task.run_id).logs, "two processes")
    token, *pids = told.split()
    pids = [int(pid) for pid in pids]
    assert all(alive(pid) for pid in pids)
    headers = {"Authorization": f"Bearer {token}"}
    address = f"{restarted.running.host}/api/2.0/preview/scim/v2/Me"
    assert httpx.get(address, headers=headers).status_code == 200

    restarted.kill()
    wait_until(lambda: not any(alive(pid) for pid in pids), "the end of the whole group", 15)
    check_whole(restarted.database())
    restarted.start()
    client = restarted.client
    run = client.jobs.get_run(run_id)
    assert state(run) == ("INTERNAL_ERROR", "FAILED")
    assert "workspace stopped" in run.state.state_message
    assert run.status.termination_details.code.value == "INTERNAL_ERROR"
    assert results(run) == {"t": "FAILED", "after": "UPSTREAM_FAILED"}
    assert len(attempts(run, "t")) == 1
    output = client.jobs.get_run_output(task.run_id)
    assert "workspace stopped" in output.error and output.logs == told
    assert client.jobs.run_now(job.job_id, idempotency_token="only-once").run_id == run_id
    assert state(client.jobs.get_run(first)) == ("INTERNAL_ERROR", "FAILED")
    assert wait_running(client, queued)
    assert httpx.get(address, headers=headers).status_code == 401
    metered = restarted.database().execute(
        "SELECT COUNT(*) FROM usage_records WHERE product = 'JOBS'"
        " AND json_extract(metadata, '$.task_run_id') = ?",
        (str(task.run_id),),
    )
    assert metered.fetchone() == (1,)
    # what the crash ended can be repaired
    client.jobs.update(job.job_id, new_settings=JobSettings(tasks=[python_task(client, "t", GOOD)]))
    client.jobs.repair_run(run_id, rerun_all_failed_tasks=True)
    assert state(finish(client, run_id)) == ("TERMINATED", "SUCCESS")


def test_a_repair_is_whole_or_was_not_made(restarted):
    client = restarted.client
    flaky = "import sys, time\ntime.sleep(0.3)\nsys.exit(1)\n"
    job = client.jobs.create(
        name="repaired",
        tasks=[python_task(client, "t", flaky), python_task(client, "u", GOOD, "t")],
    )
    run_id = client.jobs.run_now(job.job_id).run_id
    finish(client, run_id)
    latest = None
    for pause in (0.0, 0.15, 0.4):
        latest = client.jobs.repair_run(
            run_id, rerun_all_failed_tasks=True, latest_repair_id=latest
        ).response.repair_id
        time.sleep(pause)
        restarted.kill()
        check_whole(restarted.database())
        restarted.start()
        client = restarted.client
        run = finish(client, run_id)
        assert state(run) == ("INTERNAL_ERROR", "FAILED")
        history = client.jobs.get_run(run_id, include_history=True).repair_history
        assert history[-1].id == latest
        assert all(item.state.life_cycle_state.value in FINAL for item in history)
        assert sum(len(item.task_run_ids) for item in history) == len(run.tasks)
    assert len(history) == 4


def test_a_started_job_does_not_outlive_the_task_that_waits_for_it(restarted):
    client = restarted.client
    inner = client.jobs.create(
        name="inner",
        tasks=[python_task(client, "t", SLEEP)],
        queue=QueueSettings(enabled=True),
    )
    calls = [Task(task_key=key, run_job_task=RunJobTask(job_id=inner.job_id)) for key in ("a", "b")]
    outer = client.jobs.create(name="outer", tasks=calls)
    run_id = client.jobs.run_now(outer.job_id).run_id

    def children():
        found = list(client.jobs.list_runs(job_id=inner.job_id))
        return len(found) == 2 and [run.run_id for run in found[::-1]]

    first, second = wait_until(children, "both started jobs")
    wait_running(client, first)
    restarted.kill()
    check_whole(restarted.database())
    restarted.start()
    client = restarted.client
    assert state(client.jobs.get_run(run_id)) == ("INTERNAL_ERROR", "FAILED")
    assert state(client.jobs.get_run(first)) == ("INTERNAL_ERROR", "FAILED")
    assert state(client.jobs.get_run(second)) == ("TERMINATED", "CANCELED")


def test_missed_firings_are_made_up_for_by_one(restarted):
    client = restarted.client
    job = client.jobs.create(
        name="hourly",
        tasks=[python_task(client, "t", GOOD)],
        schedule=CronSchedule("0 0 * * * ?", "Asia/Manila"),
    )
    restarted.kill()
    database = restarted.database()
    database.execute("UPDATE jobs SET next_ms = next_ms - 20 * 3600 * 1000")
    database.close()
    restarted.start()
    client = restarted.client

    def fired():
        return list(client.jobs.list_runs(job_id=job.job_id))

    [run] = wait_until(fired, "the firing that was missed")
    assert finish(client, run.run_id).trigger.value == "PERIODIC"
    # a job of a second's schedule shows that time goes on
    other = client.jobs.create(
        name="ticks",
        tasks=[python_task(client, "t", GOOD)],
        schedule=CronSchedule("* * * * * ?", "Asia/Manila"),
    )
    wait_until(lambda: list(client.jobs.list_runs(job_id=other.job_id)), "the next second")
    assert len(fired()) == 1
    restarted.kill()
    [next_ms] = restarted.database().execute(
        "SELECT next_ms FROM jobs WHERE job_id = ?", (job.job_id,)
    ).fetchone()  # fmt: skip
    assert time.time() * 1000 < next_ms < (time.time() + 3600) * 1000


def test_every_acknowledged_run_ends_whenever_the_kill_comes(restarted):
    rng = random.Random(7)
    client = restarted.client
    brief = "import time\ntime.sleep(0.2)\n"
    job = client.jobs.create(
        name="busy",
        tasks=[
            python_task(client, "a", brief),
            python_task(client, "b", brief),
            python_task(client, "c", "raise SystemExit(1)\n", "a", max_retries=2),
            python_task(client, "d", GOOD, "b", "c", run_if="ALL_DONE"),
        ],
        max_concurrent_runs=2,
        queue=QueueSettings(enabled=True),
    )
    acknowledged: dict[str, int] = {}
    for number in range(6):
        for extra in range(2):
            token = f"{number}-{extra}"
            acknowledged[token] = client.jobs.run_now(job.job_id, idempotency_token=token).run_id
        time.sleep(rng.uniform(0, 1.2))
        restarted.kill()
        database = restarted.database()
        check_whole(database)
        database.close()
        restarted.start()
        client = restarted.client
    for token, run_id in acknowledged.items():
        run = finish(client, run_id, seconds=120)
        assert client.jobs.run_now(job.job_id, idempotency_token=token).run_id == run_id
        assert set(results(run)) == set("abcd")
        if state(run) != ("INTERNAL_ERROR", "FAILED"):
            assert state(run) == ("TERMINATED", "SUCCESS_WITH_FAILURES")
            assert len(attempts(run, "c")) == 3
    assert client.jobs.get_run(max(acknowledged.values())).state.result_state is not None
    restarted.kill()
    check_whole(restarted.database())
