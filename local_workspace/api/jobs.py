"""Jobs API 2.2: create, list, get, reset, update, delete, run-now."""

from __future__ import annotations

import json
import shutil
import sqlite3

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from ..errors import bad_request
from ..runs.job_spec import with_defaults

router = APIRouter()


class _Loose(BaseModel):
    """A body whose further fields are kept: settings are echoed as they were sent."""

    model_config = ConfigDict(extra="allow")


class JobId(_Loose):
    job_id: int


class NewSettings(JobId):
    new_settings: dict = Field(default_factory=dict)
    fields_to_remove: list[str] = Field(default_factory=list)


class RunNow(JobId):
    """Body of run-now; ``idempotency_token`` has at most 64 characters."""

    idempotency_token: str | None = Field(default=None, max_length=64)
    job_parameters: dict[str, str] | None = None
    python_params: list[str] | None = None
    python_named_params: dict[str, str] | None = None
    queue: dict | None = None
    only: list[str] | None = None


def _view(row: sqlite3.Row, expand: bool = True) -> dict:
    settings = with_defaults(json.loads(row["settings"]))
    if not expand:
        settings.pop("tasks")
    return {
        "job_id": row["job_id"],
        "creator_user_name": "local@workspace.invalid",
        "created_time": row["created_ms"],
        "settings": settings,
    }


@router.post("/api/2.2/jobs/create")
def create_job(settings: _Loose, request: Request) -> dict:
    return {"job_id": request.app.state.services.jobs.create(settings.model_dump())}


@router.get("/api/2.2/jobs/get")
def get_job(job_id: int, request: Request) -> dict:
    return _view(request.app.state.services.jobs.row(job_id))


@router.get("/api/2.2/jobs/list")
def list_jobs(
    request: Request,
    name: str | None = None,
    limit: int = 20,
    page_token: str = "0",
    expand_tasks: bool = False,
) -> dict:
    if not 1 <= limit <= 100 or not page_token.isdigit():
        raise bad_request("limit must be between 1 and 100, page_token one that was given out.")
    offset = int(page_token)
    rows = request.app.state.services.jobs.list(name, offset, limit + 1)
    answer: dict = {"jobs": [_view(row, expand_tasks) for row in rows[:limit]]}
    answer["has_more"] = len(rows) > limit
    if answer["has_more"]:
        answer["next_page_token"] = str(offset + limit)
    return answer


@router.post("/api/2.2/jobs/reset")
def reset_job(body: NewSettings, request: Request) -> dict:
    request.app.state.services.jobs.replace(body.job_id, body.new_settings)
    return {}


@router.post("/api/2.2/jobs/update")
def update_job(body: NewSettings, request: Request) -> dict:
    jobs = request.app.state.services.jobs
    settings = jobs.settings(body.job_id) | body.new_settings
    for name in body.fields_to_remove:
        settings.pop(name, None)
    jobs.replace(body.job_id, settings)
    return {}


@router.post("/api/2.2/jobs/delete")
def delete_job(body: JobId, request: Request) -> dict:
    services = request.app.state.services
    services.jobs.row(body.job_id)
    services.runner.end_all(body.job_id)
    for task_run_id in services.jobs.delete(body.job_id):
        shutil.rmtree(services.settings.runs / str(task_run_id), ignore_errors=True)
    return {}


@router.post("/api/2.2/jobs/run-now")
def run_now(body: RunNow, request: Request) -> dict:
    services = request.app.state.services
    settings = services.jobs.settings(body.job_id)
    asked = body.model_dump(exclude_none=True, exclude={"job_id"})
    run_id, number = services.runner.run_now(body.job_id, settings, asked)
    return {"run_id": run_id, "number_in_job": number}
