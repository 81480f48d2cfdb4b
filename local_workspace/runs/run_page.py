"""The HTML page of one run: what a person looks at to see how it goes and why it failed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from html import escape

# Bytes of each output stream of a task; the rest is had from runs/get-output.
LOG_TAIL = 100_000
# Of a run with many tasks only the failed ones and the first ones show their logs.
MOST_LOGS = 50
REFRESH_SECONDS = 3

_STYLE = """
:root{color-scheme:light dark;--line:#8884;--soft:#8881}
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:66rem;padding:0 1rem}
h1{font-size:1.5rem;margin:0 0 .3rem}h2{font-size:1.15rem;margin:1.8rem 0 .4rem}
table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;
padding:.35rem .8rem .35rem 0;border-bottom:1px solid var(--line)}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1.2rem;margin:.8rem 0}
dt{opacity:.7}dd{margin:0}pre{background:var(--soft);padding:.8rem;overflow:auto;
max-height:24rem;white-space:pre-wrap;overflow-wrap:anywhere}summary{cursor:pointer}
.state{border-radius:.3rem;padding:.05rem .5rem;background:var(--soft);font-weight:600;
white-space:nowrap}
.SUCCESS{color:#0a7a45}.FAILED,.TIMEDOUT,.UPSTREAM_FAILED,.INTERNAL_ERROR{color:#c5352b}
.CANCELED,.SKIPPED,.UPSTREAM_CANCELED,.EXCLUDED{color:#96700a}.RUNNING,.PENDING{color:#2a6fc4}
.error{border-left:3px solid #c5352b}
"""

# Returns (error text, logs, whether logs were cut) of a task run.
Output = Callable[[int], tuple[str, str, bool]]


def render(view: dict, tasks: list[dict], history: list[dict], output: Output) -> str:
    """The page for the view of a run with all its task runs and repairs."""
    title = escape(f"{view['run_name']} · run {view['run_id']}")
    refresh = "" if view["end_time"] else f"<meta http-equiv='refresh' content='{REFRESH_SECONDS}'>"
    message = escape(view["state"]["state_message"])
    return (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{title}</title>"
        f"<meta name='viewport' content='width=device-width'>{refresh}<style>{_STYLE}</style>"
        f"</head><body><h1>{title}</h1><p>{_state(view['state'])} {message}</p>"
        f"{_facts(view)}{_task_table(tasks)}{_repairs(history)}"
        f"{''.join(_details(tasks, output))}</body></html>"
    )


def _facts(view: dict) -> str:
    facts = [
        ("Job", str(view["job_id"])),
        ("Started", f"{_time(view['start_time'])} by {view['creator_user_name']}"),
        ("Cause", view["trigger"]),
    ]
    if view["end_time"]:
        facts.append(("Ended", f"{_time(view['end_time'])}, ran {_seconds(view['run_duration'])}"))
    for parameter in view.get("job_parameters", []):
        facts.append((f"Parameter {parameter['name']}", parameter["value"]))
    for name, value in view.get("overriding_parameters", {}).items():
        facts.append((name, str(value)))
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in facts)
    return f"<dl>{rows}</dl>"


def _task_table(tasks: list[dict]) -> str:
    keys = list(dict.fromkeys(task["task_key"] for task in tasks))
    # The attempts of a task stand together, tasks in the order in which they were made.
    ordered = sorted(tasks, key=lambda task: keys.index(task["task_key"]))
    rows = "".join(_task_row(task) for task in ordered)
    return (
        "<h2>Tasks</h2><table><thead><tr><th>Task</th><th>Attempt</th><th>State</th>"
        "<th>After</th><th>Started</th><th>Time</th><th>Run id</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>"
    )


def _task_row(task: dict) -> str:
    after = ", ".join(item["task_key"] for item in task.get("depends_on", []))
    if task.get("run_if", "ALL_SUCCESS") != "ALL_SUCCESS":
        after += f" ({task['run_if']})"
    name = escape(task["task_key"])
    cells = [
        f"<a href='#task-{task['run_id']}'>{name}</a>" if task["start_time"] else name,
        str(task["attempt_number"] + 1),
        _state(task["state"]),
        escape(after),
        _time(task["start_time"]),
        _seconds(task["execution_duration"]) if task["execution_duration"] else "",
        str(task["run_id"]),
    ]
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _repairs(history: list[dict]) -> str:
    if len(history) < 2:
        return ""
    rows = "".join(
        f"<tr><td>{escape(item['type'])} {item.get('id', '')}</td><td>{_state(item['state'])}</td>"
        f"<td>{_time(item['start_time'])}</td><td>tasks run: {len(item['task_run_ids'])}</td></tr>"
        for item in history
    )
    return f"<h2>Repairs</h2><table><tbody>{rows}</tbody></table>"


def _details(tasks: list[dict], output: Output) -> list[str]:
    begun = [task for task in tasks if task["start_time"] or _failed(task)]
    begun.sort(key=lambda task: not _failed(task))
    shown = {task["run_id"] for task in begun[:MOST_LOGS]}
    parts = [_detail(task, output) for task in tasks if task["run_id"] in shown]
    if len(begun) > len(shown):
        parts.append(f"<p>{len(begun) - len(shown)} more task runs: see runs/get-output.</p>")
    return parts


def _detail(task: dict, output: Output) -> str:
    error, logs, cut = output(task["run_id"])
    attempt = f", attempt {task['attempt_number'] + 1}" if task["attempt_number"] else ""
    name = escape(task["task_key"])
    parts = [
        f"<h2 id='task-{task['run_id']}'>{name}{attempt} {_state(task['state'])}</h2>",
        f"<p>{escape(task['state']['state_message'])}</p>",
    ]
    if error:
        parts.append(f"<pre class='error'>{escape(error)}</pre>")
    note = "the end of the " if cut else ""
    shown = escape(logs) if logs else "(no output)"
    opened = " open" if not error and (not task["end_time"] or len(logs) < 4000) else ""
    parts.append(f"<details{opened}><summary>{note}log</summary><pre>{shown}</pre></details>")
    return "".join(parts)


def _failed(task: dict) -> bool:
    return task["state"].get("result_state") in ("FAILED", "TIMEDOUT")


def _state(state: dict) -> str:
    name = escape(state.get("result_state") or state["life_cycle_state"])
    return f"<span class='state {name}'>{name}</span>"


def _time(milliseconds: int) -> str:
    if not milliseconds:
        return ""
    moment = dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")


def _seconds(milliseconds: int) -> str:
    return f"{milliseconds / 1000:.1f} s"
