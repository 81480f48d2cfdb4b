"""Jobs API 2.2: submit; runs get, list, cancel, cancel-all, repair, delete, get-output, export."""

from __future__ import annotations

import json
import shutil
import sqlite3
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import HTMLResponse

from ..errors import ApiError, bad_request
from ..pages.html import Html, respond
from ..runs.definitions import delete_run
from ..runs.job_settings import MOST, Id, Loose, RunParameters, SubmitSettings
from ..runs.job_spec import check_settings
from ..runs.run_page import LOG_TAIL, REFRESH_SECONDS, render
from ..runs.run_views import PAGE_TASKS, task_view
from ..runs.starts import RunOrder
from .jobs import Offset, Token, place

LOGS_IN_ANSWER = 5 * 1024 * 1024
router = APIRouter()

RunIdInQuery = Annotated[int, Query(ge=0, le=MOST)]
Milliseconds = Annotated[int | None, Query(ge=0, le=MOST)]


class RunId(Loose):
    run_id: Id


class CancelAll(Loose):
    job_id: Id | None = None
    all_queued_runs: bool = False


class Repair(RunParameters):
    run_id: Id
    rerun_tasks: list[str] | None = None
    rerun_all_failed_tasks: bool | None = None
    rerun_dependent_tasks: bool | None = None
    latest_repair_id: Id | None = None


def _found(services, run_id: int) -> tuple[sqlite3.Row, sqlite3.Row | None]:
    """Return (run, task or None) for the id of a run or of a task run; 400 as the service."""
    run = services.run_store.run(run_id)
    if run is not None:
        return run, None
    task = services.run_store.task(run_id)
    run = services.run_store.run(task["parent_run_id"]) if task is not None else None
    if run is None:
        raise bad_request(f"Run {run_id} does not exist.")
    return run, task


@router.post("/api/2.2/jobs/runs/submit")
def submit_run(body: SubmitSettings, request: Request) -> dict:
    services = request.app.state.services
    settings = body.sent()
    token = settings.pop("idempotency_token", None) or None
    check_settings(settings)
    user = request.state.principal.user_name
    order = RunOrder(None, user, settings=settings, token=token)
    return {"run_id": services.runner.start(order)}


@router.get("/api/2.2/jobs/runs/get")
def get_run(
    run_id: RunIdInQuery,
    request: Request,
    include_history: bool = False,
    page_token: Token = None,
) -> dict:
    services = request.app.state.services
    run, task = _found(services, run_id)
    if task is not None:
        return services.run_views.task(run, task)
    start = place(page_token) or 0
    view = services.run_views.run(run, offset=start, history=include_history)
    if view.pop("has_more"):
        view["next_page_token"] = str(start + PAGE_TASKS)
    return view


@router.get("/api/2.2/jobs/runs/list")
def list_runs(
    request: Request,
    job_id: Annotated[int | None, Query(ge=0, le=MOST)] = None,
    active_only: bool = False,
    completed_only: bool = False,
    expand_tasks: bool = False,
    run_type: Literal["JOB_RUN", "SUBMIT_RUN", "WORKFLOW_RUN"] | None = None,
    start_time_from: Milliseconds = None,
    start_time_to: Milliseconds = None,
    limit: Annotated[int, Query(ge=0, le=100)] = 20,
    offset: Offset = 0,
    page_token: Token = None,
) -> dict:
    if active_only and completed_only:
        raise bad_request("active_only and completed_only exclude each other.")
    services = request.app.state.services
    limit = min(limit or 25, 25)
    rows = services.run_store.list(
        job_id=job_id, active=active_only, completed=completed_only, kind=run_type,
        since_ms=start_time_from, until_ms=start_time_to, before=place(page_token),
        offset=offset, limit=limit + 1,
    )  # fmt: skip
    answer: dict = {
        "runs": [services.run_views.run(row, expand=expand_tasks) for row in rows[:limit]],
        "has_more": len(rows) > limit,
    }
    if answer["has_more"]:
        answer["next_page_token"] = str(rows[limit - 1]["run_id"])
    return answer


@router.post("/api/2.2/jobs/runs/cancel")
def cancel_run(body: RunId, request: Request) -> dict:
    services = request.app.state.services
    _found(services, body.run_id)
    services.runner.cancel(body.run_id)
    return {}


@router.post("/api/2.2/jobs/runs/cancel-all")
def cancel_all_runs(body: CancelAll, request: Request) -> dict:
    services = request.app.state.services
    if body.job_id is not None:
        services.jobs.row(body.job_id)
    elif not body.all_queued_runs:
        raise bad_request("job_id or all_queued_runs must be given.")
    if body.all_queued_runs:
        runs = services.run_store.queued(body.job_id)
    else:
        runs = services.run_store.unfinished(body.job_id)
    for run_id in runs:
        services.runner.cancel(run_id)
    return {}


@router.post("/api/2.2/jobs/runs/repair")
def repair_run(body: Repair, request: Request) -> dict:
    services = request.app.state.services
    run, task = _found(services, body.run_id)
    if task is not None:
        raise bad_request(f"{body.run_id} is a task run; its run is {run['run_id']}.")
    return {"repair_id": services.runner.repair(body.run_id, body.sent())}


@router.post("/api/2.2/jobs/runs/delete")
def delete_one_run(body: RunId, request: Request) -> dict:
    services = request.app.state.services
    run, task = _found(services, body.run_id)
    if task is not None:
        raise bad_request(f"{body.run_id} is a task run; its run is {run['run_id']}.")
    with services.store.transaction() as db:
        alive = db.execute(
            "SELECT 1 FROM runs WHERE run_id = ? AND end_ms IS NULL", (body.run_id,)
        ).fetchone()
        if alive:
            raise ApiError(400, "INVALID_STATE", f"Run {body.run_id} is active: cancel it first.")
        attempts = delete_run(db, body.run_id)
    for attempt_id in attempts:
        shutil.rmtree(services.settings.runs / str(attempt_id), ignore_errors=True)
    return {}


@router.get("/api/2.2/jobs/runs/get-output")
def get_run_output(run_id: RunIdInQuery, request: Request) -> dict:
    services = request.app.state.services
    run, task = _found(services, run_id)
    if task is None:
        raise bad_request(
            f"Run {run_id} has no output of its own, also if it has one task only: ask for the"
            " output of each individual task run instead."
        )
    logs, truncated = read_logs(services, run_id)
    output: dict = {
        "metadata": services.run_views.task(run, task),
        "logs": logs,
        "logs_truncated": truncated,
    }
    if task["error"]:
        output["error"] = task["error"]
        output["error_trace"] = task["error_trace"] or task["error"]
    output |= json.loads(task["output"] or "{}")
    child = services.run_store.child(run_id)
    if child is not None:
        output["run_job_output"] = {"run_id": child["run_id"]}
    if "sql_output" in output:
        output["sql_output"]["query_output"]["output_link"] = output["metadata"]["run_page_url"]
    return output


@router.get("/api/2.2/jobs/runs/export")
def export_run(
    run_id: RunIdInQuery,
    request: Request,
    views_to_export: Literal["CODE", "DASHBOARDS", "ALL"] = "CODE",
) -> dict:
    services = request.app.state.services
    run, _ = _found(services, run_id)
    name = services.run_views.run(run, expand=False)["run_name"]
    return {"views": [{"content": _page(services, run), "name": name, "type": "NOTEBOOK"}]}


@router.get("/_local/runs/{run_id}", include_in_schema=False)
def run_page(run_id: Annotated[int, Path(ge=0, le=MOST)], request: Request) -> HTMLResponse:
    services = request.app.state.services
    query = request.query_params
    services.links.check(request.url.path, query.get("expires", ""), query.get("sig", ""))
    run, _ = _found(services, run_id)
    response = respond(_page(services, run))
    if run["end_ms"] is None:
        response.headers["refresh"] = str(REFRESH_SECONDS)
    return response


def _page(services, run: sqlite3.Row) -> Html:
    view = services.run_views.run(run, expand=False, history=True)
    tasks = [task_view(row, "") for row in services.run_store.tasks(run["run_id"])]

    def output(task_run_id: int) -> tuple[str, str, bool]:
        task = services.run_store.task(task_run_id)
        logs = read_logs(services, task_run_id, LOG_TAIL)
        return task["error_trace"] or task["error"] or "", *logs

    return render(view, tasks, view["repair_history"], output)


def read_logs(services, task_run_id: int, most: int = LOGS_IN_ANSWER) -> tuple[str, bool]:
    """What the task wrote to stdout and then stderr, and whether something was left out.

    Of each, the last ``most`` bytes.
    """
    parts = []
    truncated = False
    for name in ("stdout", "stderr"):
        path = services.settings.runs / str(task_run_id) / name
        if path.exists():
            size = path.stat().st_size
            truncated |= size > min(services.settings.log_cap, most)
            with path.open("rb") as log:
                log.seek(max(size - most, 0))
                parts.append(log.read().decode("utf-8", "replace"))
    return "".join(parts), truncated
