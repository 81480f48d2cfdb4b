"""The gate against clients that are slow, large, many or rude; and what it writes down."""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx
import pytest
from raw_http import Raw
from workspace_process import (
    PYTHON,
    ROOT,
    RunningWorkspace,
    child_environment,
    free_port,
    init_workspace,
    stop_workspace,
)

STATEMENTS = "/api/2.0/sql/statements"
UPLOAD = "/api/2.0/fs/files/Volumes/main/landing/finance_exports/"
WAREHOUSES = "/api/2.0/sql/warehouses"
BOUNDS = {
    "header_seconds": 1.0, "body_seconds": 1.0, "min_rate": 1024, "write_seconds": 2.0,
    "max_connections": 20, "max_calls": 4, "max_call_body": 1_000_000, "max_body": 50_000_000,
    "log_cap": 20_000, "faults": True,
}  # fmt: skip
SERVE = """
import json, pathlib, sys
from local_workspace.cli.serve import run
from local_workspace.settings import Settings
given = json.loads(sys.argv[1])
sys.exit(run(Settings(pathlib.Path(given.pop("data")), **given)))
"""


@pytest.fixture(scope="module")
def gate(tmp_path_factory):
    """A workspace with narrow bounds, so that nobody has to wait for them."""
    data = tmp_path_factory.mktemp("gate")
    made = init_workspace(data)
    given = {"data": str(data), "port": free_port(), **BOUNDS}
    program = tmp_path_factory.mktemp("program") / "serve.py"
    program.write_text(SERVE)
    with (data / "serve.stderr").open("w") as errors:
        process = subprocess.Popen(
            [PYTHON, program, json.dumps(given)], cwd=ROOT, env=child_environment(),
            stdout=subprocess.PIPE, stderr=errors, text=True,
        )  # fmt: skip
    ready = json.loads(process.stdout.readline())
    running = RunningWorkspace(ready["host"], made, data, process)
    yield running
    stop_workspace(running)


def ok(gate) -> bool:
    """The workspace answers an ordinary call."""
    headers = {"Authorization": f"Bearer {gate.token}"}
    return httpx.get(gate.host + WAREHOUSES, headers=headers).status_code == 200


def uploads_under_way(gate) -> list:
    return [path for path in (gate.data / "spool").rglob("*") if path.is_file()]


# --- slow


@pytest.mark.parametrize("sent", [b"", b"G", b"GET / HTTP/1.1\r\nHost: here\r\n"])
def test_a_header_that_does_not_come_is_not_waited_for(gate, sent):
    with Raw(gate) as raw:
        raw.send(sent)
        began = time.monotonic()
        assert raw.rest() == b""
        assert time.monotonic() - began < 10
    assert ok(gate)


def test_a_header_that_trickles_is_cut(gate):
    with Raw(gate) as raw:
        raw.send(b"GET / HTTP/1.1\r\nX: ")
        assert raw.trickle(b"x") < 10
        assert raw.rest() == b""


def test_a_second_header_on_a_connection_has_its_time_too(gate):
    with Raw(gate) as raw:
        for _ in range(3):  # more than one header's time in all
            raw.send(raw.head("GET", WAREHOUSES))
            assert raw.answer().startswith(b"HTTP/1.1 200")
            time.sleep(0.6)
        raw.send(b"GET / HTTP/1.1\r\n")
        began = time.monotonic()
        raw.rest()
        assert time.monotonic() - began < 10


@pytest.mark.parametrize("path", [STATEMENTS, UPLOAD + "slow.bin"])
@pytest.mark.parametrize("framing", ["Content-Length: 100000", "Transfer-Encoding: chunked"])
def test_a_body_that_trickles_is_cut(gate, path, framing):
    method = "POST" if path == STATEMENTS else "PUT"
    with Raw(gate) as raw:
        raw.send(raw.head(method, path, framing))
        assert raw.trickle(b"1\r\nx\r\n" if "chunked" in framing else b"x") < 15
        said = raw.rest()
    assert said.startswith(b"HTTP/1.1 408") and b"DEADLINE_EXCEEDED" in said
    assert b"connection: close" in said.lower()
    assert not uploads_under_way(gate)
    assert ok(gate)


def test_a_body_that_falls_silent_is_cut_however_much_has_come(gate):
    with Raw(gate) as raw:
        raw.send(raw.head("PUT", UPLOAD + "silent.bin", "Content-Length: 40000000"))
        raw.send(b"x" * 20_000_000)
        began = time.monotonic()
        assert raw.answer().startswith(b"HTTP/1.1 408")
        assert time.monotonic() - began < 15
    assert not uploads_under_way(gate)


def test_a_slow_but_steady_body_is_taken(gate):
    size = 40_000
    with Raw(gate) as raw:
        raw.send(raw.head("PUT", UPLOAD + "steady.bin?overwrite=true", f"Content-Length: {size}"))
        for _ in range(20):  # 20 kB/s for longer than the time of a body without a rate
            raw.send(b"x" * (size // 20))
            time.sleep(0.1)
        assert raw.answer().startswith(b"HTTP/1.1 204")


def test_a_reader_that_does_not_read_is_cut(gate):
    headers = {"Authorization": f"Bearer {gate.token}"}
    size = 40_000_000
    path = UPLOAD + "large.bin"
    put = httpx.put(gate.host + path, content=b"x" * size, headers=headers,
                    params={"overwrite": "true"}, timeout=60)  # fmt: skip
    assert put.status_code == 204
    with Raw(gate) as raw:
        raw.send(raw.head("GET", path))
        time.sleep(BOUNDS["write_seconds"] + 2)
        assert len(raw.rest()) < size
    with Raw(gate) as raw:  # one who reads gets it all
        raw.send(raw.head("GET", path, "Connection: close"))
        assert len(raw.rest()) > size


# --- large


@pytest.mark.parametrize("path", [STATEMENTS, UPLOAD + "huge.bin"])
def test_a_gigabyte_is_refused_by_its_announcement(gate, path):
    method = "POST" if path == STATEMENTS else "PUT"
    with Raw(gate) as raw:
        raw.send(raw.head(method, path, f"Content-Length: {2**30}", "Expect: 100-continue"))
        said = raw.rest()
    assert said.startswith(b"HTTP/1.1 413")  # and no 100 before it
    assert b"connection: close" in said.lower()


@pytest.mark.parametrize(
    ("method", "path", "limit"),
    [
        ("POST", STATEMENTS, "max_call_body"),
        ("POST", "/oidc/v1/token", "max_call_body"),
        ("PUT", UPLOAD + "chunks.bin", "max_body"),
    ],
)
def test_a_chunked_body_is_counted(gate, method, path, limit):
    piece = b"x" * 250_000
    chunk = f"{len(piece):x}\r\n".encode() + piece + b"\r\n"
    with Raw(gate) as raw:
        raw.send(raw.head(method, path, "Transfer-Encoding: chunked"))
        sent = 0
        while sent < 2 * BOUNDS[limit] and raw.send(chunk):
            sent += len(piece)
        said = raw.rest()
    assert said.startswith((b"HTTP/1.1 413", b"HTTP/1.1 400"))
    assert not uploads_under_way(gate)
    assert ok(gate)


def test_a_refused_call_does_not_hurt_the_next_on_its_connection(gate):
    place = urlsplit(gate.host)
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=30)
    connection.connect()
    first = connection.sock
    good = {"Authorization": f"Bearer {gate.token}"}
    for headers, body, status in (
        ({"Authorization": "Bearer dev"}, b"x" * 50_000, 401),
        (good, b"{}", 501),
        (good, None, 200),
    ):
        path = WAREHOUSES if body is None else "/api/2.0/nothing"
        connection.request("POST" if body else "GET", path, body, headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == status
        assert connection.sock is first
    connection.close()


def test_a_stranger_is_not_read_for_long(gate):
    with Raw(gate) as raw:
        head = raw.head("PUT", UPLOAD + "x", "Content-Length: 50000000", token="dev")
        raw.send(head + b"x" * 1000)
        began = time.monotonic()
        said = raw.rest()
        assert said.startswith(b"HTTP/1.1 401") and time.monotonic() - began < 10
    assert not uploads_under_way(gate)


@pytest.mark.parametrize(
    "said",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
def test_what_is_no_call_ends_the_connection(gate, said):
    with Raw(gate) as raw:
        raw.send(said)
        answer = raw.rest()
    assert answer == b"" or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 501"))
    assert b"Traceback" not in answer
    assert ok(gate)


# --- many


def test_one_connection_too_many_is_told_to_come_back(gate):
    with contextlib.ExitStack() as stack:
        for _ in range(BOUNDS["max_connections"]):
            raw = stack.enter_context(Raw(gate))
            raw.send(raw.head("GET", WAREHOUSES))
            assert raw.answer().startswith(b"HTTP/1.1 200")
        head, _, body = stack.enter_context(Raw(gate)).rest().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503") and b"Retry-After: 1" in head
    assert json.loads(body)["error_code"] == "TEMPORARILY_UNAVAILABLE"
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            if ok(gate):
                return
    raise AssertionError("the workspace does not answer although the others have gone")


def test_one_call_too_many_is_told_to_come_back(gate):
    client = gate.sdk().api_client
    headers = {"Authorization": f"Bearer {gate.token}"}
    busy = {"path": WAREHOUSES, "delay_seconds": 5, "times": BOUNDS["max_calls"]}
    client.do("POST", "/_local/faults", body=busy)

    def ask(path):
        return httpx.get(gate.host + path, headers=headers, timeout=30)

    def ask_until_let_in(path):
        # The probe below is a call too: one of the slow ones may find its place taken.
        while (answer := ask(path)).status_code == 503:
            time.sleep(0.01)
        return answer

    with ThreadPoolExecutor(BOUNDS["max_calls"]) as pool:
        slow = [pool.submit(ask_until_let_in, WAREHOUSES) for _ in range(BOUNDS["max_calls"])]
        deadline = time.monotonic() + 10
        while (refused := ask("/_local/faults")).status_code == 200:
            assert time.monotonic() < deadline, "no call was refused"
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "1"
        assert refused.json()["error_code"] == "TEMPORARILY_UNAVAILABLE"
        assert httpx.get(gate.host + "/_local/health").status_code == 200
        # The SDK heeds Retry-After and gets its answer in the end.
        assert gate.sdk().warehouses.get("local").id == "local"
        assert [answer.result().status_code for answer in slow] == [200] * BOUNDS["max_calls"]
    client.do("DELETE", "/_local/faults")


# --- written down


def log_line(gate, answer) -> dict:
    """The log's line about a call; it is written just after the answer."""
    request_id = answer.headers["x-request-id"]
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        for file in (gate.data / "logs").glob("workspace.log*"):
            for line in file.read_text().splitlines():
                entry = json.loads(line)
                if entry.get("request_id") == request_id:
                    return entry
    raise AssertionError(f"no line about {request_id}")


def test_each_call_has_an_id_and_a_line(gate):
    headers = {"Authorization": f"Bearer {gate.token}"}
    answer = httpx.get(gate.host + WAREHOUSES, params={"secret": "s3cret"}, headers=headers)
    line = log_line(gate, answer)
    assert (line["method"], line["path"], line["status"]) == ("GET", WAREHOUSES, 200)
    assert line["principal"] == "local@workspace.invalid"
    assert line["time"].endswith("Z") and line["ms"] > 0
    assert "s3cret" not in json.dumps(line)
    stranger = httpx.get(gate.host + WAREHOUSES)
    line = log_line(gate, stranger)
    assert (line["principal"], line["status"]) == (None, 401)


def test_the_log_is_capped(gate):
    headers = {"Authorization": f"Bearer {gate.token}"}
    with httpx.Client(headers=headers) as client:
        for _ in range(600):
            last = client.get(gate.host + "/_local/nothing")
    files = list((gate.data / "logs").glob("workspace.log*"))
    assert 1 < len(files) <= 4
    assert all(file.stat().st_size <= BOUNDS["log_cap"] for file in files)
    assert log_line(gate, last)["status"] == 501
