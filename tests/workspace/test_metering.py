"""Usage, prices and timelines: what work costs, and that each piece is counted exactly once."""

from __future__ import annotations

import concurrent.futures
import datetime as dt
import os
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from decimal import Decimal
from pathlib import Path

import httpx
import pytest
from deltalake import DeltaTable
from hypothesis import given, settings
from hypothesis import strategies as st
from workspace_process import (
    ROOT,
    child_environment,
    init_workspace,
    serve_workspace,
    stop_workspace,
)

from local_workspace.access.principals import ServicePrincipals
from local_workspace.errors import ApiError
from local_workspace.metering.meter import Meter
from local_workspace.metering.place import Place
from local_workspace.metering.rates import HOUR_MS, Rates, by_hour
from local_workspace.metering.schemas import TABLES
from local_workspace.metering.system_tables import COMPACT_FILES, SystemTables
from local_workspace.pipelines.pipeline_store import PipelineStore
from local_workspace.runs.definitions import Jobs
from local_workspace.runs.run_store import RunStore
from local_workspace.sql.statement_records import StatementRecords
from local_workspace.store import Store

NOON = int(dt.datetime(2026, 3, 4, 12, tzinfo=dt.UTC).timestamp() * 1000)


def parts(folder: Path) -> tuple[Store, Meter, SystemTables]:
    """The parts that metering needs, on files of their own."""
    store = Store(folder / "workspace.db")
    RunStore(store)
    Jobs(store)
    PipelineStore(store)
    ServicePrincipals(store)
    StatementRecords(store, folder / "results")
    meter = Meter(store)
    tables = folder / "tables"
    tables.mkdir(exist_ok=True)
    return store, meter, SystemTables(store, tables, Place("42", meter.rates))


def rows(folder: Path, name: str) -> list[dict]:
    return (
        DeltaTable(folder / "tables" / "system" / name.replace(".", "/"))
        .to_pyarrow_table()
        .to_pylist()
    )


# --- rates and records -------------------------------------------------------------------------


@given(st.integers(0, 4 * 10**12), st.integers(0, 10 * HOUR_MS))
def test_hours_cover_an_interval_without_gap(start, length):
    pieces = by_hour(start, start + length)
    assert pieces[0][0] == start and pieces[-1][1] == start + length
    assert all(one[1] == other[0] for one, other in zip(pieces, pieces[1:], strict=False))
    assert all(
        begin // HOUR_MS == (max(until, begin + 1) - 1) // HOUR_MS for begin, until in pieces
    )


def test_every_sku_is_local_and_has_a_price_at_any_time():
    rates = Rates()
    assert rates.currency in ("USD", "PHP")
    for sku in rates.skus:
        assert sku.name.startswith("LOCAL_")
        for periods in (sku.rates, sku.prices):
            for one, other in zip(periods, periods[1:], strict=False):
                assert one.end_ms == other.start_ms
            assert periods[-1].end_ms is None
            assert all(period.amount > 0 for period in periods)
    names = {rates.sku("JOBS", metadata).name for metadata in ({}, {"cluster_id": "c"})}
    assert names == {"LOCAL_JOBS_SERVERLESS_COMPUTE", "LOCAL_JOBS_COMPUTE"}


@settings(max_examples=20, deadline=None)
@given(seconds=st.lists(st.integers(0, 20_000), min_size=1, max_size=5))
def test_usage_is_the_seconds_times_the_rate(tmp_path_factory, seconds):
    folder = tmp_path_factory.mktemp("usage")
    _, meter, tables = parts(folder)
    for length in seconds:
        meter.record("JOBS", NOON, NOON + length * 1000, {"job_id": "1"}, "ana@example.com")
    tables.refresh()
    found = rows(folder, "billing.usage")
    total = sum(row["usage_quantity"] for row in found)
    assert abs(total - Decimal(sum(seconds)) / 3600 * 3) < Decimal("1e-15")
    lengths = [row["usage_end_time"] - row["usage_start_time"] for row in found]
    assert sum(lengths, dt.timedelta()) == dt.timedelta(seconds=sum(seconds))
    assert max(lengths) <= dt.timedelta(hours=1)
    assert len({row["record_id"] for row in found}) == len(found) >= len(seconds)


def test_a_usage_row(tmp_path):
    store, meter, tables = parts(tmp_path)
    store.execute(
        "INSERT INTO runs (run_id, job_id, number_in_job, settings, request, life_cycle, start_ms)"
        " VALUES (7, 3, 1, '{\"tags\": {\"team\": \"tax\"}}', '{}', 'RUNNING', 0)"
    )
    metadata = {"job_id": "3", "job_run_id": "7", "task_run_id": "8"}
    midnight = NOON + 12 * HOUR_MS
    meter.record("JOBS", midnight - 1000, midnight + 500, metadata, "ana@example.com")
    tables.refresh()
    before, after = sorted(rows(tmp_path, "billing.usage"), key=lambda row: row["usage_start_time"])
    assert (before["usage_date"], after["usage_date"]) == (dt.date(2026, 3, 4), dt.date(2026, 3, 5))
    assert before["sku_name"] == "LOCAL_JOBS_SERVERLESS_COMPUTE"
    assert before["usage_unit"] == "DBU" and before["record_type"] == "ORIGINAL"
    assert before["billing_origin_product"] == "JOBS"
    assert before["workspace_id"] == "42" and uuid.UUID(before["account_id"])
    assert before["usage_metadata"]["job_run_id"] == "7"
    assert before["usage_metadata"]["warehouse_id"] is None
    assert "task_run_id" not in before["usage_metadata"]
    assert dict(before["custom_tags"]) == {"team": "tax"}
    assert before["identity_metadata"]["run_as"] == "ana@example.com"
    assert before["product_features"]["is_serverless"] is True
    assert before["usage_quantity"] == (Decimal(1) / 3600 * 3).quantize(Decimal("1e-18"))


def test_a_clock_that_was_set_back_earns_nothing(tmp_path):
    _, meter, tables = parts(tmp_path)
    meter.record("SQL", NOON, NOON - 5000, {"warehouse_id": "local"}, "ana@example.com")
    tables.refresh()
    (row,) = rows(tmp_path, "billing.usage")
    assert row["usage_quantity"] == 0


def test_an_unknown_product_is_refused(tmp_path):
    _, meter, _ = parts(tmp_path)
    with pytest.raises(ValueError, match="product"):
        meter.record("COFFEE", NOON, NOON, {}, "ana@example.com")


def test_a_correction_is_a_retraction_and_a_restatement(tmp_path):
    _, meter, tables = parts(tmp_path)
    meter.record("SQL", NOON, NOON + 3000, {"warehouse_id": "local"}, "ana@example.com")
    tables.refresh()
    (original,) = rows(tmp_path, "billing.usage")
    meter.restate(original["record_id"], 1.5)
    tables.refresh()
    found = {row["record_type"]: row for row in rows(tmp_path, "billing.usage")}
    assert set(found) == {"ORIGINAL", "RETRACTION", "RESTATEMENT"}
    assert found["RETRACTION"]["usage_quantity"] == -original["usage_quantity"]
    assert found["RETRACTION"]["usage_metadata"] == original["usage_metadata"]
    total = sum(row["usage_quantity"] for row in found.values())
    assert abs(total - Decimal("1.5") / 3600 * 4) < Decimal("1e-17")
    for record in ("ORIGINAL", "RETRACTION"):
        with pytest.raises(ApiError) as refused:
            meter.restate(found[record]["record_id"], 1)
        assert refused.value.status == 400
    with pytest.raises(ApiError) as unknown:
        meter.restate("nothing", 1)
    assert unknown.value.status == 404


def test_changed_prices_replace_the_table(tmp_path):
    store, meter, tables = parts(tmp_path)
    tables.refresh()
    before = rows(tmp_path, "billing.list_prices")
    assert len(before) == sum(len(sku.prices) for sku in meter.rates.skus)
    tables.refresh()
    assert rows(tmp_path, "billing.list_prices") == before
    fewer = Rates()
    fewer.skus = fewer.skus[:1]
    SystemTables(store, tmp_path / "tables", Place("42", fewer)).refresh()
    names = {row["sku_name"] for row in rows(tmp_path, "billing.list_prices")}
    assert names == {fewer.skus[0].name}


# --- each row once -----------------------------------------------------------------------------

KILLED = """
import os, signal, sys
sys.path[:0] = [{root!r}, {tests!r}]
from pathlib import Path
import local_workspace.metering.outbox as outbox
from test_metering import parts
def killed(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
if {after_commit}:
    outbox.Outbox.written = killed
else:
    import deltalake
    deltalake.write_deltalake = killed
parts(Path({folder!r}))[2].refresh()
"""


@pytest.mark.parametrize("after_commit", [True, False])
def test_a_kill_around_the_commit_doubles_and_loses_nothing(tmp_path, after_commit):
    """SIGKILL in a process of its own, right after the Delta commit or right before it."""
    _, meter, tables = parts(tmp_path)
    for number in range(3):
        meter.record("SQL", NOON, NOON + number, {"warehouse_id": "local"}, "ana@example.com")
    script = KILLED.format(
        root=str(ROOT), tests=str(Path(__file__).parent), folder=str(tmp_path),
        after_commit=after_commit,
    )  # fmt: skip
    environment = child_environment()
    environment["PYTHONPATH"] += os.pathsep + str(ROOT / "tests" / "support")
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()[-2000:]
    meter.record("SQL", NOON, NOON + 9, {"warehouse_id": "local"}, "ana@example.com")
    tables.refresh()
    found = [row["record_id"] for row in rows(tmp_path, "billing.usage")]
    assert len(found) == len(set(found)) == 4
    prices = rows(tmp_path, "billing.list_prices")
    assert len(prices) == sum(len(sku.prices) for sku in meter.rates.skus)


def test_a_store_older_than_its_tables_loses_nothing_new(tmp_path):
    """A backup copies the store first and the tables after it."""
    store, meter, tables = parts(tmp_path)
    meter.record("SQL", NOON, NOON + 1, {"warehouse_id": "local"}, "ana@example.com")
    tables.refresh()
    with sqlite3.connect(tmp_path / "older.db") as older:
        sqlite3.connect(tmp_path / "workspace.db").backup(older)
    for number in range(5):
        meter.record("SQL", NOON, NOON + number, {"warehouse_id": "local"}, "ana@example.com")
    tables.refresh()
    for left in tmp_path.glob("workspace.db*"):
        left.unlink()
    (tmp_path / "older.db").rename(tmp_path / "workspace.db")
    _, meter, tables = parts(tmp_path)
    meter.record("SQL", NOON, NOON + 7, {"warehouse_id": "restored"}, "ana@example.com")
    tables.refresh()
    found = rows(tmp_path, "billing.usage")
    assert len(found) == len({row["record_id"] for row in found}) == 7
    assert [row["usage_metadata"]["warehouse_id"] for row in found].count("restored") == 1


def test_refreshes_at_the_same_time(tmp_path):
    _, meter, tables = parts(tmp_path)

    def work(number: int) -> None:
        meter.record("SQL", NOON, NOON + number, {"warehouse_id": "local"}, "ana@example.com")
        tables.refresh()

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(40)))
    found = [row["record_id"] for row in rows(tmp_path, "billing.usage")]
    assert len(found) == len(set(found)) == 40


def test_many_small_commits_are_compacted(tmp_path):
    _, meter, tables = parts(tmp_path)
    for number in range(COMPACT_FILES + 5):
        meter.record("SQL", NOON, NOON + number, {"warehouse_id": "local"}, "ana@example.com")
        tables.refresh()
    table = DeltaTable(tmp_path / "tables" / "system" / "billing" / "usage")
    assert len(table.file_uris()) < COMPACT_FILES
    assert table.to_pyarrow_table().num_rows == COMPACT_FILES + 5


def test_definitions_change_and_go(tmp_path):
    store, _, tables = parts(tmp_path)
    insert = "INSERT INTO jobs (job_id, settings, created_ms, creator) VALUES (5, ?, 0, 'ana')"
    store.execute(insert, '{"name": "one", "tags": {"a": "b"}}')
    for _ in range(2):
        tables.refresh()
    store.execute("UPDATE jobs SET settings = ?", '{"name": "two"}')
    tables.refresh()
    store.execute("DELETE FROM jobs")
    for _ in range(2):
        tables.refresh()
    found = sorted(rows(tmp_path, "lakeflow.jobs"), key=lambda row: row["change_time"])
    assert [row["name"] for row in found] == ["one", "two", None]
    assert dict(found[0]["tags"]) == {"a": "b"}
    assert [row["delete_time"] is None for row in found] == [True, True, False]


# --- a workspace -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def metered(tmp_path_factory):
    folder = tmp_path_factory.mktemp("metered")
    running = serve_workspace(folder, init_workspace(folder), options=("--faults",))
    yield running
    stop_workspace(running)


@pytest.fixture(scope="module")
def http(metered):
    headers = {"authorization": f"Bearer {metered.token}"}
    with httpx.Client(base_url=metered.host, headers=headers, timeout=60) as client:
        yield client


def ask(http, sql: str, **options) -> list[list]:
    body = {"statement": sql, "warehouse_id": "local", "wait_timeout": "50s"} | options
    answer = http.post("/api/2.0/sql/statements", json=body).json()
    assert answer["status"]["state"] == "SUCCEEDED", answer["status"]
    return answer["result"].get("data_array", [])


def error_of(http, sql: str, **options) -> dict:
    body = {"statement": sql, "warehouse_id": "local", "wait_timeout": "50s"} | options
    answer = http.post("/api/2.0/sql/statements", json=body).json()
    assert answer["status"]["state"] == "FAILED", answer["status"]
    return answer["status"]


def run_job(http, folder: Path, code: str, **settings) -> dict:
    """Run a job of one task to its end; returns the run as the API shows it."""
    script = folder / f"{uuid.uuid4().hex}.py"
    script.write_text(code)
    task = {"task_key": "only", "spark_python_task": {"python_file": str(script)}}
    body = {"name": "metered", "tasks": [task]} | settings
    job_id = http.post("/api/2.2/jobs/create", json=body).json()["job_id"]
    run_id = http.post("/api/2.2/jobs/run-now", json={"job_id": job_id}).json()["run_id"]
    deadline = time.monotonic() + 60
    while True:
        run = http.get("/api/2.2/jobs/runs/get", params={"run_id": run_id}).json()
        if run["state"]["life_cycle_state"] in ("TERMINATED", "INTERNAL_ERROR"):
            return run
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_the_sum_over_usage_is_the_time_of_the_runs(http, tmp_path):
    runs = [
        run_job(http, tmp_path, code, tags={"team": "tax"})
        for code in ("import time; time.sleep(0.5)", "raise SystemExit(3)", "print('quick')")
    ]
    assert [run["state"]["result_state"] for run in runs] == ["SUCCESS", "FAILED", "SUCCESS"]
    ids = ",".join(f"'{run['run_id']}'" for run in runs)
    (found,) = ask(
        http,
        "SELECT count(*), sum(usage_quantity), min(custom_tags['team']),"
        " max(identity_metadata.run_as) FROM system.billing.usage"
        f" WHERE usage_metadata.job_run_id IN ({ids})",
    )
    seconds = sum(run["tasks"][0]["execution_duration"] for run in runs) / 1000
    assert int(found[0]) >= 3
    assert float(found[1]) * 3600 / 3 == pytest.approx(seconds, abs=0.3)
    assert found[2] == "tax"
    assert found[3] == http.get("/api/2.0/preview/scim/v2/Me").json()["userName"]


def test_every_statement_leaves_its_rows(http):
    """Those that succeed, fail, are cancelled: one in the history, and usage if they ran."""
    marker = uuid.uuid4().hex
    asked = []
    for sql in (f"SELECT '{marker}', 1", f"SELECT '{marker}' FROM main.gold.no_such_table"):
        body = {"statement": sql, "warehouse_id": "local", "wait_timeout": "50s"}
        asked.append(http.post("/api/2.0/sql/statements", json=body).json())
    slow = f"SELECT '{marker}', sum(sqrt(id)) FROM range(1000000000000)"
    body = {"statement": slow, "warehouse_id": "local", "wait_timeout": "0s"}
    asked.append(http.post("/api/2.0/sql/statements", json=body).json())
    path = f"/api/2.0/sql/statements/{asked[2]['statement_id']}"
    deadline = time.monotonic() + 60
    while (state := http.get(path).json()["status"]["state"]) != "CANCELED":
        assert time.monotonic() < deadline and state in ("PENDING", "RUNNING")
        if state == "RUNNING":
            http.post(f"{path}/cancel", json={})
        time.sleep(0.1)
    http.delete(f"/api/2.0/sql/statements/{asked[0]['statement_id']}")
    found = ask(
        http,
        "SELECT statement_id, execution_status, produced_rows, error_message, executed_by_user_id,"
        " total_duration_ms FROM system.query.history"
        f" WHERE statement_text LIKE 'SELECT ''{marker}%'"
        " ORDER BY start_time",
    )
    assert [row[0] for row in found] == [answer["statement_id"] for answer in asked]
    assert [row[1] for row in found] == ["FINISHED", "FAILED", "CANCELED"]
    assert [row[2] for row in found] == ["1", None, None]
    assert "TABLE_OR_VIEW_NOT_FOUND" in found[1][3]
    assert {row[4] for row in found} == {"1"}
    assert all(int(row[5]) >= 0 for row in found)
    ids = ",".join(f"'{row[0]}'" for row in found)
    (used,) = ask(
        http,
        "SELECT count(*), sum(usage_quantity), max(sku_name) FROM system.billing.usage"
        " WHERE billing_origin_product = 'SQL' AND usage_metadata.warehouse_id = 'local'",
    )
    assert int(used[0]) >= 3 and float(used[1]) > 0
    assert used[2] == "LOCAL_SERVERLESS_SQL_COMPUTE"
    again = ask(http, f"SELECT count(*) FROM system.query.history WHERE statement_id IN ({ids})")
    assert again == [["3"]]


def test_timelines_of_runs_and_tasks(http, tmp_path):
    run = run_job(
        http, tmp_path, "raise ValueError('x')", parameters=[{"name": "p", "default": "1"}]
    )
    (found,) = ask(
        http,
        "SELECT job_id, result_state, run_name, run_type, unix_millis(period_start_time),"
        " unix_millis(period_end_time), job_parameters['p'] FROM system.lakeflow.job_run_timeline"
        f" WHERE run_id = '{run['run_id']}'",
    )
    assert found[:4] == [str(run["job_id"]), "FAILED", "metered", "JOB_RUN"]
    assert [int(found[4]), int(found[5])] == [run["start_time"], run["end_time"]]
    assert found[6] == "1"
    task = run["tasks"][0]
    (found,) = ask(
        http,
        "SELECT run_id, task_key, result_state, unix_millis(period_end_time)"
        f" FROM system.lakeflow.job_task_run_timeline WHERE job_run_id = '{run['run_id']}'",
    )
    assert found == [str(task["run_id"]), "only", "FAILED", str(task["end_time"])]
    (found,) = ask(http, f"SELECT name FROM system.lakeflow.jobs WHERE job_id = '{run['job_id']}'")
    assert found == ["metered"]


def test_cost_is_usage_times_price_in_plain_sql(http, tmp_path):
    run = run_job(http, tmp_path, "import time; time.sleep(0.2)")
    (found,) = ask(
        http,
        "SELECT sum(u.usage_quantity * p.pricing.effective_list.default), max(p.currency_code),"
        " sum(u.usage_quantity) FROM system.billing.usage u JOIN system.billing.list_prices p"
        " ON u.sku_name = p.sku_name AND u.cloud = p.cloud AND u.usage_unit = p.usage_unit"
        " AND u.usage_start_time >= p.price_start_time"
        " AND (p.price_end_time IS NULL OR u.usage_start_time < p.price_end_time)"
        f" WHERE u.usage_metadata.job_run_id = '{run['run_id']}'",
    )
    assert found[1] == "USD"
    assert float(found[0]) == pytest.approx(float(found[2]) * 0.35, abs=1e-5)


def test_amounts_are_read_to_the_last_digit(http, metered, tmp_path):
    """What SQL answers is what the file holds, also for a row that is alone in its file."""
    run = run_job(http, tmp_path, "print(1)")
    (found,) = ask(
        http,
        "SELECT record_id, usage_quantity FROM system.billing.usage"
        f" WHERE usage_metadata.job_run_id = '{run['run_id']}'",
    )
    stored = {
        row["record_id"]: row["usage_quantity"] for row in rows(metered.data, "billing.usage")
    }
    assert Decimal(found[1]) == stored[found[0]] > 0


def test_large_costs_do_not_overflow(http):
    (found,) = ask(
        http,
        "SELECT sum(u.usage_quantity * p.price) FROM"
        " (SELECT CAST(q AS DECIMAL(38,18)) AS usage_quantity"
        " FROM VALUES (900000), (900000) t(q)) u"
        " CROSS JOIN (SELECT pricing.default AS price FROM system.billing.list_prices"
        " WHERE sku_name = 'LOCAL_JOBS_SERVERLESS_COMPUTE' AND price_end_time IS NULL) p",
    )
    assert Decimal(found[0]) == Decimal("630000")


def test_a_correction_on_demand(http, tmp_path):
    run = run_job(http, tmp_path, "print(1)")
    where = f"FROM system.billing.usage WHERE usage_metadata.job_run_id = '{run['run_id']}'"
    ((record_id,),) = ask(http, f"SELECT record_id {where}")
    body = {"record_id": record_id, "seconds": 1800}
    assert http.post("/_local/usage/restate", json=body).status_code == 200
    (found,) = ask(http, f"SELECT count(*), sum(usage_quantity) {where}")
    assert int(found[0]) in (3, 4)  # half an hour may lie in two hours
    assert float(found[1]) == pytest.approx(1.5, abs=1e-6)
    assert http.post("/_local/usage/restate", json=body).status_code == 400
    body["record_id"] = "none"
    assert http.post("/_local/usage/restate", json=body).status_code == 404


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO system.billing.usage SELECT * FROM system.billing.usage",
        "INSERT OVERWRITE `system`.billing.usage SELECT * FROM system.billing.usage",
        "UPDATE SYSTEM.billing.usage SET sku_name = 'x'",
        "DELETE FROM system.billing.usage",
        "MERGE INTO system.billing.usage t USING system.billing.usage s"
        " ON t.record_id = s.record_id WHEN MATCHED THEN DELETE",
        "WITH x AS (SELECT 1 AS a) INSERT INTO system.billing.list_prices SELECT * FROM"
        " system.billing.list_prices",
        "DROP TABLE system.billing.usage",
        "DROP TABLE IF EXISTS system.billing.usage",
        "DROP SCHEMA system.billing CASCADE",
        "CREATE SCHEMA IF NOT EXISTS system.mine",
        "CREATE TABLE system.billing.mine (a INT)",
        "CREATE OR REPLACE TABLE system.billing.usage AS SELECT 1 AS a",
        "ALTER TABLE system.billing.usage ADD COLUMNS (a INT)",
        "OPTIMIZE system.billing.usage",
        "VACUUM system.billing.usage",
        "RESTORE TABLE system.billing.usage TO VERSION AS OF 0",
        "TRUNCATE TABLE system.billing.usage",
    ],
)
def test_the_catalog_is_read_only(http, sql):
    status = error_of(http, sql)
    assert "INSUFFICIENT_PERMISSIONS" in status["error"]["message"]
    assert status.get("sql_state", "42501") == "42501"
    assert int(ask(http, "SELECT count(*) FROM system.billing.list_prices")[0][0]) > 0


def test_reading_from_the_catalog_into_a_table_of_ones_own(http):
    ask(
        http, "CREATE OR REPLACE TABLE main.gold.costs AS SELECT sku_name FROM system.billing.usage"
    )
    ask(http, "INSERT INTO main.gold.costs SELECT sku_name FROM system.billing.list_prices")
    ask(http, "DROP TABLE main.gold.costs")
    error_of(http, "DELETE FROM usage", catalog="system", schema="billing")
    assert ask(http, "SELECT count(*) FROM usage", catalog="system", schema="billing")


def test_every_table_has_its_columns(http):
    for target, schema in TABLES.items():
        found = ask(http, f"DESCRIBE TABLE system.{target}")
        assert [row[0] for row in found] == schema.names
    types = {row[0]: row[1] for row in ask(http, "DESCRIBE TABLE system.billing.usage")}
    assert types["usage_quantity"] == "decimal(38,18)"
    assert types["custom_tags"] == "map<string,string>"
    assert types["usage_date"] == "date" and types["usage_start_time"] == "timestamp"


def test_killed_and_started_again_nothing_is_doubled(tmp_path):
    token = init_workspace(tmp_path)
    run_ids = []
    for _ in range(2):
        running = serve_workspace(tmp_path, token)
        headers = {"authorization": f"Bearer {running.token}"}
        with httpx.Client(base_url=running.host, headers=headers, timeout=60) as http:
            run_ids.append(run_job(http, tmp_path, "print(1)")["run_id"])
            ask(http, "SELECT count(*) FROM system.lakeflow.job_run_timeline")
            run_ids.append(run_job(http, tmp_path, "print(2)")["run_id"])
        running.process.kill()
        running.process.wait(10)
        running.process.stdout.close()
    running = serve_workspace(tmp_path, token)
    try:
        with httpx.Client(base_url=running.host, headers=headers, timeout=60) as http:
            found = ask(http, "SELECT run_id FROM system.lakeflow.job_run_timeline")
            used = ask(
                http,
                "SELECT usage_metadata.job_run_id FROM system.billing.usage"
                " WHERE billing_origin_product = 'JOBS'",
            )
        assert sorted(int(row[0]) for row in found) == sorted(run_ids)
        assert sorted(int(row[0]) for row in used) == sorted(run_ids)
    finally:
        stop_workspace(running)
