"""Model processes: what one of them does wrong, when they end, what they leave to read."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from databricks.sdk.errors import NotFound, OperationFailed
from databricks.sdk.service.serving import EndpointCoreConfigInput
from serving_models import (
    READY,
    ask,
    entity,
    http,
    model_processes,
    serve,
    until,
    workspace_with_models,
)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    yield from workspace_with_models(tmp_path_factory)


@pytest.fixture(scope="module")
def endpoints(workspace):
    """Two endpoints that stay up, with one model each; the SDK."""
    client = workspace.sdk()
    serve(client, "moody", entity("moody"))
    serve(client, "line", entity("line"))
    return client


@pytest.fixture
def web(workspace, endpoints):
    with http(workspace) as web:
        yield web
        web.post("/_local/reset")


def pid_of(web) -> str:
    return until(lambda: _predictions(ask(web, "moody", "pid")), "the model answers")[0]


def _predictions(answer) -> list | None:
    return answer.json()["predictions"] if answer.status_code == 200 else None


def line(web) -> float:
    answer = web.post("/serving-endpoints/line/invocations", json={"inputs": {"a": [1.0]}})
    assert answer.status_code == 200, answer.text
    return round(answer.json()["predictions"][0], 6)


def test_a_model_that_wants_too_much_memory_loses_only_that_answer(web):
    before = pid_of(web)
    answer = ask(web, "moody", "greedy")
    assert answer.status_code == 500
    assert answer.json()["error_code"] == "RESOURCE_EXHAUSTED"
    assert "more than its limit of 4096 MiB of memory" in answer.json()["message"]
    assert pid_of(web) == before
    assert line(web) == 2.0


def test_a_model_that_keeps_too_much_memory_is_replaced(web):
    before = pid_of(web)
    assert ask(web, "moody", "hoard").status_code == 200
    assert ask(web, "moody", "hoard").status_code == 500
    assert pid_of(web) != before


def test_one_endpoint_that_hangs_or_crashes_does_not_touch_another(web, workspace):
    pid_of(web)
    web.post("/_local/serving", json={"invocation_seconds": 3})
    with ThreadPoolExecutor(1) as pool, http(workspace) as other:
        hanging = pool.submit(ask, other, "moody", "hang")
        answered = 0
        while not hanging.done():
            assert line(web) == 2.0
            answered += 1
        assert hanging.result().status_code == 504
    assert answered > 10
    pid_of(web)
    process = model_processes(workspace, "line")
    assert ask(web, "moody", "exit").status_code == 500
    assert line(web) == 2.0
    assert model_processes(workspace, "line") == process


def at_once(workspace, *moods: str) -> list:
    """The answers to requests that are all under way at the same time."""

    async def send() -> list:
        limits = httpx.Limits(max_connections=len(moods))
        headers = {"Authorization": f"Bearer {workspace.token}"}
        async with httpx.AsyncClient(
            base_url=workspace.host, headers=headers, timeout=60, limits=limits
        ) as web:
            path = "/serving-endpoints/moody/invocations"
            bodies = [{"dataframe_records": [{"mood": mood}]} for mood in moods]
            return await asyncio.gather(*(web.post(path, json=body) for body in bodies))

    return asyncio.run(send())


def test_requests_wait_for_each_other_until_their_deadline(web, workspace):
    pid_of(web)
    web.post("/_local/serving", json={"invocation_seconds": 1.5})
    # The first two take 2 s together, by the deadline of one or because both are answered.
    answers = at_once(workspace, *["nap"] * 4)
    statuses = Counter(answer.status_code for answer in answers)
    assert statuses[200] >= 1 and statuses[503] >= 2, statuses
    for answer in answers:
        if answer.status_code == 503:
            assert answer.headers["retry-after"] == "1"
            assert "waited until its deadline" in answer.json()["message"]


def test_who_waits_behind_a_model_that_hangs_is_answered_by_the_next_process(
    web, workspace, endpoints
):
    before = pid_of(web)
    web.post("/_local/serving", json={"invocation_seconds": 3, "wake_seconds": 90})
    with ThreadPoolExecutor(1) as pool, http(workspace) as other:
        hanging = pool.submit(ask, other, "moody", "hang")
        until(
            lambda: endpoints.serving_endpoints.logs("moody", "moody-1").logs.endswith("hang\n"),
            "the model hangs",
        )
        web.post("/_local/serving", json={"invocation_seconds": 60})
        answers = at_once(workspace, *["pid"] * 3)
    assert hanging.result().status_code == 504
    assert "did not answer within" in hanging.result().json()["message"]
    pids = {answer.json()["predictions"][0] for answer in answers}
    assert len(pids) == 1 and pids != {before}


def test_more_waiting_requests_than_allowed_are_told_to_come_again(web, workspace):
    pid_of(web)
    answers = at_once(workspace, *["nap"] * 2, *["calm"] * 176)
    statuses = Counter(answer.status_code for answer in answers)
    assert statuses == {200: 128, 429: 50}
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.headers["retry-after"] == "1"
    assert refused.json()["error_code"] == "REQUEST_LIMIT_EXCEEDED"


def test_scale_to_zero_ends_the_process_and_the_next_call_wakes_it(web, workspace, endpoints):
    serve(endpoints, "sleepy", entity("line", "2", "sleeper", scale_to_zero=True))
    others = model_processes(workspace, "line")
    web.post("/_local/serving", json={"idle_seconds": 0, "wake_seconds": 90})

    def asleep():
        shown = endpoints.serving_endpoints.get("sleepy")
        state = shown.config.served_entities[0].state
        return state.deployment_state_message == "Scaled to zero" and (
            shown.state.ready.value, state.deployment.value,
        ) == ("READY", "DEPLOYMENT_READY")  # fmt: skip

    until(asleep, "scaled to zero")
    until(lambda: len(model_processes(workspace, "line")) == len(others) - 1, "process gone")
    web.post("/_local/serving", json={"idle_seconds": 600})
    body = {"dataframe_split": {"columns": ["a"], "data": [[1.0], [2.0]]}}
    answer = web.post("/serving-endpoints/sleepy/invocations", json=body)
    assert answer.status_code == 200, answer.text
    assert [round(value, 6) for value in answer.json()["predictions"]] == [3.0, 6.0]
    assert len(model_processes(workspace, "line")) == len(others)
    # "line" may not scale to zero and has been idle for as long.
    assert line(web) == 2.0

    web.post("/_local/serving", json={"idle_seconds": 0})
    until(asleep, "scaled to zero again")
    web.post("/_local/serving", json={"idle_seconds": 600, "wake_seconds": 0})
    first = web.post("/serving-endpoints/sleepy/invocations", json=body)
    assert first.status_code == 503 and first.headers["retry-after"] == "1"
    assert "being loaded" in first.json()["message"]
    until(
        lambda: web.post("/serving-endpoints/sleepy/invocations", json=body).status_code == 200,
        "the call after Retry-After is answered",
    )
    endpoints.serving_endpoints.delete("sleepy")


def test_logs_are_those_of_the_load_and_those_of_the_service(web, endpoints):
    pid_of(web)
    build = endpoints.serving_endpoints.build_logs("moody", "moody-1").logs
    assert "loading models:/main.ml.moody/1" in build and "moody wakes up" in build
    assert re.search(r"mlflow 3\.\S+, python 3\.", build) and "loaded in" in build
    ask(web, "moody", "calm")
    service = endpoints.serving_endpoints.logs("moody", "moody-1").logs
    assert "mood: calm" in service and "moody wakes up" not in service
    with pytest.raises(NotFound, match="no served entity 'nobody'"):
        endpoints.serving_endpoints.logs("moody", "nobody")


def test_a_log_that_outgrows_its_cap_keeps_its_end(web, workspace, endpoints):
    pid_of(web)
    log_file = next((workspace.data / "logs" / "serving").glob("moody.*/moody-1.log"))
    ask(web, "moody", "talk")
    assert log_file.stat().st_size > 5 << 20
    until(lambda: log_file.stat().st_size < 1 << 20, "the log is trimmed")
    assert log_file.read_text().startswith("[... ")
    ask(web, "moody", "calm")
    assert endpoints.serving_endpoints.logs("moody", "moody-1").logs.endswith("mood: calm\n")


def test_a_model_that_cannot_be_loaded_says_why(endpoints):
    with pytest.raises(OperationFailed):
        endpoints.serving_endpoints.create_and_wait(
            "broken",
            config=EndpointCoreConfigInput(name="broken", served_entities=[entity("broken")]),
            timeout=READY,
        )
    shown = endpoints.serving_endpoints.get("broken")
    assert (shown.state.ready.value, shown.state.config_update.value) == (
        "NOT_READY", "UPDATE_FAILED",
    )  # fmt: skip
    state = shown.config.served_entities[0].state
    assert state.deployment.value == "DEPLOYMENT_FAILED"
    assert "no such vocabulary" in state.deployment_state_message
    log = endpoints.serving_endpoints.build_logs("broken", "broken-1").logs
    assert "about to break" in log and "RuntimeError: no such vocabulary" in log
    endpoints.serving_endpoints.delete("broken")


def test_a_failed_update_leaves_the_old_configuration_serving(web, endpoints):
    serve(endpoints, "steady", entity("line", "1"))
    with pytest.raises(OperationFailed):
        endpoints.serving_endpoints.update_config_and_wait(
            "steady", served_entities=[entity("broken")], timeout=READY
        )
    shown = endpoints.serving_endpoints.get("steady")
    assert (shown.state.ready.value, shown.state.config_update.value) == ("READY", "UPDATE_FAILED")
    assert shown.config.served_entities[0].name == "line-1"
    body = {"instances": [{"a": 2.0}]}
    answer = web.post("/serving-endpoints/steady/invocations", json=body)
    assert answer.headers["served-model-name"] == "line-1"
    endpoints.serving_endpoints.delete("steady")


def test_an_update_loses_no_request_that_the_old_model_was_asked(web, workspace, endpoints):
    serve(endpoints, "busy", entity("moody", name="old"))
    update = endpoints.serving_endpoints.update_config(
        "busy", served_entities=[entity("moody", name="new")]
    )
    answers = []

    def keep_asking(_) -> None:
        with http(workspace) as own:
            while not any(each.headers.get("served-model-name") == "new" for each in answers):
                answers.append(ask(own, "busy", "nap"))

    # Each takes a second: when the new model is there, four or so wait for the old one.
    with ThreadPoolExecutor(5) as pool:
        list(pool.map(keep_asking, range(5)))
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.headers["served-model-name"] for answer in answers} == {"old", "new"}
    assert update.result(READY).config.served_entities[0].name == "new"
    until(lambda: len(model_processes(workspace, "moody")) == 2, "the old process ends")
    endpoints.serving_endpoints.delete("busy")


def test_metrics_of_the_last_minute(web, endpoints):
    def value(name: str, more: str = "") -> float:
        text = endpoints.serving_endpoints.export_metrics("line").contents.read().decode()
        labels = re.escape(f'{{endpoint_name="line",served_entity_name="line-1"{more}}}')
        return float(re.search(rf"^{name}{labels} (\S+)$", text, re.MULTILINE)[1])

    before = value("request_count_total"), value("request_4xx_count_total")
    line(web)
    assert web.post("/serving-endpoints/line/invocations", json={}).status_code == 400
    # Counts of more than a minute ago may be forgotten meanwhile.
    assert value("request_count_total") >= 2 and value("request_4xx_count_total") >= 1
    assert value("request_count_total") <= before[0] + 2
    assert value("request_4xx_count_total") <= before[1] + 1
    assert value("request_latency_ms_bucket", ',le="+Inf"') == value("request_latency_ms_count")
    assert value("request_latency_ms_sum") > 0
    assert 0 < value("mem_usage_percentage") < 100
    began = time.monotonic()
    while time.monotonic() - began < 1:
        line(web)
    assert value("cpu_usage_percentage") > 0
