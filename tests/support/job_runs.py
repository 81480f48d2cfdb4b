"""What tests of jobs share: tasks made of a script's text, waiting, states."""

from __future__ import annotations

import hashlib
import io
import time

import psutil
from databricks.sdk.service.jobs import RunIf, SparkPythonTask, Task, TaskDependency

SCRIPTS = "/Volumes/main/landing/finance_exports/scripts"
FINAL = ("TERMINATED", "SKIPPED", "INTERNAL_ERROR")

GOOD = "print('good')\n"
BAD = "raise SystemExit('bad')\n"
SLEEP = "import time\nprint('up', flush=True)\ntime.sleep(600)\n"


def upload(client, source: str) -> str:
    """Keep a script in the Volume under a name of its own. Returns its path."""
    path = f"{SCRIPTS}/{hashlib.sha256(source.encode()).hexdigest()[:16]}.py"
    client.files.upload(path, io.BytesIO(source.encode()), overwrite=True)
    return path


def python_task(client, key: str, source: str, *after: str, parameters=(), **settings) -> Task:
    """A spark_python_task that runs ``source`` after the tasks ``after``."""
    if "run_if" in settings:
        settings["run_if"] = RunIf(settings["run_if"])
    return Task(
        task_key=key,
        spark_python_task=SparkPythonTask(
            python_file=upload(client, source), parameters=list(parameters)
        ),
        depends_on=[TaskDependency(task_key=name) for name in after] or None,
        **settings,
    )


def finish(client, run_id: int, seconds: float = 60):
    """The run once it has ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        run = client.jobs.get_run(run_id)
        if run.state.life_cycle_state.value in FINAL:
            return run
        time.sleep(0.1)
    raise AssertionError(f"run {run_id} is still {run.state}: {states(run)}")


def wait_until(look, what: str, seconds: float = 30):
    """The first true answer of ``look``."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.05)
    raise AssertionError(f"this did not come: {what}")


def wait_running(client, run_id: int, key: str | None = None):
    """The task run that runs (the one of ``key``)."""

    def look():
        for task in client.jobs.get_run(run_id).tasks:
            if task.state.life_cycle_state.value == "RUNNING" and key in (None, task.task_key):
                return task
        return None

    return wait_until(look, f"a running task of run {run_id}")


def state(item) -> tuple[str, str | None]:
    result = item.state.result_state
    return item.state.life_cycle_state.value, result and result.value


def states(run) -> dict[str, tuple[str, str | None]]:
    """State of the last attempt of each task."""
    return {task.task_key: state(task) for task in sorted(run.tasks, key=lambda t: t.run_id)}


def results(run) -> dict[str, str]:
    return {key: result for key, (_, result) in states(run).items()}


def attempts(run, key: str) -> list:
    return sorted((t for t in run.tasks if t.task_key == key), key=lambda t: t.attempt_number)


def alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be fetched does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
