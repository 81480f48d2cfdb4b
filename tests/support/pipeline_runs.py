"""Starting updates of pipelines and reading what became of them, through the SDK."""

from __future__ import annotations

import time

FINAL = ("COMPLETED", "FAILED", "CANCELED")


def run_update(client, pipeline_id: str, seconds: float = 180, **request) -> str:
    """Start an update and wait for its end. Returns its id."""
    update_id = client.pipelines.start_update(pipeline_id, **request).update_id
    wait_update(client, pipeline_id, update_id, seconds=seconds)
    return update_id


def errors(client, pipeline_id: str, update_id: str) -> dict[str, str]:
    """{flow, or '' for the update itself: error text} of an update's error events."""
    return {
        event["origin"].get("flow_name", ""): event["error"]["exceptions"][0]["message"]
        for event in events(client, pipeline_id, update_id)
        if event["level"] == "ERROR"
    }


def complete_update(client, pipeline_id: str, seconds: float = 180, **request) -> str:
    """Start an update that is to succeed. Returns its id."""
    update_id = run_update(client, pipeline_id, seconds, **request)
    state = state_of(client, pipeline_id, update_id)
    assert state == "COMPLETED", (state, errors(client, pipeline_id, update_id))
    return update_id


def fail_update(client, pipeline_id: str, seconds: float = 180, **request) -> str:
    """Start an update that is to fail. Returns its id."""
    update_id = run_update(client, pipeline_id, seconds, **request)
    assert state_of(client, pipeline_id, update_id) == "FAILED"
    return update_id


def state_of(client, pipeline_id: str, update_id: str) -> str:
    return client.pipelines.get_update(pipeline_id, update_id).update.state.value


def wait_update(
    client, pipeline_id: str, update_id: str, wanted: tuple = FINAL, seconds: float = 180
) -> str:
    """Wait until an update is in one of the ``wanted`` states. Returns the state."""
    deadline = time.monotonic() + seconds
    while True:
        state = state_of(client, pipeline_id, update_id)
        if state in wanted:
            return state
        told = events(client, pipeline_id, update_id) if state in FINAL else ""
        assert state not in FINAL and time.monotonic() < deadline, (state, told)
        time.sleep(0.1)


def events(client, pipeline_id: str, update_id: str | None = None, kind: str | None = None):
    """Events as the REST call gives them, oldest first. (The SDK's class leaves out details.)"""
    found, token = [], None
    while True:
        query = {"page_token": token} if token else {"order_by": "timestamp asc"}
        path = f"/api/2.0/pipelines/{pipeline_id}/events"
        answer = client.api_client.do("GET", path, query=query | {"max_results": 250})
        found += answer["events"]
        token = answer.get("next_page_token")
        if not token:
            break
    return [
        event
        for event in found
        if update_id in (None, event["origin"].get("update_id"))
        and kind in (None, event["event_type"])
    ]


def progress(client, pipeline_id: str, update_id: str) -> dict[str, list[str]]:
    """The statuses of each flow in the order in which they were told."""
    told: dict[str, list[str]] = {}
    for event in events(client, pipeline_id, update_id, "flow_progress"):
        status = event["details"]["flow_progress"]["status"]
        told.setdefault(event["origin"]["flow_name"], []).append(status)
    return told


def finished(client, pipeline_id: str, update_id: str) -> dict[str, dict]:
    """The last progress of each flow: status, metrics, data_quality."""
    return {
        event["origin"]["flow_name"]: event["details"]["flow_progress"]
        for event in events(client, pipeline_id, update_id, "flow_progress")
    }
