"""The HTML page of one run: states, times, errors and logs of its tasks."""

from __future__ import annotations

import datetime as dt
from html import escape

LOG_TAIL = 200_000

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;
color:#1c2430}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.35rem .8rem .35rem 0;
border-bottom:1px solid #dde2ea}pre{background:#f4f6f9;padding:.8rem;overflow:auto;max-height:24rem}
.SUCCESS{color:#0a6b3d}.FAILED,.TIMEDOUT{color:#b3261e}.CANCELED,.SKIPPED{color:#7a5c00}
"""


def render(view: dict, outputs: dict[str, tuple[str, str]]) -> str:
    """The page for a run view; ``outputs`` maps a task key to (error trace, logs)."""
    title = escape(f"{view['run_name']} · run {view['run_id']}")
    rows = "".join(_row(task) for task in view["tasks"])
    blocks = "".join(_block(key, *texts) for key, texts in outputs.items())
    return (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{title}</title>"
        f"<meta name='viewport' content='width=device-width'><style>{_STYLE}</style></head><body>"
        f"<h1>{title}</h1><p>{_state(view['state'])}, started {_time(view['start_time'])}"
        f"{_took(view)}</p><p>{escape(view['state']['state_message'])}</p>"
        "<table><thead><tr><th>Task</th><th>State</th><th>Started</th><th>Seconds</th>"
        f"<th>Run id</th></tr></thead><tbody>{rows}</tbody></table>{blocks}</body></html>"
    )


def _row(task: dict) -> str:
    seconds = f"{task['execution_duration'] / 1000:.1f}" if task["end_time"] else ""
    return (
        f"<tr><td>{escape(task['task_key'])}</td><td>{_state(task['state'])}</td>"
        f"<td>{_time(task['start_time'])}</td><td>{seconds}</td><td>{task['run_id']}</td></tr>"
    )


def _block(key: str, trace: str, logs: str) -> str:
    parts = [f"<h2>{escape(key)}</h2>"]
    if trace:
        parts.append(f"<h3>Error</h3><pre>{escape(trace)}</pre>")
    shown = escape(logs[-LOG_TAIL:]) if logs else "(no output)"
    parts.append(f"<h3>Log</h3><pre>{shown}</pre>")
    return "".join(parts)


def _state(state: dict) -> str:
    name = state.get("result_state") or state["life_cycle_state"]
    return f"<b class='{escape(name)}'>{escape(name)}</b>"


def _time(milliseconds: int) -> str:
    if not milliseconds:
        return ""
    moment = dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")


def _took(view: dict) -> str:
    return f", took {view['run_duration'] / 1000:.1f} s" if view["end_time"] else ""
