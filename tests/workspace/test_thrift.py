"""The Thrift route beyond what a client sees: garbage, foreign handles, bounds, a restart."""

from __future__ import annotations

import shutil
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pyarrow as pa
import pytest
from databricks import sql
from databricks.sdk.service.sql import QueryFilter
from databricks.sql.thrift_api.TCLIService import TCLIService, ttypes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.Thrift import TApplicationException, TMessageType
from thrift.transport.TTransport import TMemoryBuffer
from workspace_process import init_workspace, serve_workspace, stop_workspace

from local_workspace.sql.results import StoredResult
from local_workspace.sql.statement import Order, StatementRun
from local_workspace.sql.thrift import operations, rows
from local_workspace.sql.thrift.operations import NoOperation, Operation, Operations
from local_workspace.sql.thrift.types import ArrowForm

PATH = "/sql/1.0/warehouses/local"
LONG = "SELECT sum(sqrt(id)) FROM range(1000000000000)"
STATE, STATUS = ttypes.TOperationState, ttypes.TStatusCode


def message(name: str, request: object, kind: int = TMessageType.CALL) -> bytes:
    buffer = TMemoryBuffer()
    protocol = TBinaryProtocol(buffer)
    protocol.writeMessageBegin(name, kind, 7)
    getattr(TCLIService, f"{name}_args")(request).write(protocol)
    return buffer.getvalue()


def post(workspace, body: bytes, token: str | None = None, path: str = PATH) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token or workspace.token}"}
    return httpx.post(workspace.host + path, content=body, headers=headers, timeout=60)


def call(workspace, name: str, token: str | None = None, **fields):
    """The response structure of a call whose request has ``fields``."""
    answer = post(workspace, message(name, getattr(ttypes, f"T{name}Req")(**fields)), token)
    assert answer.status_code == 200, answer.text
    protocol = TBinaryProtocol(TMemoryBuffer(answer.content), string_length_limit=None)
    found, kind, number = protocol.readMessageBegin()
    assert (found, kind, number) == (name, TMessageType.REPLY, 7)
    result = getattr(TCLIService, f"{name}_result")()
    result.read(protocol)
    return result.success


@pytest.fixture
def session(workspace):
    opened = call(workspace, "OpenSession", client_protocol_i64=ttypes.TProtocolVersion.
                  SPARK_CLI_SERVICE_PROTOCOL_V7).sessionHandle  # fmt: skip
    yield opened
    call(workspace, "CloseSession", sessionHandle=opened)


def execute(workspace, session, statement: str, **fields):
    return call(workspace, "ExecuteStatement", sessionHandle=session, statement=statement, **fields)


def ended(workspace, operation) -> int:
    """Wait for a statement; returns its state."""
    deadline = time.monotonic() + 60
    while True:
        state = call(workspace, "GetOperationStatus", operationHandle=operation).operationState
        if state not in (STATE.PENDING_STATE, STATE.RUNNING_STATE):
            return state
        assert time.monotonic() < deadline


# garbage

VALID = message("OpenSession", ttypes.TOpenSessionReq(configuration={"TIMEZONE": "UTC"}))


def no_request() -> bytes:
    buffer = TMemoryBuffer()
    protocol = TBinaryProtocol(buffer)
    protocol.writeMessageBegin("CloseSession", TMessageType.CALL, 1)
    TCLIService.CloseSession_args(None).write(protocol)
    return buffer.getvalue()


GARBAGE = {
    "nothing": b"",
    "text": b"SELECT 1",
    "json": b'{"statement": "SELECT 1"}',
    "cut off": VALID[:-9],
    "a name of 2 GiB": b"\x80\x01\x00\x01\x7f\xff\xff\xff" + b"x" * 40,
    "a map of 2**31 entries": VALID[: VALID.index(b"\x0d", 20)]
    + b"\x0d\x00\x04\x0b\x0b\x7f\xff\xff\xff",
    "an answer": message("OpenSession", ttypes.TOpenSessionReq(), TMessageType.REPLY),
    "no such call": VALID.replace(b"OpenSession", b"OpenSesame!"),
    "no request": no_request(),
    "no session handle": message("CloseSession", ttypes.TCloseSessionReq()),
    "no statement": message("ExecuteStatement", ttypes.TExecuteStatementReq(
        sessionHandle=ttypes.TSessionHandle(ttypes.THandleIdentifier(b"", b"")))),
    "zeros": bytes(5000),
    "nested for ever": b"\x80\x01\x00\x01\x00\x00\x00\x0bOpenSession\x00\x00\x00\x07"
    + b"\x0c\x00\x01" * 100_000,
}  # fmt: skip


@pytest.mark.parametrize("body", GARBAGE.values(), ids=GARBAGE.keys())
def test_garbage_is_refused_in_one_sentence(workspace, body):
    answer = post(workspace, body)
    assert answer.status_code == 400, answer.text
    assert "TCLIService" in answer.json()["message"] and "Traceback" not in answer.text


@given(at=st.integers(0, len(VALID) - 1), byte=st.integers(0, 255), cut=st.integers(0, 9))
@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
def test_one_wrong_byte_breaks_nothing(workspace, at, byte, cut):
    body = bytearray(VALID)
    body[at] = byte
    answer = post(workspace, bytes(body[: len(body) - cut]))
    assert answer.status_code in (200, 400) and b"Traceback" not in answer.content


def test_a_body_that_is_too_large(workspace):
    assert post(workspace, bytes(18 * 1024 * 1024)).status_code == 413


def test_a_call_that_is_not_computed_says_its_name(workspace):
    answer = post(workspace, message("GetInfo", ttypes.TGetInfoReq()))
    protocol = TBinaryProtocol(TMemoryBuffer(answer.content))
    name, kind, _ = protocol.readMessageBegin()
    error = TApplicationException()
    error.read(protocol)
    assert (name, kind) == ("GetInfo", TMessageType.EXCEPTION)
    assert error.type == TApplicationException.UNKNOWN_METHOD and "GetInfo" in error.message


# whose handle


def test_a_call_without_a_valid_token(workspace):
    answer = post(workspace, VALID, token="dapi-of-nobody")
    assert answer.status_code == 401 and answer.json()["error_code"] == "UNAUTHENTICATED"


def test_handles_that_name_nothing(workspace):
    guid = uuid.uuid4().bytes
    session = ttypes.TSessionHandle(ttypes.THandleIdentifier(guid, guid))
    operation = ttypes.TOperationHandle(ttypes.THandleIdentifier(guid, guid), 0, True)
    answers = [
        execute(workspace, session, "SELECT 1"),
        call(workspace, "CloseSession", sessionHandle=session),
        call(workspace, "GetTables", sessionHandle=session),
        call(workspace, "GetOperationStatus", operationHandle=operation),
        call(workspace, "FetchResults", operationHandle=operation, maxRows=1),
        call(workspace, "CancelOperation", operationHandle=operation),
        call(workspace, "CloseOperation", operationHandle=operation),
    ]
    for answer in answers:
        assert answer.status.statusCode == STATUS.ERROR_STATUS
        assert "not exist" in answer.status.errorMessage


def test_another_caller_cannot_use_a_handle(workspace, session):
    known = workspace.credentials
    grant = httpx.post(
        workspace.host + "/oidc/v1/token",
        auth=(known.client_id, known.client_secret),
        data={"grant_type": "client_credentials", "scope": "all-apis"},
    )
    other = grant.json()["access_token"]
    handle = execute(workspace, session, "SELECT 'secret' AS s").operationHandle
    assert ended(workspace, handle) == STATE.FINISHED_STATE
    for name in ("GetOperationStatus", "FetchResults", "GetResultSetMetadata", "CloseOperation"):
        fields = {"maxRows": 10} if name == "FetchResults" else {}
        answer = call(workspace, name, other, operationHandle=handle, **fields)
        assert answer.status.statusCode == STATUS.ERROR_STATUS, name
    assert call(workspace, "CloseSession", other, sessionHandle=session).status.statusCode == (
        STATUS.ERROR_STATUS
    )
    mine = call(workspace, "FetchResults", operationHandle=handle, maxRows=10)
    assert mine.status.statusCode == STATUS.SUCCESS_STATUS


# statements


def test_a_thrift_statement_is_a_statement_of_the_rest_api(workspace, session):
    handle = execute(workspace, session, "SELECT 41 + 1 AS answer").operationHandle
    assert ended(workspace, handle) == STATE.FINISHED_STATE
    statement_id = str(uuid.UUID(bytes=handle.operationId.guid))
    found = workspace.sdk().statement_execution.get_statement(statement_id)
    assert found.status.state.value == "SUCCEEDED"
    assert found.manifest.total_row_count == 1
    history = workspace.sdk().query_history.list(
        filter_by=QueryFilter(statement_ids=[statement_id])
    )
    (told,) = history.res
    assert (told.query_text, told.status.value) == ("SELECT 41 + 1 AS answer", "FINISHED")


def test_the_handle_of_a_long_statement_comes_before_its_end(workspace, session):
    direct = ttypes.TSparkGetDirectResults(1000)
    answer = execute(workspace, session, LONG, getDirectResults=direct)
    handle = answer.operationHandle
    state = answer.directResults.operationStatus.operationState
    assert state in (STATE.PENDING_STATE, STATE.RUNNING_STATE)
    assert answer.directResults.resultSet is None
    call(workspace, "CancelOperation", operationHandle=handle)
    assert ended(workspace, handle) == STATE.CANCELED_STATE
    for name in ("GetResultSetMetadata", "FetchResults"):
        fields = {"maxRows": 10} if name == "FetchResults" else {}
        answer = call(workspace, name, operationHandle=handle, **fields)
        assert answer.status.statusCode == STATUS.ERROR_STATUS
        assert "CANCELED" in answer.status.errorMessage


def test_a_session_that_is_closed_ends_its_statements(workspace):
    opened = call(workspace, "OpenSession").sessionHandle
    handle = execute(workspace, opened, LONG).operationHandle
    call(workspace, "CloseSession", sessionHandle=opened)
    client = workspace.sdk().statement_execution
    deadline = time.monotonic() + 60
    while True:
        found = client.get_statement(str(uuid.UUID(bytes=handle.operationId.guid)))
        if found.status.state.value in ("CANCELED", "CLOSED"):
            break
        assert time.monotonic() < deadline, found.status
        time.sleep(0.1)


def test_how_a_statement_ended_is_remembered_when_it_is_closed(workspace):
    opened = call(workspace, "OpenSession").sessionHandle
    good = execute(workspace, opened, "SELECT 1").operationHandle
    bad = execute(workspace, opened, "SELECT * FROM no_such_table").operationHandle
    assert ended(workspace, good) == STATE.FINISHED_STATE
    assert ended(workspace, bad) == STATE.ERROR_STATE
    call(workspace, "CloseOperation", operationHandle=good)
    call(workspace, "CloseSession", sessionHandle=opened)
    client = workspace.sdk().statement_execution
    states = [
        client.get_statement(str(uuid.UUID(bytes=handle.operationId.guid))).status.state.value
        for handle in (good, bad)
    ]
    assert states == ["CLOSED", "FAILED"]


def test_a_result_that_has_expired_says_so(workspace, session):
    handle = execute(workspace, session, "SELECT id FROM range(100000)").operationHandle
    assert ended(workspace, handle) == STATE.FINISHED_STATE
    statement_id = str(uuid.UUID(bytes=handle.operationId.guid))
    shutil.rmtree(workspace.data / "spool" / "results" / statement_id)
    answer = call(workspace, "FetchResults", operationHandle=handle, maxRows=10)
    assert answer.status.statusCode == STATUS.ERROR_STATUS
    assert "expired" in answer.status.errorMessage


def test_rows_come_in_order_and_once(workspace, session):
    handle = execute(workspace, session, "SELECT id FROM range(25000) ORDER BY id").operationHandle
    ended(workspace, handle)
    metadata = call(workspace, "GetResultSetMetadata", operationHandle=handle)
    seen, more = [], True
    while more:
        answer = call(workspace, "FetchResults", operationHandle=handle, maxRows=3333)
        assert answer.results.startRowOffset == len(seen)
        parts = [metadata.arrowSchema, *(part.batch for part in answer.results.arrowBatches)]
        table = pa.ipc.open_stream(b"".join(parts)).read_all()
        assert table.num_rows <= 3333
        seen += table.column("id").to_pylist()
        more = answer.hasMoreRows
    assert seen == list(range(25000))
    beyond = call(workspace, "FetchResults", operationHandle=handle, maxRows=10)
    assert not beyond.hasMoreRows and not beyond.results.arrowBatches


def test_many_waiting_clients_hold_nobody_up(workspace, session):
    """Each call waits for its statement; were it on a thread of a small pool, they would queue.

    The statement waits for a warehouse that takes its time to start, and needs no processor.
    """
    http = control(workspace)
    http.post("/_local/warehouse", json={"start_seconds": 300}).raise_for_status()
    try:
        http.post("/api/2.0/sql/warehouses/local/stop").raise_for_status()
        handle = execute(workspace, session, "SELECT 1").operationHandle

        def ask(_=None):
            return call(workspace, "GetOperationStatus", operationHandle=handle).operationState

        one = _seconds(ask)
        with ThreadPoolExecutor(60) as pool:
            states = []
            together = _seconds(lambda: states.extend(pool.map(ask, range(60))))
        assert set(states) == {STATE.PENDING_STATE}
        assert together < one * 60 / 2
        call(workspace, "CancelOperation", operationHandle=handle)
        assert ended(workspace, handle) == STATE.CANCELED_STATE
    finally:
        http.post("/_local/warehouse", json={"start_seconds": 0}).raise_for_status()
        http.post("/api/2.0/sql/warehouses/local/stop").raise_for_status()


def control(workspace) -> httpx.Client:
    headers = {"Authorization": f"Bearer {workspace.token}"}
    return httpx.Client(base_url=workspace.host, headers=headers, timeout=60)


def _seconds(action) -> float:
    started = time.monotonic()
    action()
    return time.monotonic() - started


def connect(workspace, **options):
    return sql.connect(
        server_hostname="127.0.0.1", http_path=PATH, access_token=workspace.token,
        _connection_uri=workspace.host + PATH, enable_telemetry=False,
        _retry_stop_after_attempts_count=3, **options,
    )  # fmt: skip


def test_a_stopped_warehouse_that_does_not_start_refuses(workspace):
    http = control(workspace)
    with connect(workspace) as connection, connection.cursor() as cursor:
        http.post("/_local/warehouse", json={"auto_start": False}).raise_for_status()
        try:
            http.post("/api/2.0/sql/warehouses/local/stop").raise_for_status()
            with pytest.raises(sql.DatabaseError, match="stopped"):
                cursor.execute("SELECT 1")
        finally:
            http.post("/_local/warehouse", json={"auto_start": True}).raise_for_status()
        assert cursor.execute("SELECT 1 AS a").fetchone() == (1,)


def test_a_client_tries_again_after_503(workspace):
    fault = {"path": PATH, "status": 503, "retry_after": 1, "times": 1}
    pauses = {"_retry_delay_min": 0.1, "_retry_delay_max": 5}
    with connect(workspace, **pauses) as connection, connection.cursor() as cursor:
        control(workspace).post("/_local/faults", json=fault).raise_for_status()
        assert cursor.execute("SELECT 1 AS a").fetchone() == (1,)


# bounds


def test_a_large_fetch_needs_little_memory(tmp_path):
    """All rows in the answers themselves, from a workspace that has done nothing before."""
    running = serve_workspace(tmp_path, init_workspace(tmp_path))
    try:
        with connect(running, use_cloud_fetch=False) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT id FROM range(100000)").fetchall_arrow()
            before = _peak(running.process.pid)
            cursor.execute(
                "SELECT id, repeat(cast(id AS STRING), 100) AS filler FROM range(300000)"
            )
            count = size = 0
            while part := cursor.fetchmany_arrow(20_000):
                count += part.num_rows
                size += part.nbytes
            grown = _peak(running.process.pid) - before
    finally:
        stop_workspace(running)
    assert count == 300_000 and size > 150_000_000
    assert grown < size / 2, f"{grown} bytes more for a result of {size}"


def _peak(pid: int) -> int:
    """The largest memory of a process so far, in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024


def _operation() -> Operation:
    order = Order("SELECT 1", "local", [], None, None, None, None, False, "ARROW_STREAM")
    return Operation(StatementRun(str(uuid.uuid4()), order), ArrowForm(None), False)


def test_there_is_an_end_to_the_number_of_operations(monkeypatch):
    monkeypatch.setattr(operations, "KEEP_OPERATIONS", 3)
    known = Operations()
    made = [_operation() for _ in range(5)]
    for one in made:
        known.add(one)
    user = made[0].run.order.user
    for one in made[:2]:
        with pytest.raises(NoOperation):
            known.get(one.handle, user)
    assert [known.get(one.handle, user) for one in made[2:]] == made[2:]


def test_a_row_larger_than_an_answer_still_comes(tmp_path):
    batch = pa.record_batch({"v": ["x" * 5000] * 3})
    path = tmp_path / "0.arrow"
    with pa.ipc.new_stream(str(path), batch.schema) as writer:
        writer.write_batch(batch)
    result = StoredResult([], batch.schema)
    result.chunks.append(rows.Chunk(0, 0, 3, path.stat().st_size, path))
    result.row_count = 3
    assert [found.num_rows for found in rows.batches(result, 1, 10, 100)] == [1]
    assert rows.batches(result, 3, 10, 100) == []


def test_a_session_outlives_the_workspace_and_an_operation_does_not(tmp_path):
    running = serve_workspace(tmp_path, init_workspace(tmp_path))
    try:
        opened = call(running, "OpenSession").sessionHandle
        handle = execute(running, opened, "SELECT 1 AS a").operationHandle
        ended(running, handle)
        running.process.kill()
        running.process.wait(10)
        running.process.stdout.close()
        running = serve_workspace(tmp_path, running.credentials)
        answer = call(running, "FetchResults", operationHandle=handle, maxRows=1)
        assert answer.status.statusCode == STATUS.ERROR_STATUS
        again = execute(running, opened, "SELECT 1 AS a").operationHandle
        assert ended(running, again) == STATE.FINISHED_STATE
    finally:
        stop_workspace(running)


def test_cancels_from_many_threads_do_no_harm(workspace, session):
    handle = execute(workspace, session, LONG).operationHandle
    threads = [
        threading.Thread(target=call, args=(workspace, "CancelOperation"),
                         kwargs={"operationHandle": handle})
        for _ in range(8)
    ]  # fmt: skip
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ended(workspace, handle) == STATE.CANCELED_STATE
