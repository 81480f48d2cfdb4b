"""Jobs and their runs: list, find, start once, look, explain, repair, cancel. Nothing waits."""

from __future__ import annotations

import datetime
import hashlib
import itertools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .client import transport_of
from .errors import BadAnswer, Conflict, InvalidRequest, NotFound, translated
from .redaction import redact

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

TERMINAL = ("TERMINATED", "SKIPPED", "INTERNAL_ERROR")
# A task that never ran because another one failed explains nothing.
_CONSEQUENCES = ("UPSTREAM_FAILED", "UPSTREAM_CANCELED", "EXCLUDED", "SUCCESS", "DISABLED")
_TOKEN_LENGTH = 64
LOG_TAIL = 8000
TRACE_LIMIT = 20000


@dataclass(frozen=True)
class Job:
    """A job as the workspace lists it."""

    job_id: int
    name: str


@dataclass(frozen=True)
class TaskRun:
    """The latest attempt of one task of a run; of a pipeline's update, one of its datasets."""

    run_id: int | str
    key: str
    attempt: int
    life_cycle: str
    result: str
    message: str
    started: datetime.datetime | None = None
    ended: datetime.datetime | None = None
    page_url: str = ""

    @property
    def is_terminal(self) -> bool:
        return self.life_cycle in TERMINAL

    @property
    def has_failed(self) -> bool:
        """True if it failed by itself, not because another task did."""
        return (
            self.is_terminal and self.result not in _CONSEQUENCES and self.life_cycle != "SKIPPED"
        )


@dataclass(frozen=True)
class Run:
    """A job run as last seen. Times are naive UTC; `result` is "" until the run has ended.

    `repairs` are the ids of its repairs, oldest first.
    """

    run_id: int | str
    job_id: int | None
    name: str
    life_cycle: str
    result: str
    message: str
    started: datetime.datetime | None
    ended: datetime.datetime | None
    page_url: str
    tasks: tuple[TaskRun, ...]
    repairs: tuple[int, ...] = ()

    @property
    def is_terminal(self) -> bool:
        """INTERNAL_ERROR is terminal too: Databricks uses it when the code of a task failed."""
        return self.life_cycle in TERMINAL

    @property
    def is_success(self) -> bool:
        return self.life_cycle == "TERMINATED" and self.result == "SUCCESS"


@dataclass(frozen=True)
class TaskOutput:
    """What a task left behind, redacted: `error` one line or so, the ends of trace and logs."""

    task_key: str
    run_id: int | str
    error: str
    trace: str
    logs: str


def idempotency_token(*parts: Any) -> str:
    """64 hex characters, the same for the same parts: what makes a repeated run-now harmless.

    Parts are told apart by position and type: ("a", "bc") and ("ab", "c") differ.
    """
    text = json.dumps([[type(part).__name__, str(part)] for part in parts])
    return hashlib.sha256(text.encode()).hexdigest()[:_TOKEN_LENGTH]


def find_job(client: WorkspaceClient, name: str) -> int:
    """The id of the one job with this name. Raises NotFound, or Conflict if several have it."""
    with translated(secrets=transport_of(client).secrets):
        ids = [
            job.job_id
            for job in client.jobs.list(name=name)
            if job.settings and job.settings.name == name
        ]
    if not ids:
        raise NotFound(f"the workspace has no job named {name!r}")
    if len(ids) > 1:
        raise Conflict(
            f"{len(ids)} jobs are named {name!r}: {', '.join(map(str, sorted(ids)))}",
            hint="Rename all but one, or give the job's id.",
        )
    return ids[0]


def list_jobs(client: WorkspaceClient, most: int) -> list[Job]:
    """The jobs that the caller may see, by name, no more than `most`."""
    with translated(secrets=transport_of(client).secrets):
        found = [
            Job(job.job_id, (job.settings and job.settings.name) or f"job {job.job_id}")
            for job in itertools.islice(client.jobs.list(), most)
        ]
    return sorted(found, key=lambda job: (job.name.lower(), job.job_id))


def default_parameters(client: WorkspaceClient, job_id: int) -> dict[str, str]:
    """The parameters that the job declares, with their defaults."""
    with translated(secrets=transport_of(client).secrets):
        settings = client.jobs.get(job_id).settings
    declared = (settings and settings.parameters) or ()
    return {parameter.name: parameter.default or "" for parameter in declared}


def run_now(
    client: WorkspaceClient,
    job_id: int,
    token: str,
    parameters: Mapping[str, str] | None = None,
) -> int:
    """Starts a run and returns its id; with a token seen before, the id of that earlier run.

    `token` is compulsory: the SDK repeats a POST after 429, 503 and lost connections.
    """
    if not 0 < len(token) <= _TOKEN_LENGTH:
        raise ValueError(f"an idempotency token has 1 to {_TOKEN_LENGTH} characters")
    with translated(secrets=transport_of(client).secrets):
        waiter = client.jobs.run_now(
            job_id,
            idempotency_token=token,
            job_parameters=dict(parameters) if parameters else None,
        )
        run_id = waiter.run_id
    if not run_id:
        raise BadAnswer("the answer to run-now names no run")
    return run_id


def get_run(client: WorkspaceClient, run_id: int) -> Run:
    """The run with the latest attempt of each task."""
    with translated(secrets=transport_of(client).secrets):
        run = client.jobs.get_run(run_id, include_history=True)
    if run.state is None or run.state.life_cycle_state is None:
        raise BadAnswer(f"the answer on run {run_id} has no state")
    life_cycle, result, message = _state(run.state)
    return Run(
        run_id=run_id,
        job_id=run.job_id,
        name=run.run_name or "",
        life_cycle=life_cycle,
        result=result,
        message=message,
        started=moment(run.start_time),
        ended=moment(run.end_time),
        page_url=run.run_page_url or "",
        tasks=_tasks(run.tasks or ()),
        repairs=tuple(item.id for item in run.repair_history or () if item.id),
    )


def failures(client: WorkspaceClient, run: Run) -> list[TaskOutput]:
    """The error of each task that failed by itself, from the output of its own run id."""
    return outputs(client, [task for task in run.tasks if task.has_failed])


def outputs(client: WorkspaceClient, tasks: Iterable[TaskRun]) -> list[TaskOutput]:
    """What the tasks left behind; a task without any output of its own is left out."""
    found = (_output(client, task) for task in tasks)
    return [output for output in found if output]


def repair(client: WorkspaceClient, run: Run, known_repairs: int) -> bool:
    """Starts the failed tasks of an ended run again, with what depends on them.

    The call has no idempotency token. So nothing is sent for a run that is under way, or that was
    repaired more often than the caller knows of: then an earlier answer was lost.
    """
    if not run.is_terminal or run.is_success or len(run.repairs) > known_repairs:
        return False
    with translated(secrets=transport_of(client).secrets):
        client.jobs.repair_run(
            run.run_id,
            rerun_all_failed_tasks=True,
            rerun_dependent_tasks=True,
            latest_repair_id=run.repairs[-1] if run.repairs else None,
        )
    return True


def cancel(client: WorkspaceClient, run_id: int) -> None:
    """Asks for the end of a run; get_run() shows when it has come. A run that ended stays so."""
    with translated(secrets=transport_of(client).secrets):
        client.jobs.cancel_run(run_id)


def _output(client: WorkspaceClient, task: TaskRun) -> TaskOutput | None:
    """None where the kind of task has no output to ask for, unless it failed."""
    error, trace, logs = "", "", ""
    try:
        with translated(secrets=transport_of(client).secrets):
            output = client.jobs.get_run_output(task.run_id)
        error, trace, logs = output.error or "", output.error_trace or "", output.logs or ""
    except (InvalidRequest, NotFound):
        if not task.has_failed:
            return None
    if task.has_failed:
        error = error or task.message or "the task gave no error text"
    return TaskOutput(task.key, task.run_id, redact(error), _tail(trace, TRACE_LIMIT), _tail(logs))


def _tail(text: str, limit: int = LOG_TAIL) -> str:
    """The end of a long text, redacted before it is cut, so that no cut hides half a secret."""
    text = redact(text)
    return text if len(text) <= limit else "…" + text[1 - limit :]


def _tasks(tasks: Any) -> tuple[TaskRun, ...]:
    latest: dict[str, TaskRun] = {}
    for task in tasks:
        life_cycle, result, message = _state(task.state)
        seen = TaskRun(
            run_id=task.run_id,
            key=task.task_key,
            attempt=task.attempt_number or 0,
            life_cycle=life_cycle,
            result=result,
            message=message,
            started=moment(task.start_time),
            ended=moment(task.end_time),
            page_url=task.run_page_url or "",
        )
        before = latest.get(seen.key)
        if before is None or (seen.attempt, seen.run_id) >= (before.attempt, before.run_id):
            latest[seen.key] = seen
    return tuple(latest.values())


def _state(state: Any) -> tuple[str, str, str]:
    if state is None:
        return "PENDING", "", ""
    return (
        state.life_cycle_state.value if state.life_cycle_state else "PENDING",
        state.result_state.value if state.result_state else "",
        redact(state.state_message or ""),
    )


def moment(milliseconds: int | None) -> datetime.datetime | None:
    """Naive UTC of the API's milliseconds."""
    if not milliseconds:
        return None
    stamp = datetime.datetime.fromtimestamp(milliseconds / 1000, datetime.timezone.utc)
    return stamp.replace(tzinfo=None)
