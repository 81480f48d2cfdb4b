"""The HTML page of one run: what a person looks at to see how it goes and why it failed."""

from __future__ import annotations

from collections.abc import Callable

from ..pages.html import Html, facts, join, link, page, seconds, section, state, table, tag, time

# Bytes of each output stream of a task; the rest is had from runs/get-output.
LOG_TAIL = 100_000
# Of a run with many tasks only the failed ones and the first ones show their logs.
MOST_LOGS = 50
SHORT_LOG = 4000
REFRESH_SECONDS = 3

# Returns (error text, logs, whether logs were cut) of a task run.
Output = Callable[[int], tuple[str, str, bool]]


def render(view: dict, tasks: list[dict], history: list[dict], output: Output) -> Html:
    """The page for the view of a run with all its task runs and repairs."""
    title = f"{view['run_name']} · run {view['run_id']}"
    return page(
        title,
        tag("header", tag("h1", title)),
        tag("p", _state(view), " ", view["state"]["state_message"]),
        _facts(view),
        _task_table(tasks),
        _repairs(history),
        *_details(tasks, output),
    )


def _facts(view: dict) -> Html:
    pairs: list[tuple[str, object]] = [
        ("Job", view["job_id"]),
        ("Started", join((time(view["start_time"]), f" UTC by {view['creator_user_name']}"))),
        ("Cause", view["trigger"]),
    ]
    if view["end_time"]:
        ran = f" UTC, ran {seconds(view['run_duration'])}"
        pairs.append(("Ended", join((time(view["end_time"]), ran))))
    for parameter in view.get("job_parameters", []):
        pairs.append((f"Parameter {parameter['name']}", parameter["value"]))
    pairs += view.get("overriding_parameters", {}).items()
    return facts(pairs)


def _task_table(tasks: list[dict]) -> Html:
    columns = [("Task", ""), ("Attempt", "figure"), ("State", ""), ("After", "wide"),
               ("Started", "time wide"), ("Time", "figure"), ("Run id", "figure")]  # fmt: skip
    keys = list(dict.fromkeys(task["task_key"] for task in tasks))
    # The attempts of a task stand together, tasks in the order in which they were made.
    ordered = sorted(tasks, key=lambda task: keys.index(task["task_key"]))
    return section("tasks", "Tasks", table(columns, map(_task_row, ordered)))


def _task_row(task: dict) -> list[object]:
    after = ", ".join(item["task_key"] for item in task.get("depends_on", []))
    if task["run_if"] != "ALL_SUCCESS":
        after += f" ({task['run_if']})"
    begun = task["start_time"]
    return [
        link(f"#task-{task['run_id']}", task["task_key"]) if begun else task["task_key"],
        task["attempt_number"] + 1,
        _state(task),
        after,
        time(begun),
        seconds(task["execution_duration"]) if begun and task["end_time"] else "",
        task["run_id"],
    ]


def _repairs(history: list[dict]) -> Html:
    if len(history) < 2:
        return Html("")
    columns = [("Repair", ""), ("State", ""), ("Started", "time"), ("Task runs", "figure")]
    rows = (
        [
            f"{item['type']} {item.get('id', '')}",
            _state(item),
            time(item["start_time"]),
            len(item["task_run_ids"]),
        ]
        for item in history
    )
    return section("repairs", "Repairs", table(columns, rows))


def _details(tasks: list[dict], output: Output) -> list[Html]:
    begun = [task for task in tasks if task["start_time"] or _failed(task)]
    begun.sort(key=lambda task: not _failed(task))
    shown = {task["run_id"] for task in begun[:MOST_LOGS]}
    parts = [_detail(task, output) for task in tasks if task["run_id"] in shown]
    if len(begun) > len(shown):
        parts.append(tag("p", f"{len(begun) - len(shown)} more task runs: see runs/get-output."))
    return parts


def _detail(task: dict, output: Output) -> Html:
    error, logs, cut = output(task["run_id"])
    attempt = f", attempt {task['attempt_number'] + 1}" if task["attempt_number"] else ""
    opened = not error and (not task["end_time"] or len(logs) < SHORT_LOG)
    content = (
        tag("p", _state(task), " ", task["state"]["state_message"]),
        tag("pre", error, class_="bad") if error else "",
        tag(
            "details",
            tag("summary", "the end of the log" if cut else "log"),
            tag("pre", logs or "(no output)"),
            open="open" if opened else None,
        ),
    )
    return section(f"task-{task['run_id']}", task["task_key"] + attempt, join(content))


def _failed(task: dict) -> bool:
    return task["state"].get("result_state") in ("FAILED", "TIMEDOUT")


def _state(view: dict) -> Html:
    return state(view["state"].get("result_state") or view["state"]["life_cycle_state"])
