"""Making runs: from run-now, runs/submit, a schedule or another job's task; and repairing them."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass, field

from ..errors import ApiError, bad_request
from ..store import new_id, now_ms
from . import graph
from .job_spec import PARAMETERS, check_parameters
from .run_store import request_of, settings_of
from .transitions import Outcome, Transition


@dataclass(frozen=True)
class RunOrder:
    """A run that is asked for: of a job, or of ``settings`` of its own.

    ``request`` holds the parameters, ``only`` and ``queue`` as run-now takes them; ``cause`` is
    ONE_TIME, PERIODIC or RUN_JOB_TASK.
    """

    job_id: int | None
    creator: str
    request: dict = field(default_factory=dict)
    settings: dict | None = None
    cause: str = "ONE_TIME"
    token: str | None = None
    parent_task_run_id: int | None = None


def job_settings(db: sqlite3.Connection, job_id: int) -> dict:
    """The settings of a job. Raises ApiError 400, as the service does, when there is none."""
    row = db.execute("SELECT settings FROM jobs WHERE job_id = ?", (job_id,)).fetchone()
    if row is None:
        raise bad_request(f"Job {job_id} does not exist.")
    return json.loads(row["settings"])


def create_run(change: Transition, order: RunOrder) -> int:
    """Make a run with its tasks and let it go; or find the run of the same idempotency token.

    Beyond max_concurrent_runs the run is QUEUED when the job or the request says so, else
    SKIPPED. Returns the run id. Raises ApiError 400.
    """
    settings = order.settings if order.job_id is None else job_settings(change.db, order.job_id)
    known = _known(change.db, order) if order.token else None
    if known is not None:
        return known
    check_parameters(order.request, settings)
    keys = graph.chosen(settings["tasks"], order.request.get("only") or None)
    kind = "SUBMIT_RUN" if order.job_id is None else "JOB_RUN"
    run_id = new_id(change.db)
    job_id = new_id(change.db) if order.job_id is None else order.job_id
    life = "PENDING" if order.job_id is None else _first_life(change, order, settings)
    change.db.execute(
        "INSERT INTO runs (run_id, job_id, number_in_job, settings, request, idempotency_token,"
        " kind, cause, creator, parent_task_run_id, life_cycle, start_ms)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (run_id, job_id, run_id, json.dumps(settings), json.dumps(order.request),
         order.token, kind, order.cause, order.creator, order.parent_task_run_id, life, now_ms()),
    )  # fmt: skip
    for task in settings["tasks"]:
        if task["task_key"] in keys:
            change.add_attempt(run_id, task)
    if life == "PENDING":
        change.begin(run_id)
    elif life == "SKIPPED":
        _skip(change, run_id)
    return run_id


def _known(db: sqlite3.Connection, order: RunOrder) -> int | None:
    gone = db.execute("SELECT 1 FROM deleted_run_tokens WHERE token = ?", (order.token,)).fetchone()
    if gone is not None:
        raise bad_request("The run of this idempotency token was deleted.")
    known = db.execute(
        "SELECT run_id, job_id, kind FROM runs WHERE idempotency_token = ?", (order.token,)
    ).fetchone()
    if known is None:
        return None
    same = (
        known["kind"] == "SUBMIT_RUN" if order.job_id is None else known["job_id"] == order.job_id
    )
    if not same:
        raise bad_request("The idempotency token belongs to another job's run.")
    return known["run_id"]


def _first_life(change: Transition, order: RunOrder, settings: dict) -> str:
    limit = settings.get("max_concurrent_runs", 1)
    if change.active_runs(order.job_id) < limit:
        return "PENDING"
    queueing = order.request.get("queue") or settings.get("queue") or {}
    return "QUEUED" if queueing.get("enabled") and limit > 0 else "SKIPPED"


def _skip(change: Transition, run_id: int) -> None:
    result = "MAXIMUM_CONCURRENT_RUNS_REACHED"
    text = "Skipped: the job has reached its maximum number of concurrent runs."
    change.db.execute(
        "UPDATE task_runs SET life_cycle = 'SKIPPED', result = ?, message = ?, end_ms = ?"
        " WHERE parent_run_id = ?",
        (result, text, now_ms(), run_id),
    )
    change.end_run(change.run(run_id), Outcome(result, text), "SKIPPED")


def start_child(change: Transition, attempt_id: int, called: dict, handed: dict[str, str]) -> None:
    """Start the job that a run_job_task names. ``called``: the task with its references filled.

    ``handed``: the job's own parameters; the started job gets those that it declares. The attempt
    ends with the run; at once, as failed, when that cannot be started.
    """
    attempt = change.claim(attempt_id)
    if attempt is None:
        return
    job_id = called["job_id"]
    try:
        _refuse_ancestors(change, attempt, job_id)
        settings = job_settings(change.db, job_id)
        declared = {item["name"] for item in settings.get("parameters") or []}
        fitting = {name: text for name, text in handed.items() if name in declared}
        request = {"job_parameters": (called.get("job_parameters") or {}) | fitting}
        request |= {name: called[name] for name in PARAMETERS if name in called}
        creator = change.run(attempt["parent_run_id"])["creator"]
        order = RunOrder(
            job_id, creator, request, cause="RUN_JOB_TASK", parent_task_run_id=attempt_id
        )
        create_run(change, order)
    except ApiError as error:
        text = error.message
        change.end_attempt(
            attempt_id, Outcome("FAILED", text, text, code="INVALID_RUN_CONFIGURATION"), final=True
        )


def _refuse_ancestors(change: Transition, attempt: sqlite3.Row, job_id: int) -> None:
    """Raise ApiError when the job is one of those that led to this attempt."""
    run = change.run(attempt["parent_run_id"])
    while True:
        if run["job_id"] == job_id:
            raise bad_request(f"run_job_task: job {job_id} would start itself.")
        if run["parent_task_run_id"] is None:
            return
        run = change.run(change.attempt(run["parent_task_run_id"])["parent_run_id"])


def repair_run(change: Transition, run_id: int, asked: dict) -> int:
    """Run tasks of an ended run again, with the present settings of its job. Returns the repair.

    ``asked``: the body of runs/repair. Raises ApiError 400, also while the run is active.
    """
    run = change.run(run_id)
    if run["end_ms"] is None or run["life_cycle"] == "SKIPPED":
        text = f"Run {run_id} cannot be repaired: it is {run['life_cycle']}."
        raise ApiError(400, "INVALID_STATE", text)
    past = [row["repair_id"] for row in change.db.execute(
        "SELECT repair_id FROM repairs WHERE run_id = ? AND type = 'REPAIR' ORDER BY repair_id",
        (run_id,),
    )]  # fmt: skip
    if past and asked.get("latest_repair_id") != past[-1]:
        raise bad_request(f"latest_repair_id must be the latest repair of the run: {past[-1]}.")
    if not past and asked.get("latest_repair_id"):
        raise bad_request("latest_repair_id: the run has not been repaired yet.")
    one_time = run["kind"] == "SUBMIT_RUN"
    settings = settings_of(run) if one_time else job_settings(change.db, run["job_id"])
    request = request_of(run)
    given = {name: asked[name] for name in PARAMETERS if name in asked}
    given["job_parameters"] = (request.get("job_parameters") or {}) | (
        asked.get("job_parameters") or {}
    )
    check_parameters(given, settings)
    latest = change.latest(run_id)
    again = _to_repeat(asked, settings, latest)
    repair_id = _next_round(change, run)
    change.db.execute(
        "UPDATE runs SET settings = ?, request = ?, life_cycle = 'PENDING', result = NULL,"
        " message = '', code = NULL, stop_reason = NULL, end_ms = NULL WHERE run_id = ?",
        (json.dumps(settings), json.dumps(request | given), run_id),
    )
    for task in settings["tasks"]:
        if task["task_key"] in again:
            change.add_attempt(run_id, task, latest.get(task["task_key"]), repair_id)
    change.begin(run_id)
    return repair_id


def _to_repeat(asked: dict, settings: dict, latest: dict[str, sqlite3.Row]) -> set[str]:
    tasks = {task["task_key"]: task for task in settings["tasks"]}
    named = set(asked.get("rerun_tasks") or [])
    if bool(named) == bool(asked.get("rerun_all_failed_tasks")):
        raise bad_request("Exactly one of rerun_tasks and rerun_all_failed_tasks must be given.")
    if named - tasks.keys():
        raise bad_request(f"rerun_tasks: there are no tasks {sorted(named - tasks.keys())}.")
    if not named:
        named = {key for key in tasks if key in latest and latest[key]["result"] in graph.BAD}
        if not named:
            raise bad_request("rerun_all_failed_tasks: no task of the run has failed.")
    if asked.get("rerun_dependent_tasks"):
        needs = {key: set(graph.dependencies(task)) for key, task in tasks.items()}
        named |= graph.after(named, needs)
    return named


def _next_round(change: Transition, run: sqlite3.Row) -> int:
    """Close the record of the run as it ended and open one for the repair."""
    run_id, state = run["run_id"], (
        run["end_ms"], run["life_cycle"], run["result"], run["message"], run["code"],
    )  # fmt: skip
    closed = change.db.execute(
        "UPDATE repairs SET end_ms = ?, life_cycle = ?, result = ?, message = ?, code = ?"
        " WHERE run_id = ? AND end_ms IS NULL",
        (*state, run_id),
    ).rowcount
    if not closed:
        change.db.execute(
            "INSERT INTO repairs (repair_id, run_id, type, start_ms, end_ms, life_cycle, result,"
            " message, code) VALUES (?, ?, 'ORIGINAL', ?, ?, ?, ?, ?, ?)",
            (new_id(change.db), run_id, run["start_ms"], *state),
        )
    repair_id = new_id(change.db)
    change.db.execute(
        "INSERT INTO repairs (repair_id, run_id, type, start_ms) VALUES (?, ?, 'REPAIR', ?)",
        (repair_id, run_id, now_ms()),
    )
    return repair_id
