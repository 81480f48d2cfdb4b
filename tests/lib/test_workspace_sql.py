"""SQL, warehouse and identity against a running embedded workspace, through the SDK."""

import datetime
import time
from decimal import Decimal

import pytest
from lib import errors, health, sql
from lib.client import Timeouts
from lib.sql import Typed

WAREHOUSE = "local"
QUICK = Timeouts(connect=2, read=20, total=20, longest_pause=0.2)


@pytest.fixture
def records():
    return []


@pytest.fixture
def client(workspace, records):
    return workspace.connect(timeouts=QUICK, on_call=records.append)


@pytest.fixture
def stopped(workspace, client):
    """A warehouse that is stopped and refuses to start by itself; running again afterwards."""
    workspace.local("/_local/warehouse", auto_start=False)
    client.warehouses.stop(WAREHOUSE)
    yield
    workspace.local("/_local/warehouse", auto_start=True)
    client.warehouses.start(WAREHOUSE)
    deadline = time.monotonic() + 10
    while client.warehouses.get(WAREHOUSE).state.value != "RUNNING":
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_connection_is_healthy(client, workspace):
    checks = health.test_connection(client, WAREHOUSE)
    assert [(c.name, c.ok, c.kind) for c in checks] == [
        ("host", True, ""),
        ("identity", True, ""),
        ("warehouse", True, ""),
        ("statement", True, ""),
    ]
    assert workspace.host in checks[0].detail and "signed in as" in checks[1].detail


def test_what_is_used_is_looked_at_one_by_one(client, workspace):
    from lib import sql

    sql.execute(client, WAREHOUSE, "CREATE OR REPLACE TABLE main.gold.healthy AS SELECT 1 AS x")
    scope = health.Scope(
        tables=("main.gold.healthy", "main.gold.missing", "no name"),
        endpoints=("missing",),
        jobs=("missing", "999999"),
        pipelines=("missing",),
    )
    checks = health.test_connection(client, WAREHOUSE, scope)
    found = {(c.name, c.subject): c for c in checks if c.subject}
    works = {key for key, check in found.items() if check.ok}
    assert works == {("schema", "main.gold"), ("table", "main.gold.healthy")}
    assert all(check.ok is False and check.hint for key, check in found.items() if key not in works)
    missing = found["table", "main.gold.missing"]
    assert missing.kind == "not_found" and "SELECT on main.gold.missing to" in missing.hint
    assert found["table", "no name"].kind == "invalid_request"
    assert found["endpoint", "missing"].kind == "endpoint_not_found"
    checks = health.test_connection(client, None, scope)
    assert next(c for c in checks if c.subject == "main.gold.healthy").ok, "metadata is asked"


def test_wrong_token(workspace):
    token = "dapi" + "0" * 32
    checks = health.test_connection(lambda: workspace.connect(token=token), WAREHOUSE)
    assert [c.ok for c in checks] == [True, False, None, None]
    assert checks[1].kind == "wrong_token" and "revoked" in checks[1].hint
    assert token not in repr(checks)


def test_wrong_host(workspace):
    from lib.client import connect

    checks = health.test_connection(
        lambda: connect("http://127.0.0.1:9", "pat", token="x" * 8, timeouts=QUICK), WAREHOUSE
    )
    assert [c.ok for c in checks] == [False, None, None, None]
    assert checks[0].kind == "unreachable"


def test_unknown_warehouse(client):
    checks = health.test_connection(client, "nope")
    assert [c.ok for c in checks] == [True, True, False, None]
    assert checks[2].kind == "warehouse_not_found"


def test_stopped_warehouse(client, stopped):
    checks = health.test_connection(client, WAREHOUSE)
    assert [c.ok for c in checks] == [True, True, False, None]
    assert checks[2].kind == "warehouse_stopped" and "Start" in checks[2].hint
    with pytest.raises(errors.WarehouseStopped):
        sql.query(client, WAREHOUSE, "SELECT 1")
    assert client.warehouses.get(WAREHOUSE).state.value == "STOPPED"


def test_values_come_back_with_their_types(client):
    stamp = datetime.datetime(2025, 8, 15, 1, 2, 3, 456000)
    sent = {
        "a_bool": True,
        "a_long": -(2**53) - 1,
        "a_decimal": Decimal("12345.60"),
        "a_double": 0.1,
        "a_text": "o'k :x `b` \\ ñ",
        "a_date": datetime.date(2025, 2, 28),
        "a_stamp": stamp,
    }
    text = "SELECT " + ", ".join(f":{name} AS {name}" for name in sent)
    assert sql.query(client, WAREHOUSE, text, sent) == [sent]
    (row,) = sql.query(client, WAREHOUSE, text, sent)
    assert str(row["a_decimal"]) == "12345.60"
    for name, value in sent.items():
        assert type(row[name]) is type(value), name


def test_zoned_timestamps_become_utc(client):
    manila = datetime.timezone(datetime.timedelta(hours=8))
    stamp = datetime.datetime(2025, 8, 15, 7, 30, tzinfo=manila)
    (row,) = sql.query(client, WAREHOUSE, "SELECT :s AS s", {"s": stamp})
    assert row["s"] == datetime.datetime(2025, 8, 14, 23, 30)


def test_null_and_typed_parameters(client):
    text = "SELECT :d AS d, :n IS NULL AS n, :i + 1 AS i"
    rows = sql.query(
        client, WAREHOUSE, text, {"d": Typed("DATE", None), "n": None, "i": Typed("INT", 4)}
    )
    assert rows == [{"d": None, "n": True, "i": 5}]


def test_failed_statement_tells_the_state(client):
    with pytest.raises(errors.StatementFailed) as caught:
        sql.query(client, WAREHOUSE, "SELECT * FROM main.gold.no_such_table")
    assert "no_such_table" in str(caught.value) and caught.value.statement_id
    assert caught.value.sql_state == "42P01"


def test_row_limit_is_told(client):
    statement = sql.execute(client, WAREHOUSE, "SELECT * FROM range(50)", row_limit=10)
    assert statement.truncated and statement.row_count == 10
    assert len(list(sql.fetch_rows(client, statement))) == 10


def test_submit_then_poll(client, records):
    statement = sql.submit(client, WAREHOUSE, "SELECT id FROM range(3) ORDER BY id")
    assert statement.statement_id
    deadline = time.monotonic() + 20
    while statement.is_running:
        assert time.monotonic() < deadline
        time.sleep(0.05)
        statement = sql.poll(client, statement.statement_id, warehouse_id=WAREHOUSE)
    assert [row["id"] for row in sql.fetch_rows(client, statement)] == [0, 1, 2]
    assert {(r.verb, r.status) for r in records} == {("GET", 200), ("POST", 200)}


SLOW = "SELECT count(*) AS n FROM range(300000) a CROSS JOIN range(300000) b WHERE a.id * b.id < 0"


def test_cancel(client):
    statement = sql.submit(client, WAREHOUSE, SLOW)
    time.sleep(1)
    assert sql.poll(client, statement.statement_id).is_running
    sql.cancel(client, statement.statement_id)
    deadline = time.monotonic() + 20
    with pytest.raises(errors.StatementCanceled):
        while sql.poll(client, statement.statement_id).is_running:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_time_out_cancels_the_statement(client):
    started = time.monotonic()
    with pytest.raises(errors.TimedOut, match="was cancelled"):
        sql.execute(client, WAREHOUSE, SLOW, timeout=1)
    assert time.monotonic() - started < 10
    assert sql.query(client, WAREHOUSE, "SELECT 1 AS one") == [{"one": 1}]


def test_the_warehouse_can_end_it_itself(client):
    with pytest.raises(errors.TimedOut, match="5 seconds"):
        sql.submit(client, WAREHOUSE, SLOW, wait_seconds=5, on_wait_timeout="CANCEL")


def test_wait_of_the_api_is_checked_here(client):
    with pytest.raises(ValueError, match="5..50"):
        sql.submit(client, WAREHOUSE, "SELECT 1", wait_seconds=2)


def test_arrow_in_batches(client, records):
    rows = 200_000
    statement = sql.execute(
        client,
        WAREHOUSE,
        "SELECT id, CAST(id AS DECIMAL(18,2)) / 4 AS amount, CAST(id AS STRING) AS text,"
        f" DATE '2025-08-15' AS day FROM range({rows})",
        arrow=True,
    )
    assert statement.row_count == rows and statement.arrow
    assert [column.name for column in statement.columns] == ["id", "amount", "text", "day"]
    seen, total = 0, 0
    for batch in sql.fetch_arrow(client, statement):
        seen += batch.num_rows
        total += sum(batch.column(0).to_pylist())
        assert batch.schema.names == ["id", "amount", "text", "day"]
    assert (seen, total) == (rows, rows * (rows - 1) // 2)
    assert all("?" not in record.endpoint for record in records)


def test_arrow_of_no_rows(client):
    statement = sql.execute(client, WAREHOUSE, "SELECT 1 AS a WHERE false", arrow=True)
    batches = list(sql.fetch_arrow(client, statement))
    # a result without rows may still tell its columns
    assert sum(batch.num_rows for batch in batches) == 0
    assert all(batch.schema.names == ["a"] for batch in batches)


def test_results_are_read_by_their_own_reader(client):
    statement = sql.execute(client, WAREHOUSE, "SELECT 1 AS a", arrow=True)
    with pytest.raises(ValueError, match="fetch_arrow"):
        list(sql.fetch_rows(client, statement))


def test_unknown_statement(client):
    with pytest.raises(errors.NotFound):
        sql.poll(client, "01f00000-0000-0000-0000-000000000000")


def test_what_is_not_computed_is_named(client):
    from lib.errors import translated

    with pytest.raises(errors.NotComputed), translated():
        client.dbfs.get_status("/x")


@pytest.mark.parametrize("status", [503, 429])
def test_planned_fault_is_retried_then_succeeds(workspace, client, records, status):
    workspace.local(
        "/_local/faults", path="/api/2.0/sql/warehouses/local", status=status, retry_after=0
    )
    assert client.warehouses.get(WAREHOUSE).state.value == "RUNNING"
    tried = [(r.status, r.attempt) for r in records if r.endpoint.endswith("/local")]
    assert tried == [(status, 1), (200, 2)]
