"""Dynamic value references in the parameters of tasks: ``{{job.parameters.day}}`` and the like.

A reference is a dotted path in double braces; a part with other characters than letters, digits,
``_`` and ``-`` stands in back quotes. Braces around anything else are plain text, as with the
service; a path that begins with a known name and leads nowhere is an error.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator, Mapping

from ..errors import bad_request, not_computed

_REFERENCE = re.compile(
    r"\{\{\s*((?:[A-Za-z0-9_-]+|`[^`]*`)(?:\.(?:[A-Za-z0-9_-]+|`[^`]*`))*)\s*\}\}"
)
_PART = re.compile(r"`([^`]*)`|([A-Za-z0-9_-]+)")
_ROOTS = ("job", "task", "tasks", "workspace", "input", "backfill")
_OLD = ("job_id", "run_id", "start_date", "start_time", "task_key", "task_retry_count",
        "parent_run_id", "task_type")  # fmt: skip
_TIMES = ("iso_date", "iso_datetime", "iso_weekday", "is_weekday", "timestamp_ms", "year",
          "month", "day", "hour", "minute", "second")  # fmt: skip
_OF_JOB = {("job", "id"), ("job", "name"), ("job", "run_id"), ("job", "repair_count"),
           ("job", "trigger", "type"), ("workspace", "id"), ("workspace", "url"),
           *(("job", "start_time", name) for name in _TIMES)}  # fmt: skip
_OF_TASK = {("task", "name"), ("task", "run_id"), ("task", "execution_count")}
_OF_OTHER_TASK = ("run_id", "result_state", "execution_count")

Path = tuple[str, ...]


def parts(reference: str) -> Path:
    return tuple(quoted or plain for quoted, plain in _PART.findall(reference))


def check(value: object, settings: dict, in_task: bool = True) -> None:
    """Raise ApiError for a reference in ``value`` that a run of ``settings`` could not fill.

    ``value`` is JSON; ``in_task`` is False for what is resolved once for the whole run.
    """
    parameters = {item["name"] for item in settings.get("parameters") or []}
    keys = {task["task_key"] for task in settings.get("tasks") or []}
    for text in _texts(value):
        for match in _REFERENCE.finditer(text):
            path = parts(match[1])
            if not _known(path, parameters if in_task else set(), keys, in_task):
                raise bad_request(f"{match[0]} refers to nothing that this job has.")


def _known(path: Path, parameters: set[str], keys: set[str], in_task: bool) -> bool:
    if len(path) == 1 and path[0] in _OLD:
        raise not_computed(f"The reference {{{{{path[0]}}}}}")
    if path[0] not in _ROOTS or path in _OF_JOB:
        return True
    if path[0] in ("input", "backfill") or path[:2] == ("job", "trigger"):
        raise not_computed(f"The reference {{{{{'.'.join(path)}}}}}")
    if path[:2] == ("job", "parameters"):
        return len(path) == 3 and path[2] in parameters
    if path[0] == "tasks" and len(path) > 2 and path[1] in keys:
        if path[2] in ("values", "output", "error_code"):
            raise not_computed(f"The reference {{{{{'.'.join(path)}}}}}")
        return in_task and len(path) == 3 and path[2] in _OF_OTHER_TASK
    return in_task and path in _OF_TASK


def fill(value: object, values: Mapping[Path, str]) -> object:
    """The same JSON with the references in its texts replaced; unknown ones stay as they are."""
    return _mapped(value, lambda text: _REFERENCE.sub(
        lambda match: values.get(parts(match[1]), match[0]), text
    ))  # fmt: skip


def start_times(start_ms: int) -> dict[Path, str]:
    """The values of ``job.start_time``, in UTC."""
    moment = dt.datetime.fromtimestamp(start_ms / 1000, dt.UTC)
    weekday = moment.isoweekday()
    texts = {
        "iso_date": moment.date().isoformat(),
        "iso_datetime": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "iso_weekday": str(weekday),
        "is_weekday": str(weekday < 6).lower(),
        "timestamp_ms": str(start_ms),
    }
    for name in ("year", "month", "day", "hour", "minute", "second"):
        texts[name] = str(getattr(moment, name))
    return {("job", "start_time", name): text for name, text in texts.items()}


def of_task(key: str, run_id: int, attempt: int) -> dict[Path, str]:
    """The values of ``task`` for the attempt that is about to run (the first is 0)."""
    return {
        ("task", "name"): key,
        ("task", "run_id"): str(run_id),
        ("task", "execution_count"): str(attempt + 1),
    }


def of_other_task(key: str, run_id: int, attempt: int, result: str | None) -> dict[Path, str]:
    """The values of ``tasks.<key>``; the result is in lower case, as the service gives it."""
    values = {"run_id": str(run_id), "execution_count": str(attempt + 1)}
    if result:
        values["result_state"] = result.lower()
    return {("tasks", key, name): text for name, text in values.items()}


def _texts(value: object) -> Iterator[str]:
    found: list[str] = []
    _mapped(value, lambda text: found.append(text) or text)
    return iter(found)


def _mapped(value: object, change: Callable[[str], str]) -> object:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_mapped(item, change) for item in value]
    if isinstance(value, dict):
        return {name: _mapped(item, change) for name, item in value.items()}
    return value
