"""Runs jobs: hands attempts to workers, stops them, and keeps time. All states are in the store.

One rule holds everywhere: a state is changed in one transaction (``transitions``), and what
follows from it is done after the commit.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ..access.tokens import USER
from ..store import now_ms
from . import references
from .definitions import Jobs
from .job_spec import kind_of
from .kinds import prepare
from .kinds.context import TaskContext, Work
from .parameters import handed_down, resolved, run_values
from .recovery import STOPPED, abandon_begun, resume
from .run_store import RunStore
from .starts import RunOrder, create_run, repair_run, start_child
from .task_process import TaskStartError
from .timekeeper import Timekeeper
from .transitions import Outcome, Transition
from .workers import Workers

log = logging.getLogger("local_workspace.runs")

STOP_SECONDS = 10.0


class ActiveWork:
    """An attempt in a worker's hands. It can be stopped before its work exists."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._work: Work | None = None
        self.stopped = False

    def attach(self, work: Work) -> bool:
        """Returns whether the work may begin."""
        with self._lock:
            self._work = work
            return not self.stopped

    def stop(self) -> None:
        with self._lock:
            self.stopped = True
            work = self._work
        if work is not None:
            work.stop()


class Runner:
    """Starts, watches, cancels and repairs runs."""

    def __init__(self, services) -> None:
        self._services = services
        self._settings = services.settings
        self._store: RunStore = services.run_store
        self._jobs: Jobs = services.jobs
        self._lock = threading.Lock()
        self._active: dict[int, ActiveWork] = {}
        self._stopping = False
        self._workers = Workers(self._settings.task_slots, self._carry_out)
        self._timekeeper = Timekeeper(self._tick)

    def recover(self) -> None:
        """After a start: end what an earlier process left alive, go on with what had not begun."""
        lost = self._store.started_attempts()
        with self._change() as change:
            abandon_begun(change)
            resume(change)
        for attempt in lost:
            self._meter(attempt, self._last_sign(attempt))
        self._timekeeper.start()

    def start(self, order: RunOrder) -> int:
        """Make a run, or find the one of its idempotency token. Returns its id."""
        with self._change() as change:
            return create_run(change, order)

    def repair(self, run_id: int, asked: dict) -> int:
        with self._change() as change:
            return repair_run(change, run_id, asked)

    def cancel(self, run_id: int) -> None:
        """Ask a run or one task run to end. What runs gets SIGTERM and, later, SIGKILL."""
        with self._change() as change:
            if change.run(run_id) is not None:
                change.stop_run(run_id)
            else:
                change.stop_attempt(run_id)

    def end_all(self, job_id: int) -> None:
        """Cancel the runs of a job and wait until they have ended."""
        for run_id in self._store.unfinished(job_id):
            self.cancel(run_id)
        deadline = time.monotonic() + self._settings.stop_grace_seconds + STOP_SECONDS
        while self._store.unfinished(job_id) and time.monotonic() < deadline:
            time.sleep(0.05)

    def settings_changed(self, job_id: int) -> None:
        """A job has new settings: its schedule, its timeout, room for more runs."""
        with self._change() as change:
            self._jobs.apply_timeout(change.db, job_id)
            change.promote(job_id)

    def stop(self) -> None:
        """End all tasks with the workspace; their runs are marked as failed."""
        self._stopping = True
        self._timekeeper.stop()
        self._workers.close()
        with self._lock:
            active = list(self._active.values())
        stoppers = [threading.Thread(target=work.stop, name="stop") for work in active]
        for thread in stoppers:
            thread.start()
        for thread in stoppers:
            thread.join(STOP_SECONDS)
        self._workers.wait()
        with self._change() as change:
            abandon_begun(change)

    @contextmanager
    def _change(self) -> Iterator[Transition]:
        """A transaction on the states of runs; afterwards, what follows from it."""
        with self._services.store.transaction() as db:
            change = Transition(db)
            yield change
        if self._stopping:
            return
        for attempt_id in change.stops:
            with self._lock:
                work = self._active.get(attempt_id)
            if work is not None:
                threading.Thread(target=work.stop, name=f"stop-{attempt_id}", daemon=True).start()
        for run_id, attempt_id, task in change.ready:
            if kind_of(task) == "run_job_task":
                self._start_child(run_id, attempt_id, task)
            else:
                self._workers.put(run_id, attempt_id, task)
        self._timekeeper.wake()

    @contextmanager
    def _guarded_change(self, what: str) -> Iterator[Transition]:
        """A change whose failure is logged: it must not keep the others from being made."""
        try:
            with self._change() as change:
                yield change
        except Exception:
            log.exception("%s: what was due could not be done", what)

    def _start_child(self, run_id: int, attempt_id: int, task: dict) -> None:
        run = self._store.run(run_id)
        if run is None:  # deleted meanwhile
            return
        values = self._values(run, attempt_id)
        called = resolved(task, run, values)["run_job_task"]
        with self._change() as change:
            start_child(change, attempt_id, called, handed_down(values))

    def _carry_out(self, attempt_id: int, task: dict) -> None:
        """One attempt from its claim to its end, in a worker's thread."""
        active = ActiveWork()
        with self._lock:
            self._active[attempt_id] = active
        try:
            with self._change() as change:
                attempt = change.claim(attempt_id)
            if attempt is None:
                return
            outcome = self._outcome(attempt, task, active)
            with self._change() as change:
                if self._stopping and outcome.result != "SUCCESS":
                    outcome = Outcome("FAILED", STOPPED, STOPPED, code="INTERNAL_ERROR")
                change.end_attempt(attempt_id, outcome, final=self._stopping)
            self._meter(attempt, now_ms())
        except Exception:
            # The store could not be written: the attempt is ended at the next start.
            log.exception("the states of task run %s could not be kept", attempt_id)
        finally:
            with self._lock:
                self._active.pop(attempt_id, None)

    def _outcome(self, attempt: sqlite3.Row, task: dict, active: ActiveWork) -> Outcome:
        attempt_id, run_id = attempt["run_id"], attempt["parent_run_id"]
        folder = self._settings.runs / str(attempt_id)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            run = self._store.run(run_id)
            given = resolved(task, run, self._values(run, attempt_id))
            work = prepare(TaskContext(self._services, run, attempt, given, folder))
            return work.run() if active.attach(work) else Outcome("CANCELED")
        except TaskStartError as error:
            return Outcome("FAILED", str(error), str(error), code=error.code)
        except Exception as error:
            log.exception("task run %s failed in the workspace itself", attempt_id)
            text = f"The workspace could not run the task: {type(error).__name__}"
            return Outcome("FAILED", text, text, code="INTERNAL_ERROR")

    def _values(self, run: sqlite3.Row, attempt_id: int) -> dict[references.Path, str]:
        """What references mean for one attempt."""
        repairs = max(len(self._store.repairs(run["run_id"])) - 1, 0)
        values = run_values(run, repairs, self._services.org_id, self._settings.host)
        for row in self._store.tasks(run["run_id"]):  # the last attempt of a task wins
            place = (row["task_key"], row["run_id"], row["attempt_number"])
            values |= references.of_other_task(*place, row["result"])
            if row["run_id"] == attempt_id:
                values |= references.of_task(*place)
        return values

    def _meter(self, attempt: sqlite3.Row, end_ms: int) -> None:
        """Record what a child process used; other kinds are metered by those who do the work."""
        run = self._store.run(attempt["parent_run_id"])
        kind = kind_of(json.loads(attempt["task"]))
        if run is None or kind not in ("python_wheel_task", "spark_python_task"):
            return
        metadata = {
            "job_id": str(run["job_id"]),
            "job_run_id": str(run["run_id"]),
            "task_key": attempt["task_key"],
            "task_run_id": str(attempt["run_id"]),
        }
        start_ms = attempt["start_ms"]
        identity = run["creator"] or USER
        self._services.meter.record("JOBS", start_ms, max(start_ms, end_ms), metadata, identity)

    def _last_sign(self, attempt: sqlite3.Row) -> int:
        """When an attempt that nobody saw ending last wrote something, in milliseconds."""
        folder = self._settings.runs / str(attempt["run_id"])
        times = [path.stat().st_mtime * 1000 for path in folder.glob("*") if path.is_file()]
        return int(max(times, default=attempt["start_ms"]))

    def _tick(self) -> float | None:
        """Do what is due. Returns the seconds until something else is, or None."""
        now = now_ms()
        for job in self._jobs.due(now):
            with self._guarded_change(f"the schedule of job {job['job_id']}") as change:
                self._jobs.fire(change, job["job_id"], now)
        for attempt in self._store.due_attempts(now):
            with self._guarded_change(f"task run {attempt['run_id']}") as change:
                if attempt["life_cycle"] == "WAITING_FOR_RETRY":
                    change.retry_now(attempt["run_id"])
                else:
                    change.stop_attempt(attempt["run_id"], "TIMEDOUT")
        for run_id in self._store.due_runs(now):
            with self._guarded_change(f"run {run_id}") as change:
                change.stop_run(run_id, "TIMEDOUT")
        times = [t for t in (self._jobs.next_due(), self._store.next_due()) if t is not None]
        return (min(times) - now_ms()) / 1000 if times else None
