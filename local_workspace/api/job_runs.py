"""Jobs API 2.2: runs get, list, cancel, get-output; and the page of a run."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from pydantic import BaseModel

from ..errors import bad_request
from ..runs.run_page import render
from ..runs.run_views import run_view

PAGE_SECONDS = 30 * 24 * 3600
LOGS_IN_ANSWER = 5 * 1024 * 1024
router = APIRouter()


class RunId(BaseModel):
    run_id: int


class JobRuns(BaseModel):
    job_id: int


def page_url(services, run_id: int) -> str:
    """Address of the run's page; signed, since a browser sends no token."""
    path = f"/_local/runs/{run_id}"
    return f"{services.settings.host}{path}?{services.links.sign(path, PAGE_SECONDS)[0]}"


def _parent(services, run_id: int):
    """Return (run, task or None) for the id of a run or of a task run; 400 as the service."""
    run = services.run_store.run(run_id)
    if run is not None:
        return run, None
    task = services.run_store.task(run_id)
    if task is None:
        raise bad_request(f"Run {run_id} does not exist.")
    return services.run_store.run(task["parent_run_id"]), task


def _full_view(services, run, expand: bool = True) -> dict:
    tasks = services.run_store.tasks(run["run_id"])
    return run_view(run, tasks, page_url(services, run["run_id"]), expand)


def _task_view(services, run, task) -> dict:
    """A task run as a run of its own: the parent's names with the task's states and times."""
    whole = _full_view(services, run)
    own = next(item for item in whole["tasks"] if item["run_id"] == task["run_id"])
    return whole | own | {"job_run_id": run["run_id"], "tasks": [own]}


@router.get("/api/2.2/jobs/runs/get")
def get_run(run_id: int, request: Request) -> dict:
    services = request.app.state.services
    run, task = _parent(services, run_id)
    return _full_view(services, run) if task is None else _task_view(services, run, task)


@router.get("/api/2.2/jobs/runs/list")
def list_runs(
    request: Request,
    job_id: int | None = None,
    active_only: bool = False,
    completed_only: bool = False,
    expand_tasks: bool = False,
    limit: int = 25,
    page_token: str | None = None,
) -> dict:
    if active_only and completed_only:
        raise bad_request("active_only and completed_only exclude each other.")
    if not 1 <= limit <= 100 or (page_token and not page_token.isdigit()):
        raise bad_request("limit must be between 1 and 100, page_token one that was given out.")
    services = request.app.state.services
    before = int(page_token) if page_token else None
    rows = services.run_store.list(job_id, active_only, completed_only, before, limit + 1)
    answer: dict = {"runs": [_full_view(services, row, expand_tasks) for row in rows[:limit]]}
    answer["has_more"] = len(rows) > limit
    if answer["has_more"]:
        answer["next_page_token"] = str(rows[limit - 1]["run_id"])
    return answer


@router.post("/api/2.2/jobs/runs/cancel")
def cancel_run(body: RunId, request: Request) -> dict:
    services = request.app.state.services
    run, _ = _parent(services, body.run_id)
    services.runner.cancel(run["run_id"])
    return {}


@router.post("/api/2.2/jobs/runs/cancel-all")
def cancel_all_runs(body: JobRuns, request: Request) -> dict:
    services = request.app.state.services
    services.jobs.row(body.job_id)
    for run in services.run_store.unfinished():
        if run["job_id"] == body.job_id:
            services.runner.cancel(run["run_id"])
    return {}


@router.get("/api/2.2/jobs/runs/get-output")
def get_run_output(run_id: int, request: Request) -> dict:
    services = request.app.state.services
    run, task = _parent(services, run_id)
    if task is None:
        raise bad_request(
            f"Run {run_id} has tasks of its own: ask for the output of a task's run id."
        )
    logs, truncated = read_logs(services, task["run_id"])
    output: dict = {"metadata": _task_view(services, run, task), "logs": logs}
    output["logs_truncated"] = truncated
    if task["error"]:
        output["error"] = task["error"]
        output["error_trace"] = task["error_trace"] or task["error"]
    return output


def read_logs(services, task_run_id: int) -> tuple[str, bool]:
    """What the task wrote to stdout and then stderr, and whether something was left out."""
    parts = []
    truncated = False
    for name in ("stdout", "stderr"):
        path = services.settings.runs / str(task_run_id) / name
        if path.exists():
            size = path.stat().st_size
            truncated |= size > services.settings.log_cap
            with path.open("rb") as log:
                log.seek(max(size - LOGS_IN_ANSWER, 0))
                parts.append(log.read().decode("utf-8", "replace"))
    return "".join(parts), truncated


@router.get("/_local/runs/{run_id}", include_in_schema=False)
def run_page(run_id: int, request: Request) -> HTMLResponse:
    services = request.app.state.services
    query = request.query_params
    services.links.check(request.url.path, query.get("expires", ""), query.get("sig", ""))
    run, _ = _parent(services, run_id)
    view = _full_view(services, run)
    outputs = {}
    for task in services.run_store.tasks(run["run_id"]):
        logs, _ = read_logs(services, task["run_id"])
        outputs[task["task_key"]] = (task["error_trace"] or task["error"] or "", logs)
    return HTMLResponse(render(view, outputs))
