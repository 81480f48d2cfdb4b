"""Job settings: what is refused, by name, and what a run makes of them."""

from __future__ import annotations

import datetime as dt
import json

from ..errors import bad_request, not_computed
from . import quartz, references
from .graph import dependencies, refuse_cycles

TASK_KINDS = (
    "python_wheel_task", "spark_python_task", "sql_task", "pipeline_task", "run_job_task",
)  # fmt: skip
PARAMETERS = (
    "python_params", "python_named_params", "sql_params", "pipeline_params",
)  # fmt: skip
_OTHER_PARAMETERS = ("notebook_params", "jar_params", "spark_submit_params", "dbt_commands")
_KEYS_OF_LISTS = {"tasks": "task_key", "job_clusters": "job_cluster_key",
                  "environments": "environment_key", "parameters": "name"}  # fmt: skip


def check_settings(settings: dict) -> dict:
    """Check the settings of a job or of a one-time run. Returns them unchanged.

    Raises ApiError 400 for what is wrong and 501, by name, for what is not computed here.
    """
    storable(settings)
    tasks = settings.get("tasks") or []
    if settings.get("git_source"):
        raise not_computed("git_source")
    for name in ("trigger", "continuous"):
        if settings.get(name) and settings[name].get("pause_status") != "PAUSED":
            raise not_computed(f"{name} that is not PAUSED")
    for field, key in _KEYS_OF_LISTS.items():
        named = [item[key] for item in settings.get(field) or []]
        if len(set(named)) != len(named):
            raise bad_request(f"{field}: a {key} is used twice.")
    references.check(settings.get("parameters") or [], settings, in_task=False)
    keys = {task["task_key"] for task in tasks}
    for task in tasks:
        _check_task(task, settings)
        for other in dependencies(task):
            if other not in keys:
                raise bad_request(f"tasks: {task['task_key']} depends on unknown task {other!r}.")
    refuse_cycles({task["task_key"]: dependencies(task) for task in tasks})
    if settings.get("schedule"):
        next_firing(settings["schedule"], dt.datetime.now(dt.UTC))
    return settings


def storable(body: dict) -> None:
    """Raise ApiError 400 for JSON that could not be sent back: NaN, half characters, depth."""
    try:
        json.dumps(body, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise bad_request(f"The body cannot be kept: {type(error).__name__}.") from error


def _check_task(task: dict, settings: dict) -> None:
    key = task["task_key"]
    for name in task:
        if name.endswith("_task") and name not in TASK_KINDS:
            raise not_computed(f"Task kind {name} (task {key})")
    kinds = [kind for kind in TASK_KINDS if kind in task]
    if len(kinds) != 1:
        raise bad_request(f"Task {key} needs exactly one of {', '.join(TASK_KINDS)}.")
    given = task[kinds[0]]
    if task.get("disabled"):
        raise not_computed(f"disabled (task {key})")
    if any(item.get("outcome") for item in task.get("depends_on") or []):
        raise not_computed(f"depends_on.outcome (task {key})")
    if "GIT" in (given.get("source"), (given.get("file") or {}).get("source")):
        raise not_computed(f"source GIT (task {key})")
    if kinds[0] == "sql_task" and "file" not in given:
        other = next((name for name in ("query", "alert", "dashboard") if name in given), None)
        if other:
            raise not_computed(f"sql_task.{other} (task {key})")
        raise bad_request(f"Task {key}: sql_task.file is missing.")
    references.check(given, settings)
    wheels(task, settings)


def wheels(task: dict, settings: dict) -> list[str]:
    """Paths of the wheels that a task asks for, in ``libraries`` or its environment."""
    found = []
    for library in task.get("libraries") or []:
        if set(library) != {"whl"}:
            raise not_computed(f"A library that is no wheel: {sorted(library)}")
        found.append(library["whl"])
    key = task.get("environment_key")
    for environment in (settings.get("environments") or []) if key else []:
        if environment["environment_key"] == key:
            for dependency in (environment.get("spec") or {}).get("dependencies") or []:
                if not dependency.endswith(".whl"):
                    raise not_computed(f"A dependency that is no wheel: {dependency}")
                found.append(dependency)
    return found


def next_firing(schedule: dict, after: dt.datetime) -> int | None:
    """Milliseconds since the epoch of the next firing of a schedule; None if it is paused.

    Raises ApiError 400 for a schedule that is wrong or never fires, 501 for what is not computed.
    """
    try:
        parsed = quartz.parse(schedule["quartz_cron_expression"], schedule["timezone_id"])
    except quartz.QuartzNotComputed as error:
        raise not_computed(str(error)) from error
    except quartz.QuartzError as error:
        raise bad_request(f"schedule: {error}") from error
    firing = parsed.after(after)
    if schedule.get("pause_status") == "PAUSED":
        return None
    if firing is None:
        raise bad_request("schedule: this schedule never fires.")
    return int(firing.timestamp() * 1000)


def merged(settings: dict, new: dict, remove: list[str]) -> dict:
    """The settings after jobs/update: ``new`` replaces fields, and adds to keyed lists by key.

    ``remove`` names fields, or one task or cluster as ``tasks/KEY``.
    """
    result = settings | new
    for field, key in _KEYS_OF_LISTS.items():
        if field in new and field in settings:
            items = {item[key]: item for item in settings[field]}
            result[field] = list((items | {item[key]: item for item in new[field]}).values())
    for path in remove:
        field, slash, name = path.partition("/")
        if slash and field not in ("tasks", "job_clusters"):
            raise bad_request(f"fields_to_remove: {path!r} lies inside of a field.")
        if not slash:
            result.pop(field, None)
        elif field in result:
            key = _KEYS_OF_LISTS[field]
            result[field] = [item for item in result[field] if item[key] != name]
    return result


def with_defaults(settings: dict) -> dict:
    """Settings as the service shows them: with the defaults that it adds on read."""
    shown = {
        "email_notifications": {},
        "webhook_notifications": {},
        "timeout_seconds": 0,
        "max_concurrent_runs": 1,
    } | settings
    shown["format"] = "MULTI_TASK"
    if settings.get("schedule"):
        shown["schedule"] = {"pause_status": "UNPAUSED"} | settings["schedule"]
    if "tasks" in settings:
        shown["tasks"] = [task_with_defaults(task) for task in settings["tasks"]]
    return shown


def task_with_defaults(task: dict) -> dict:
    shown = {
        "run_if": "ALL_SUCCESS",
        "timeout_seconds": 0,
        "email_notifications": {},
        "webhook_notifications": {},
    } | task
    if task.get("depends_on"):
        shown["depends_on"] = sorted(task["depends_on"], key=lambda item: item["task_key"])
    if (task.get("sql_task") or {}).get("file"):
        file = {"source": "WORKSPACE"} | task["sql_task"]["file"]
        shown["sql_task"] = task["sql_task"] | {"file": file}
    elif task.get("spark_python_task"):
        shown["spark_python_task"] = {"source": "WORKSPACE"} | task["spark_python_task"]
    return shown


def kind_of(task: dict) -> str:
    return next(kind for kind in TASK_KINDS if kind in task)


def check_parameters(request: dict, settings: dict) -> None:
    """Raise ApiError for parameters of a run that its job does not have or that nothing reads."""
    storable(request)
    for name in _OTHER_PARAMETERS:
        if request.get(name):
            raise not_computed(name)
    declared = {item["name"] for item in settings.get("parameters") or []}
    for name in request.get("job_parameters") or {}:
        if name not in declared:
            raise bad_request(f"job_parameters: the job has no parameter {name!r}.")


def job_parameters(settings: dict, request: dict) -> dict[str, str]:
    """The values of the job's parameters for one run: defaults, overlaid by the request."""
    values = {item["name"]: item.get("default", "") for item in settings.get("parameters") or []}
    given = request.get("job_parameters") or {}
    return values | {name: text for name, text in given.items() if name in values}


def check_no_job_loop(job_id: int, settings: dict, settings_of) -> None:
    """Raise ApiError 400 when run_job_task would lead a job back to itself.

    ``settings_of`` maps a job id to its settings, or None when there is no such job.
    """
    seen: set[int] = set()
    waiting = _called_jobs(settings)
    while waiting:
        called = waiting.pop()
        if called == job_id:
            raise bad_request(f"run_job_task: job {job_id} would start itself.")
        if called not in seen:
            seen.add(called)
            waiting |= _called_jobs(settings_of(called) or {})


def _called_jobs(settings: dict) -> set[int]:
    tasks = settings.get("tasks") or []
    return {task["run_job_task"]["job_id"] for task in tasks if "run_job_task" in task}
