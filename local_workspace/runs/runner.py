"""Runs jobs: one thread for each active run, one for each task, real child processes."""

from __future__ import annotations

import json
import logging
import queue
import threading
from functools import partial
from pathlib import Path

from ..errors import bad_request
from ..settings import Settings
from .job_spec import arguments, dependencies, job_parameters, wheels
from .run_store import RunStore
from .task_inputs import local_file, task_values
from .task_process import TaskOutcome, TaskProcess, TaskStartError, task_environment, unpack_wheels

log = logging.getLogger("local_workspace.runs")

STOPPED = "The workspace stopped while the run was active."
_UPSTREAM = {"CANCELED": "UPSTREAM_CANCELED", "UPSTREAM_CANCELED": "UPSTREAM_CANCELED"}


class Runner:
    """Starts, watches and cancels runs. All states are in the store; threads only act on them."""

    def __init__(self, services) -> None:
        self._services = services
        self._settings: Settings = services.settings
        self._store: RunStore = services.run_store
        self._slots = threading.Semaphore(self._settings.task_slots)
        self._lock = threading.Lock()
        self._processes: dict[int, TaskProcess] = {}
        self._threads: dict[int, threading.Thread] = {}
        self._stopping = False

    def recover(self) -> None:
        """After a restart: end what was alive as failed, go on with what was queued."""
        for run in self._store.unfinished():
            if run["life_cycle"] != "QUEUED":
                self._store.abandon(run["run_id"], STOPPED)
        for run in self._store.unfinished():
            self._promote(run["job_id"])

    def run_now(self, job_id: int, settings: dict, request: dict) -> tuple[int, int]:
        """Start a run of a job. Returns (run id, number in job).

        The same idempotency token gives the same run. Beyond max_concurrent_runs a run is
        QUEUED when the job or the request says so, else SKIPPED.
        """
        only = request.get("only")
        keys = {task["task_key"] for task in settings["tasks"]}
        if only is not None and not set(only) <= keys:
            raise bad_request(f"only: unknown tasks {sorted(set(only) - keys)}.")
        job_parameters(settings, request)
        run, created = self._store.create(job_id, settings, request)
        if created and run["life_cycle"] == "PENDING":
            self._start(run["run_id"])
        return run["run_id"], run["number_in_job"]

    def cancel(self, run_id: int) -> None:
        """Ask a run to end. Its tasks get SIGTERM, then SIGKILL; a queued run ends at once."""
        if not self._store.request_cancel(run_id):
            return
        for task in self._store.tasks(run_id):
            with self._lock:
                process = self._processes.get(task["run_id"])
            if process is not None:
                threading.Thread(
                    target=process.stop,
                    args=("CANCELED", self._settings.stop_grace_seconds),
                    name=f"stop-{task['run_id']}",
                    daemon=True,
                ).start()

    def end_all(self, job_id: int) -> None:
        """Cancel the active runs of a job and wait until they have ended."""
        mine = [run["run_id"] for run in self._store.unfinished() if run["job_id"] == job_id]
        for run_id in reversed(mine):
            self.cancel(run_id)
        for run_id in mine:
            with self._lock:
                thread = self._threads.get(run_id)
            if thread is not None:
                thread.join(self._settings.stop_grace_seconds + 10)

    def stop(self) -> None:
        """End all tasks with the workspace; their runs are marked as failed."""
        self._stopping = True
        with self._lock:
            processes = list(self._processes.values())
            threads = list(self._threads.values())
        stoppers = [
            threading.Thread(target=process.stop, args=("STOPPED", 3.0)) for process in processes
        ]
        for thread in stoppers:
            thread.start()
        for thread in [*stoppers, *threads]:
            thread.join(10)

    def _start(self, run_id: int) -> None:
        thread = threading.Thread(target=self._drive, args=(run_id,), name=f"run-{run_id}")
        thread.daemon = True
        with self._lock:
            if self._stopping:
                return
            self._threads[run_id] = thread
        thread.start()

    def _promote(self, job_id: int) -> None:
        """Start queued runs of a job while it has room."""
        while not self._stopping and (run_id := self._store.take_queued(job_id)) is not None:
            self._start(run_id)

    def _drive(self, run_id: int) -> None:
        run = self._store.run(run_id)
        try:
            self._store.run_started(run_id)
            self._walk(run_id, json.loads(run["settings"]), json.loads(run["request"]))
        except Exception:
            log.exception("run %s failed in the workspace itself", run_id)
            self._store.abandon(run_id, "The workspace could not carry out the run.")
        finally:
            with self._lock:
                self._threads.pop(run_id, None)
            self._promote(run["job_id"])

    def _walk(self, run_id: int, settings: dict, request: dict) -> None:
        """Run the tasks in the order of depends_on, independent ones side by side."""
        tasks = {task["task_key"]: task for task in settings["tasks"]}
        rows = {row["task_key"]: row["run_id"] for row in self._store.tasks(run_id)}
        results: dict[str, str] = {}
        for key in tasks.keys() - rows.keys():
            results[key] = "SUCCESS"  # left out by 'only': counts as done for those after it
        waiting = dict(rows)
        active: set[str] = set()
        finished: queue.Queue[tuple[str, str]] = queue.Queue()
        while waiting or active:
            for key in list(waiting):
                needs = dependencies(tasks[key])
                if not all(need in results for need in needs):
                    continue
                task_run_id = waiting.pop(key)
                failed = [results[need] for need in needs if results[need] != "SUCCESS"]
                if failed:
                    result = _UPSTREAM.get(failed[0], "UPSTREAM_FAILED")
                    text = "An upstream task did not succeed."
                    self._store.end_task(task_run_id, result, text)
                    finished.put((key, result))
                else:
                    threading.Thread(
                        target=self._task_thread,
                        args=(run_id, task_run_id, tasks[key], settings, request, finished),
                        name=f"task-{task_run_id}",
                        daemon=True,
                    ).start()
                active.add(key)
            key, result = finished.get()
            active.discard(key)
            results[key] = result
        self._store.end_run(run_id)

    def _task_thread(
        self,
        run_id: int,
        task_run_id: int,
        task: dict,
        settings: dict,
        request: dict,
        finished: queue.Queue,
    ) -> None:
        result = "FAILED"
        try:
            with self._slots:
                result = self._run_task(run_id, task_run_id, task, settings, request)
        except TaskStartError as error:
            self._store.end_task(task_run_id, "FAILED", str(error), str(error), code=error.code)
        except Exception as error:
            log.exception("task %s failed in the workspace itself", task_run_id)
            text = f"The workspace could not run the task: {type(error).__name__}"
            self._store.end_task(task_run_id, "FAILED", text, text, code="INTERNAL_ERROR")
        finally:
            finished.put((task["task_key"], result))

    def _run_task(
        self, run_id: int, task_run_id: int, task: dict, settings: dict, request: dict
    ) -> str:
        if self._stopping or self._store.cancel_requested(run_id):
            text = STOPPED if self._stopping else "Run cancelled."
            result = "FAILED" if self._stopping else "CANCELED"
            self._store.end_task(task_run_id, result, text)
            return result
        self._store.task_started(task_run_id)
        folder = self._settings.runs / str(task_run_id)
        spec = self._spec(folder, run_id, task_run_id, task, settings, request)
        token_id, token = self._services.identity.task_token(task_run_id)
        try:
            environment = task_environment(task_values(self._services, token), spec["wheels"])
            process = TaskProcess(
                spec, folder, self._settings.job_python, environment, self._settings.log_cap
            )
            with self._lock:
                self._processes[task_run_id] = process
            self._store.task_process(task_run_id, process.group)
            if self._store.cancel_requested(run_id):  # asked between the check and the start
                process.stop("CANCELED", self._settings.stop_grace_seconds)
            timeout = task.get("timeout_seconds") or settings.get("timeout_seconds") or None
            outcome = process.wait(timeout, self._settings.stop_grace_seconds)
        finally:
            with self._lock:
                self._processes.pop(task_run_id, None)
            self._services.identity.revoke(token_id)
        return self._conclude(task_run_id, outcome)

    def _conclude(self, task_run_id: int, outcome: TaskOutcome) -> str:
        if outcome.ended_by == "STOPPED":
            result, text = "FAILED", STOPPED
        elif outcome.ended_by == "CANCELED":
            result, text = "CANCELED", "Run cancelled."
        elif outcome.ended_by == "TIMEDOUT":
            result, text = "TIMEDOUT", "The task ran longer than its timeout."
        elif outcome.returncode == 0:
            result, text = "SUCCESS", ""
        else:
            result, text = "FAILED", "Workload failed, see run output for details."
        error = outcome.error if result == "FAILED" else None
        if outcome.ended_by == "STOPPED":
            error = STOPPED
        trace = outcome.error_trace if result == "FAILED" else None
        self._store.end_task(task_run_id, result, text, error, trace)
        return result

    def _spec(
        self,
        folder: Path,
        run_id: int,
        task_run_id: int,
        task: dict,
        settings: dict,
        request: dict,
    ) -> dict:
        references = {
            f"job.parameters.{name}": value
            for name, value in job_parameters(settings, request).items()
        }
        references |= {"job.run_id": str(run_id), "task.run_id": str(task_run_id)}
        folder.mkdir(parents=True, exist_ok=True)
        spec = {
            "arguments": arguments(task, request, references),
            "wheels": unpack_wheels(
                wheels(task, settings), folder, partial(local_file, self._services)
            ),
        }
        if "python_wheel_task" in task:
            wheel = task["python_wheel_task"]
            names = {"package_name": wheel["package_name"], "entry_point": wheel["entry_point"]}
            return spec | {"kind": "wheel"} | names
        path = task["spark_python_task"]["python_file"]
        place = local_file(self._services, path)
        if not place.is_file():
            raise TaskStartError("RESOURCE_NOT_FOUND", f"The file {path} does not exist.")
        return spec | {"kind": "file", "python_file": str(place)}
