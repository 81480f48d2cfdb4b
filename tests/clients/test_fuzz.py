"""Garbage on every route: no 500, no traceback in an answer, no hang, and alive afterwards.

``FUZZ_EXAMPLES`` sets how many requests each operation gets from each generator.
"""

from __future__ import annotations

import json
import os
import random
import re
from collections import Counter
from urllib.parse import quote

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from workspace_process import init_workspace, serve_workspace, stop_workspace

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "4"))
SLOWEST_SECONDS = 90
# Answers that are right for garbage; 501 and 503 say what is not computed, or not now.
FINE = {501, 503, 504, 507}
MODES = (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE)
RELAXED = settings(
    max_examples=EXAMPLES, deadline=None, database=None, derandomize=True,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
sent: Counter[int] = Counter()


@pytest.fixture(scope="module")
def victim(tmp_path_factory):
    """A workspace of its own: what is thrown at it must not meet the other tests."""
    data = tmp_path_factory.mktemp("victim")
    running = serve_workspace(data, init_workspace(data))
    yield running
    print(f"\nfuzz: {sum(sent.values())} requests, by status {dict(sorted(sent.items()))}")
    stop_workspace(running)


@pytest.fixture(scope="module")
def http(victim):
    headers = {"Authorization": f"Bearer {victim.token}"}
    with httpx.Client(base_url=victim.host, headers=headers, timeout=SLOWEST_SECONDS) as client:
        yield client


@pytest.fixture(scope="module")
def known(http):
    """Real ids, so that garbage also gets past the look-up of a path."""
    task = {"task_key": "t", "spark_python_task": {"python_file": "/Volumes/none.py"}}
    job = http.post("/api/2.2/jobs/create", json={"name": "fuzz", "tasks": [task]}).json()
    run = http.post("/api/2.2/jobs/run-now", json=job).json()
    order = {"statement": "SELECT 1", "warehouse_id": "local"}
    statement = http.post("/api/2.0/sql/statements", json=order).json()
    return {"job_id": job["job_id"], "run_id": run["run_id"], "warehouse_id": "local",
            "statement_id": statement["statement_id"], "id": "local", "name": "main",
            "full_name": "main.gold.x",
            "path": "Volumes/main/landing/finance_exports/x"}  # fmt: skip


@pytest.fixture(scope="module")
def operations(http):
    found = http.get("/_local/openapi.json").json()["paths"]
    return [
        (method.upper(), path)
        for path, item in sorted(found.items())
        for method in item
        if not path.startswith("/_local/")
    ]


def judge(status: int, content: bytes, request: str) -> None:
    sent[status] += 1
    text = content[:2000].decode("utf-8", "replace")
    assert status < 500 or status in FINE, f"{request[:600]}\n{text}"
    assert "Traceback (most recent" not in text, request[:600]
    if status >= 400 and text:
        assert isinstance(json.loads(content), dict), request[:600]


def test_requests_that_fit_the_schema_or_nearly(http, victim):
    document = http.get("/_local/openapi.json").json()
    document["paths"] = {p: i for p, i in document["paths"].items() if not p.startswith("/_local/")}
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=victim.host)
    headers = {"Authorization": f"Bearer {victim.token}"}

    def attack(operation) -> None:
        @RELAXED
        @given(st.one_of(operation.as_strategy(generation_mode=mode) for mode in MODES))
        def once(case):
            answer = case.call(headers=headers, timeout=SLOWEST_SECONDS)
            judge(answer.status_code, answer.content, case.as_curl_command())

        once()

    for found in schema.get_all_operations():
        attack(found.ok())


numbers = st.integers() | st.floats(allow_nan=True) | st.just(2**63) | st.just(-1)
texts = st.text(max_size=40) | st.sampled_from(
    ["", "\x00", "../..", "'; DROP TABLE x --", "{{job.id}}", "9" * 400, "\ud800", "%00", "local"]
)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
FIELDS = (
    "job_id", "run_id", "tasks", "settings", "new_settings", "name", "path", "statement",
    "warehouse_id", "parameters", "config", "served_entities", "row_limit", "wait_timeout",
    "disposition", "format", "page_token", "limit", "libraries", "schedule", "idempotency_token",
    "catalog", "schema", "content", "overwrite", "dataframe_split", "inputs", "max_results",
    "session_id", "byte_limit", "on_wait_timeout", "task_key", "depends_on", "queue",
)  # fmt: skip
bodies = st.one_of(
    st.binary(max_size=200),
    values.map(lambda value: json.dumps(value).encode()),
    st.dictionaries(st.sampled_from(FIELDS), values, max_size=6).map(
        lambda value: json.dumps(value).encode()
    ),
    st.just(b"[" * 5000 + b"]" * 5000),
    st.just(b'{"a":' * 3000),
    st.just(b"\xff\xfe{}"),
)
plain = st.characters(codec="utf-8")
garbage = st.text(plain, min_size=1, max_size=30)
queries = st.dictionaries(st.sampled_from(FIELDS), st.text(plain, max_size=12), max_size=3)
kinds = st.sampled_from(["application/json", "text/plain", "multipart/form-data", "x", ""])


def test_bodies_queries_and_paths_of_any_kind(http, known, operations):
    assert len(operations) > 40
    rng = random.Random(17)

    def filled(path: str, garbage: str, real: bool) -> str:
        """The path with real ids, or with garbage, in the place of its parameters."""

        def value(match: re.Match) -> str:
            name, _, kind = match.group(1).partition(":")
            text = str(known.get(name, garbage)) if real else garbage
            return quote(text, safe="/" if kind == "path" else "")

        return re.sub(r"\{([^}]+)\}", value, path)

    def attack(method: str, path: str) -> None:
        @RELAXED
        @given(bodies, kinds, garbage, queries)
        def once(body, kind, garbage, query):
            target = filled(path, garbage, rng.random() < 0.7)
            pairs = "&".join(f"{k}={quote(v)}" for k, v in query.items())
            try:
                answer = http.request(method, f"{target}?{pairs}", content=body,
                                      headers={"content-type": kind})  # fmt: skip
            except (httpx.InvalidURL, httpx.LocalProtocolError):
                return  # the client itself refuses to send it
            judge(answer.status_code, answer.content, f"{method} {answer.url} {kind} {body!r}")

        once()

    for method, path in operations:
        attack(method, path)
    assert http.get("/_local/health").json()["status"] == "ok"
    assert http.get("/_local/health").json()["engine"] == "up"


def test_the_workspace_still_works(http):
    order = {"statement": "SELECT 41 + 1", "warehouse_id": "local", "wait_timeout": "30s"}
    http.post("/api/2.0/sql/warehouses/local/start", json={})
    answer = http.post("/api/2.0/sql/statements", json=order).json()
    assert answer["status"]["state"] == "SUCCEEDED", answer
    assert answer["result"]["data_array"] == [["42"]]
