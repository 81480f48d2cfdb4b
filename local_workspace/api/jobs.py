"""Jobs API 2.2: create, list, get, reset, update, delete, run-now."""

from __future__ import annotations

import json
import shutil
import sqlite3
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import Field

from ..access.tokens import USER
from ..errors import bad_request
from ..runs.job_settings import MOST, Id, JobSettings, Loose, Queue, RunParameters
from ..runs.job_spec import with_defaults
from ..runs.starts import RunOrder

PAGE = 100
_PAGED = ("tasks", "job_clusters", "parameters", "environments")
router = APIRouter()

Offset = Annotated[int, Query(ge=0, le=10**9)]
Token = Annotated[str | None, Query(max_length=20, pattern="^[0-9]*$")]


class JobId(Loose):
    job_id: Id


class ResetJob(JobId):
    new_settings: JobSettings


class UpdateJob(JobId):
    new_settings: JobSettings | None = None
    fields_to_remove: list[str] | None = None


class RunNow(RunParameters):
    """Body of run-now; ``idempotency_token`` has at most 64 characters."""

    job_id: Id
    idempotency_token: str | None = Field(default=None, max_length=64)
    queue: Queue | None = None
    only: list[str] | None = None


def place(page_token: str | None) -> int | None:
    """The id or offset that a page token stands for. Raises ApiError 400."""
    if not page_token:
        return None
    if int(page_token) > MOST:
        raise bad_request("page_token: this is none that was given out.")
    return int(page_token)


def _view(row: sqlite3.Row) -> dict:
    settings = json.loads(row["settings"])
    creator = row["creator"] or USER
    run_as = settings.get("run_as") or {}
    return {
        "job_id": row["job_id"],
        "creator_user_name": creator,
        "run_as_user_name": run_as.get("service_principal_name")
        or run_as.get("user_name")
        or creator,
        "created_time": row["created_ms"],
        "settings": with_defaults(settings),
    }


def _page(view: dict, start: int) -> bool:
    """Cut the long lists of a job to one page. Returns whether there is more."""
    settings = view["settings"]
    more = False
    for name in _PAGED:
        if name in settings:
            more |= len(settings[name]) > start + PAGE
            settings[name] = settings[name][start : start + PAGE]
    return more


@router.post("/api/2.2/jobs/create")
def create_job(settings: JobSettings, request: Request) -> dict:
    user = request.state.principal.user_name
    return {"job_id": request.app.state.services.jobs.create(settings.sent(), user)}


@router.get("/api/2.2/jobs/get")
def get_job(
    job_id: Annotated[int, Query(ge=0, le=MOST)], request: Request, page_token: Token = None
) -> dict:
    view = _view(request.app.state.services.jobs.row(job_id))
    start = place(page_token) or 0
    if _page(view, start):
        view |= {"has_more": True, "next_page_token": str(start + PAGE)}
    return view


@router.get("/api/2.2/jobs/list")
def list_jobs(
    request: Request,
    name: str | None = None,
    limit: Annotated[int, Query(ge=0, le=100)] = 20,
    offset: Offset = 0,
    page_token: Token = None,
    expand_tasks: bool = False,
) -> dict:
    limit = limit or 100
    rows = request.app.state.services.jobs.list(name, place(page_token), offset, limit + 1)
    answer: dict = {"jobs": [], "has_more": len(rows) > limit}
    for row in rows[:limit]:
        view = _view(row)
        if expand_tasks:
            view["has_more"] = _page(view, 0)
        else:
            for long in ("tasks", "job_clusters"):
                view["settings"].pop(long, None)
        answer["jobs"].append(view)
    if answer["has_more"]:
        answer["next_page_token"] = str(rows[limit - 1]["job_id"])
    return answer


@router.post("/api/2.2/jobs/reset")
def reset_job(body: ResetJob, request: Request) -> dict:
    services = request.app.state.services
    services.jobs.replace(body.job_id, body.new_settings.sent())
    services.runner.settings_changed(body.job_id)
    return {}


@router.post("/api/2.2/jobs/update")
def update_job(body: UpdateJob, request: Request) -> dict:
    services = request.app.state.services
    new = body.new_settings.sent() if body.new_settings else {}
    services.jobs.update(body.job_id, new, body.fields_to_remove or [])
    services.runner.settings_changed(body.job_id)
    return {}


@router.post("/api/2.2/jobs/delete")
def delete_job(body: JobId, request: Request) -> dict:
    services = request.app.state.services
    services.runner.end_all(body.job_id)
    for task_run_id in services.jobs.delete(body.job_id):
        shutil.rmtree(services.settings.runs / str(task_run_id), ignore_errors=True)
    return {}


@router.post("/api/2.2/jobs/run-now")
def run_now(body: RunNow, request: Request) -> dict:
    services = request.app.state.services
    asked = body.sent()
    token = asked.pop("idempotency_token", None) or None
    job_id = asked.pop("job_id")
    user = request.state.principal.user_name
    run_id = services.runner.start(RunOrder(job_id, user, asked, token=token))
    return {"run_id": run_id, "number_in_job": run_id}
