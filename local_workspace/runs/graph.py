"""The rules of a run's graph: which task may run, and what its results make of the run.

Pure functions over results of tasks: SUCCESS, FAILED, TIMEDOUT, CANCELED, EXCLUDED,
UPSTREAM_FAILED, UPSTREAM_CANCELED; None while a task has not ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..errors import bad_request

FAILED = ("FAILED", "TIMEDOUT", "UPSTREAM_FAILED")
CANCELED = ("CANCELED", "UPSTREAM_CANCELED")
BAD = FAILED + CANCELED
RUN = "RUN"


def dependencies(task: dict) -> list[str]:
    return [item["task_key"] for item in task.get("depends_on") or []]


def refuse_cycles(graph: Mapping[str, list[str]]) -> None:
    open_tasks = dict(graph)
    while open_tasks:
        ready = [key for key, needs in open_tasks.items() if not set(needs) & open_tasks.keys()]
        if not ready:
            raise bad_request(f"tasks: depends_on goes round in a circle: {sorted(open_tasks)}.")
        for key in ready:
            del open_tasks[key]


def chosen(tasks: list[dict], only: list[str] | None) -> set[str]:
    """The keys that a run is asked for; ``+key`` adds what comes before, ``key+`` what after.

    Raises ApiError 400 for a key that is no task.
    """
    needs = {task["task_key"]: set(dependencies(task)) for task in tasks}
    if only is None:
        return set(needs)
    found: set[str] = set()
    for text in only:
        key = text.removeprefix("+").removesuffix("+")
        if key not in needs:
            raise bad_request(f"only: there is no task {key!r}.")
        found.add(key)
        if text.startswith("+"):
            found |= _reach(key, needs)
        if text.endswith("+"):
            found |= after({key}, needs)
    return found


def after(keys: set[str], needs: Mapping[str, set[str]]) -> set[str]:
    """The tasks that depend on ``keys``, directly or not."""
    followers: dict[str, set[str]] = {key: set() for key in needs}
    for key, wanted in needs.items():
        for other in wanted:
            followers[other].add(key)
    return set().union(*(_reach(key, followers) for key in keys)) - keys


def _reach(start: str, edges: Mapping[str, set[str]]) -> set[str]:
    found: set[str] = set()
    waiting = set(edges[start])
    while waiting:
        key = waiting.pop()
        if key not in found:
            found.add(key)
            waiting |= edges[key]
    return found


def decide(run_if: str, results: Iterable[str | None]) -> str | None:
    """What becomes of a task: None (wait), RUN, or the result of a task that does not run.

    An excluded task counts as a success for those after it, unless all before them are excluded.
    """
    results = list(results)
    if any(result is None for result in results):
        return None
    if not results:
        return RUN
    if all(result == "EXCLUDED" for result in results):
        return "EXCLUDED"
    bad = [result for result in results if result in BAD]
    met = {
        "ALL_SUCCESS": not bad,
        "NONE_FAILED": not bad,
        "ALL_DONE": True,
        "AT_LEAST_ONE_SUCCESS": len(bad) < len(results),
        "AT_LEAST_ONE_FAILED": bool(bad),
        "ALL_FAILED": len(bad) == len(results),
    }
    if met[run_if]:
        return RUN
    if run_if in ("AT_LEAST_ONE_FAILED", "ALL_FAILED"):
        return "EXCLUDED"
    return "UPSTREAM_FAILED" if any(result in FAILED for result in bad) else "UPSTREAM_CANCELED"


def outcome(needs: Mapping[str, Iterable[str]], results: Mapping[str, str]) -> str:
    """The result of a run whose tasks have all ended: its leaves decide.

    A failure that a later task made good leaves SUCCESS_WITH_FAILURES.
    """
    inner = {other for wanted in needs.values() for other in wanted}
    leaves = [results[key] for key in results if key not in inner]
    if any(result in FAILED for result in leaves):
        return "FAILED"
    if any(result in CANCELED for result in leaves):
        return "CANCELED"
    if any(result in BAD for result in results.values()):
        return "SUCCESS_WITH_FAILURES"
    return "SUCCESS"
