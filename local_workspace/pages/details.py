"""Pages of one endpoint and one pipeline."""

from __future__ import annotations

import json

from ..errors import ApiError
from ..pipelines.views import state_view
from .html import Html, facts, join, seconds, section, state, table, tag, time

MOST_UPDATES = 20
MOST_EVENTS = 100


def endpoint(services, name: str) -> Html:
    """Raises ApiError 404 for an unknown endpoint."""
    view = services.endpoints.get(name).view()
    config = view.get("config") or view.get("pending_config") or {}
    parts = [
        tag("h2", f"Endpoint {view['name']}"),
        facts(
            [
                ("State", state(view["state"]["ready"])),
                ("Update", view["state"]["config_update"]),
                ("Made", time(view["creation_timestamp"])),
                ("Changed", time(view["last_updated_timestamp"])),
                ("Ask it", f"POST /serving-endpoints/{view['name']}/invocations"),
            ]
        ),
    ]
    for entity in config.get("served_entities", []):
        title = f"{entity['name']}: {entity['entity_name']} version {entity['entity_version']}"
        told = [state(entity["state"]["deployment"]), " ",
                entity["state"]["deployment_state_message"]]  # fmt: skip
        logs = join(
            tag("details", tag("summary", f"{kind} log"), tag("pre", read(name, entity["name"])))
            for kind, read in (
                ("service", lambda *names: _log(services.endpoints.service_log, *names)),
                ("build", lambda *names: _log(services.endpoints.build_log, *names)),
            )
        )
        parts.append(section(f"entity-{entity['name']}", title, join([tag("p", *told), logs])))
    return join(parts)


def _log(read, endpoint_name: str, entity: str) -> str:
    try:
        return read(endpoint_name, entity) or "(nothing was written)"
    except ApiError as error:
        return error.message


def pipeline(services, pipeline_id: str) -> Html:
    """Raises ApiError 404 for an unknown pipeline."""
    store = services.pipelines.store
    row = store.pipeline(pipeline_id)
    updates = store.updates(pipeline_id, None, MOST_UPDATES)
    view = state_view(row, updates)
    spec = json.loads(row["spec"])
    shown = [
        [update["update_id"], state(update["state"]), time(update["created_ms"]),
         seconds(update["ended_ms"] - update["created_ms"]) if update["ended_ms"] else "",
         update["cause"], update["message"]]
        for update in updates
    ]  # fmt: skip
    events = services.store.rows(
        "SELECT * FROM pipeline_events WHERE pipeline_id = ? ORDER BY sequence DESC LIMIT ?",
        pipeline_id, MOST_EVENTS,
    )  # fmt: skip
    told = [
        [time(event["time_ms"]), state(event["level"]), event["event_type"], event["message"]]
        for event in events
    ]
    return join(
        (
            tag("h2", f"Pipeline {row['name']}"),
            facts(
                [
                    ("State", view["state"]),
                    ("Id", pipeline_id),
                    ("Writes to", _target(spec)),
                    ("Made by", row["creator"]),
                ]
            ),
            section(
                "updates", "Updates",
                table([("Update", "wide"), ("State", ""), ("Started", "time"), ("Time", "figure"),
                       ("Cause", "wide"), ("Message", "")], shown),
            ),
            section(
                "events", "Events",
                table([("When", "time"), ("Level", ""), ("Type", "wide"), ("Message", "")], told),
                f"the last {MOST_EVENTS}",
            ),
        )
    )  # fmt: skip


def _target(spec: dict) -> str:
    """Where the tables of a pipeline are, as its settings say it."""
    names = (spec.get("catalog"), spec.get("schema") or spec.get("target"))
    return ".".join(name for name in names if name)
