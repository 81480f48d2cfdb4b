"""Jobs and their runs: find, start once, look, explain a failure, cancel. Nothing here waits."""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .client import transport_of
from .errors import BadAnswer, Conflict, NotFound, translated
from .redaction import redact

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

TERMINAL = ("TERMINATED", "SKIPPED", "INTERNAL_ERROR")
# A task that never ran because another one failed explains nothing.
_CONSEQUENCES = ("UPSTREAM_FAILED", "UPSTREAM_CANCELED", "EXCLUDED", "SUCCESS", "DISABLED")
_TOKEN_LENGTH = 64


@dataclass(frozen=True)
class TaskRun:
    """The latest attempt of one task of a run."""

    run_id: int
    key: str
    attempt: int
    life_cycle: str
    result: str
    message: str

    @property
    def is_terminal(self) -> bool:
        return self.life_cycle in TERMINAL


@dataclass(frozen=True)
class Run:
    """A job run as last seen. Times are naive UTC; `result` is "" until the run has ended."""

    run_id: int
    job_id: int | None
    name: str
    life_cycle: str
    result: str
    message: str
    started: datetime.datetime | None
    ended: datetime.datetime | None
    page_url: str
    tasks: tuple[TaskRun, ...]

    @property
    def is_terminal(self) -> bool:
        """INTERNAL_ERROR is terminal too: Databricks uses it when the code of a task failed."""
        return self.life_cycle in TERMINAL

    @property
    def is_success(self) -> bool:
        return self.life_cycle == "TERMINATED" and self.result == "SUCCESS"


@dataclass(frozen=True)
class TaskFailure:
    """Why a task failed, redacted: `error` one line or so, `trace` and `logs` may be long."""

    task_key: str
    run_id: int
    result: str
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
        run = client.jobs.get_run(run_id)
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
        started=_time(run.start_time),
        ended=_time(run.end_time),
        page_url=run.run_page_url or "",
        tasks=_tasks(run.tasks or ()),
    )


def failures(client: WorkspaceClient, run: Run) -> list[TaskFailure]:
    """The error of each task that failed by itself, from the output of its own run id."""
    return [
        _failure(client, task)
        for task in run.tasks
        if task.is_terminal and task.result not in _CONSEQUENCES and task.life_cycle != "SKIPPED"
    ]


def cancel(client: WorkspaceClient, run_id: int) -> None:
    """Asks for the end of a run; get_run() shows when it has come. A run that ended stays so."""
    with translated(secrets=transport_of(client).secrets):
        client.jobs.cancel_run(run_id)


def _failure(client: WorkspaceClient, task: TaskRun) -> TaskFailure:
    with translated(secrets=transport_of(client).secrets):
        output = client.jobs.get_run_output(task.run_id)
    return TaskFailure(
        task_key=task.key,
        run_id=task.run_id,
        result=task.result or task.life_cycle,
        error=redact(output.error or task.message or "the task gave no error text"),
        trace=redact(output.error_trace or ""),
        logs=redact(output.logs or ""),
    )


def _tasks(tasks: Any) -> tuple[TaskRun, ...]:
    latest: dict[str, TaskRun] = {}
    for task in tasks:
        life_cycle, result, message = _state(task.state)
        seen = TaskRun(
            task.run_id, task.task_key, task.attempt_number or 0, life_cycle, result, message
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


def _time(milliseconds: int | None) -> datetime.datetime | None:
    if not milliseconds:
        return None
    stamp = datetime.datetime.fromtimestamp(milliseconds / 1000, datetime.timezone.utc)
    return stamp.replace(tzinfo=None)
