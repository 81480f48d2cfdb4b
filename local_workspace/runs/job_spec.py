"""Job settings: what is accepted, what is refused by name, and what a run makes of them."""

from __future__ import annotations

import re

from ..errors import bad_request, not_computed

TASK_KINDS = ("python_wheel_task", "spark_python_task")
_OTHER_KINDS = (
    "notebook_task", "spark_jar_task", "spark_submit_task", "pipeline_task", "sql_task",
    "dbt_task", "run_job_task", "condition_task", "for_each_task", "clean_rooms_notebook_task",
    "dashboard_task", "power_bi_task", "gen_ai_compute_task",
)  # fmt: skip
_KEY = re.compile(r"[A-Za-z0-9_-]{1,100}$")
_REFERENCE = re.compile(r"\{\{\s*([A-Za-z0-9_.]+)\s*\}\}")


def check_settings(settings: dict) -> dict:
    """Validate job settings as a client sent them. Returns them unchanged.

    Raises ApiError 400 for what is wrong and 501, by name, for what is not computed here.
    """
    tasks = settings.get("tasks")
    if not isinstance(tasks, list) or not tasks:
        raise bad_request("tasks: a job needs at least one task.")
    schedule = settings.get("schedule") or settings.get("trigger") or settings.get("continuous")
    if schedule and schedule.get("pause_status") != "PAUSED":
        raise not_computed("A schedule, trigger or continuous run that is not PAUSED")
    _whole(settings, "max_concurrent_runs", 0)
    _whole(settings, "timeout_seconds", 0)
    keys = [_check_task(task, settings) for task in tasks]
    if len(set(keys)) != len(keys):
        raise bad_request("tasks: a task_key is used twice.")
    for task in tasks:
        for other in dependencies(task):
            if other not in keys:
                raise bad_request(f"tasks: {task['task_key']} depends on unknown task {other!r}.")
    _refuse_cycles({task["task_key"]: dependencies(task) for task in tasks})
    return settings


def _check_task(task: object, settings: dict) -> str:
    if not isinstance(task, dict) or not _KEY.match(str(task.get("task_key", ""))):
        raise bad_request("tasks: task_key must be 1 to 100 letters, digits, '_' or '-'.")
    key = task["task_key"]
    for kind in _OTHER_KINDS:
        if kind in task:
            raise not_computed(f"Task kind {kind} (task {key})")
    kinds = [kind for kind in TASK_KINDS if isinstance(task.get(kind), dict)]
    if len(kinds) != 1:
        raise bad_request(f"Task {key} needs exactly one of {', '.join(TASK_KINDS)}.")
    if kinds == ["python_wheel_task"]:
        for name in ("package_name", "entry_point"):
            if not task["python_wheel_task"].get(name):
                raise bad_request(f"Task {key}: python_wheel_task.{name} is missing.")
    elif not task["spark_python_task"].get("python_file"):
        raise bad_request(f"Task {key}: spark_python_task.python_file is missing.")
    if task.get("run_if", "ALL_SUCCESS") != "ALL_SUCCESS":
        raise not_computed(f"run_if {task['run_if']} (task {key})")
    if task.get("max_retries"):
        raise not_computed(f"max_retries (task {key})")
    _whole(task, "timeout_seconds", 0)
    wheels(task, settings)
    return key


def wheels(task: dict, settings: dict) -> list[str]:
    """Paths of the wheels that a task asks for, in ``libraries`` or its environment."""
    found = []
    for library in task.get("libraries") or []:
        if not isinstance(library, dict) or set(library) != {"whl"}:
            raise not_computed(f"A library that is no wheel: {library}")
        found.append(library["whl"])
    key = task.get("environment_key")
    for environment in (settings.get("environments") or []) if key else []:
        if environment.get("environment_key") == key:
            for dependency in (environment.get("spec") or {}).get("dependencies") or []:
                if not str(dependency).endswith(".whl"):
                    raise not_computed(f"A dependency that is no wheel: {dependency}")
                found.append(dependency)
    return found


def dependencies(task: dict) -> list[str]:
    return [str(item.get("task_key")) for item in task.get("depends_on") or []]


def _whole(settings: dict, name: str, least: int) -> None:
    value = settings.get(name, least)
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise bad_request(f"{name} must be a whole number of at least {least}.")


def _refuse_cycles(graph: dict[str, list[str]]) -> None:
    open_tasks = dict(graph)
    while open_tasks:
        ready = [key for key, needs in open_tasks.items() if not set(needs) & open_tasks.keys()]
        if not ready:
            raise bad_request(f"tasks: depends_on goes round in a circle: {sorted(open_tasks)}.")
        for key in ready:
            del open_tasks[key]


def with_defaults(settings: dict) -> dict:
    """Settings as the service shows them: with the defaults that it adds on read."""
    shown = {
        "email_notifications": {},
        "webhook_notifications": {},
        "timeout_seconds": 0,
        "max_concurrent_runs": 1,
        "format": "MULTI_TASK",
    } | settings
    shown["tasks"] = [
        {"run_if": "ALL_SUCCESS", "timeout_seconds": 0, "email_notifications": {}} | task
        for task in settings["tasks"]
    ]
    return shown


def job_parameters(settings: dict, request: dict) -> dict[str, str]:
    """Values of the job's parameters for one run: defaults, overlaid by the request.

    Raises ApiError 400 for a parameter that the job does not declare.
    """
    values = {p["name"]: str(p.get("default", "")) for p in settings.get("parameters") or []}
    for name, value in (request.get("job_parameters") or {}).items():
        if name not in values:
            raise bad_request(f"job_parameters: the job has no parameter {name!r}.")
        values[name] = str(value)
    return values


def arguments(task: dict, request: dict, references: dict[str, str]) -> list[str]:
    """The command line of a task; ``{{job.parameters.x}}`` and the like are filled in."""
    kind = next(kind for kind in TASK_KINDS if kind in task)
    given = task[kind]
    listed = request.get("python_params")
    named = request.get("python_named_params") if kind == "python_wheel_task" else None
    listed = given.get("parameters") or [] if listed is None else listed
    named = given.get("named_parameters") or {} if named is None else named
    texts = [str(item) for item in listed] + [f"--{name}={value}" for name, value in named.items()]
    return [_REFERENCE.sub(lambda m: references.get(m.group(1), m.group(0)), t) for t in texts]
