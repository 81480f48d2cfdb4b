"""Lakeflow pipelines and their updates, in the shapes of jobs.py. Nothing here waits.

An update has no idempotency token. What stands for it is the rule that a pipeline has one active
update at a time: whoever lost the answer to a start looks for the update that began since.
"""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .client import transport_of
from .errors import BadAnswer, Conflict, translated
from .jobs import TRACE_LIMIT, Run, TaskOutput, TaskRun, moment
from .redaction import redact

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

_ENDED = {"COMPLETED": "SUCCESS", "FAILED": "FAILED", "CANCELED": "CANCELED"}
_WAITING = ("QUEUED", "CREATED", "WAITING_FOR_RESOURCES")
# what the flow of a dataset says of itself -> (life cycle, result) of a task
_FLOW = {
    "QUEUED": ("PENDING", ""),
    "PLANNING": ("PENDING", ""),
    "STARTING": ("RUNNING", ""),
    "RUNNING": ("RUNNING", ""),
    "COMPLETED": ("TERMINATED", "SUCCESS"),
    "FAILED": ("TERMINATED", "FAILED"),
    "SKIPPED": ("SKIPPED", "UPSTREAM_FAILED"),
    "EXCLUDED": ("SKIPPED", "EXCLUDED"),
    "IDLE": ("TERMINATED", "SUCCESS"),
    "STOPPED": ("TERMINATED", "CANCELED"),
}
_EVENTS = 250  # most that one call gives
# how far the clocks of Odoo and of the workspace may be apart
_SKEW = datetime.timedelta(minutes=2)


class PipelineBusy(Conflict):
    """An update that somebody else started is active: ours has to wait for its end."""

    kind = "pipeline_busy"
    hint = "It is started as soon as that update has ended."
    retryable = True


@dataclass(frozen=True)
class Pipeline:
    """A pipeline as the workspace lists it."""

    pipeline_id: str
    name: str


def list_pipelines(client: WorkspaceClient, most: int) -> list[Pipeline]:
    """The pipelines that the caller may see, by name, no more than `most`."""
    with translated(secrets=transport_of(client).secrets):
        found = [
            Pipeline(one.pipeline_id, one.name or one.pipeline_id)
            for one in itertools.islice(client.pipelines.list_pipelines(max_results=100), most)
        ]
    return sorted(found, key=lambda one: (one.name.lower(), one.pipeline_id))


def start_update(
    client: WorkspaceClient,
    pipeline_id: str,
    *,
    since: datetime.datetime,
    known: Collection[str],
    first: bool,
    full_refresh: bool = False,
) -> str:
    """Starts an update and returns its id, or the id of one whose start was not confirmed.

    `since` is when the start was first asked for (naive UTC), `known` are updates that belong to
    other runs, `first` tells that nothing was sent before. Raises PipelineBusy.
    """
    if not first:
        lost = find_update(client, pipeline_id, since, known)
        if lost:
            return lost
    try:
        with translated(secrets=transport_of(client).secrets):
            answer = client.pipelines.start_update(pipeline_id, full_refresh=full_refresh or None)
    except Conflict as error:
        # the SDK repeats a POST by itself, so also the first attempt may meet its own update
        lost = find_update(client, pipeline_id, since, known)
        if lost:
            return lost
        raise PipelineBusy(error.message) from None
    if not answer.update_id:
        raise BadAnswer("the answer to the start of an update names no update")
    return answer.update_id


def find_update(
    client: WorkspaceClient,
    pipeline_id: str,
    since: datetime.datetime,
    known: Collection[str],
) -> str | None:
    """The update that began since then and belongs to no other run: the active, else the newest."""
    mine = [
        update
        for update in _updates(client, pipeline_id)
        if update.update_id not in known
        and (moment(update.creation_time) or since) >= since - _SKEW
    ]
    mine.sort(key=lambda update: not _is_active(update))
    return mine[0].update_id if mine else None


def get_update(client: WorkspaceClient, pipeline_id: str, update_id: str) -> Run:
    """The update as a run; its datasets are the tasks."""
    with translated(secrets=transport_of(client).secrets):
        update = client.pipelines.get_update(pipeline_id, update_id).update
    if update is None or update.state is None:
        raise BadAnswer(f"the answer on update {update_id} has no state")
    state = update.state.value
    events = _events(client, pipeline_id, update_id)
    last = next((e for e in events if e.get("event_type") == "update_progress"), {})
    ended = _time(last.get("timestamp")) if state in _ENDED else None
    host = client.config.host.rstrip("/")
    return Run(
        run_id=update_id,
        job_id=None,
        name="",
        life_cycle=_life_cycle(state),
        result=_ENDED.get(state, ""),
        message=redact(last.get("message") or ""),
        started=moment(update.creation_time),
        ended=ended,
        page_url=f"{host}/pipelines/{pipeline_id}/updates/{update_id}",
        tasks=_datasets(events),
    )


def failures(client: WorkspaceClient, pipeline_id: str, update_id: str) -> list[TaskOutput]:
    """The error of each dataset that failed, else that of the update itself."""
    found: dict[str, TaskOutput] = {}
    for event in _events(client, pipeline_id, update_id, "level='ERROR'"):
        key = _dataset(event)
        error, trace = _error(event)
        if key not in found:
            found[key] = TaskOutput(key, update_id, redact(error), redact(trace)[:TRACE_LIMIT], "")
    of_datasets = [output for key, output in found.items() if key]
    return of_datasets or list(found.values())


def stop(client: WorkspaceClient, pipeline_id: str, update_id: str) -> None:
    """Asks for the end of this update; another one that became active meanwhile goes on."""
    active = [update.update_id for update in _updates(client, pipeline_id) if _is_active(update)]
    if update_id in active:
        with translated(secrets=transport_of(client).secrets):
            client.pipelines.stop(pipeline_id)


def _updates(client: WorkspaceClient, pipeline_id: str) -> list[Any]:
    with translated(secrets=transport_of(client).secrets):
        return client.pipelines.list_updates(pipeline_id, max_results=25).updates or []


def _is_active(update: Any) -> bool:
    return update.state is not None and update.state.value not in _ENDED


def _events(client, pipeline_id, update_id, condition=None) -> list[dict]:
    """The newest events of the update, newest first. The SDK's class drops their details."""
    query = {"max_results": _EVENTS, "order_by": "timestamp desc"}
    if condition:
        query["filter"] = condition
    with translated(secrets=transport_of(client).secrets):
        answer = client.api_client.do(
            "GET", f"/api/2.0/pipelines/{pipeline_id}/events", query=query
        )
        events = answer.get("events") or []
        return [event for event in events if event["origin"].get("update_id") == update_id]


def _datasets(events: list[dict]) -> tuple[TaskRun, ...]:
    """One task a flow, as its newest event tells, in the order in which they were first told."""
    told: dict[str, list[dict]] = {}
    for event in reversed(events):
        if event.get("event_type") == "flow_progress" and _dataset(event):
            told.setdefault(_dataset(event), []).append(event)
    return tuple(_task(key, flow) for key, flow in told.items())


def _task(key: str, events: list[dict]) -> TaskRun:
    """`events`: those of one flow, oldest first."""
    status = str(events[-1].get("details", {}).get("flow_progress", {}).get("status") or "")
    life_cycle, result = _FLOW.get(status, ("PENDING", ""))
    return TaskRun(
        run_id=key,
        key=key,
        attempt=0,
        life_cycle=life_cycle,
        result=result,
        message=redact(events[-1].get("message") or ""),
        started=_time(events[0].get("timestamp")),
        ended=_time(events[-1].get("timestamp")) if life_cycle == "TERMINATED" else None,
    )


def _dataset(event: dict) -> str:
    origin = event["origin"]
    return origin.get("flow_name") or origin.get("dataset_name") or ""


def _error(event: dict) -> tuple[str, str]:
    """(message, trace) of an event of level ERROR."""
    exceptions = (event.get("error") or {}).get("exceptions") or [{}]
    message = exceptions[0].get("message") or event.get("message") or "no error text was given"
    frames = exceptions[0].get("stack") or ()
    lines = [
        f"{frame.get('file_name')}:{frame.get('line_number')} {frame.get('method_name')}"
        for frame in frames
    ]
    return message, "\n".join(lines)


def _life_cycle(state: str) -> str:
    if state in _ENDED:
        return "TERMINATED"
    if state == "STOPPING":
        return "TERMINATING"
    return "PENDING" if state in _WAITING else "RUNNING"


def _time(text: str | None) -> datetime.datetime | None:
    """Naive UTC of an event's time, e.g. 2025-08-15T00:00:00.123Z."""
    if not text:
        return None
    return datetime.datetime.fromisoformat(text[:19])
