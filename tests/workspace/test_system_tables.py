"""The system tables of a workspace: what statements, runs and updates leave in them, once each."""

from __future__ import annotations

import time
import uuid
from decimal import Decimal
from pathlib import Path

import httpx
import pytest
from deltalake import DeltaTable
from workspace_process import init_workspace, serve_workspace, stop_workspace

from local_workspace.metering.schemas import TABLES


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


def test_an_update_of_a_pipeline_leaves_its_rows(http):
    code = (
        b"from pyspark import pipelines as dp\n"
        b"@dp.materialized_view\n"
        b"def metered_view():\n"
        b"    return spark.range(3)\n"
    )
    file = "/Volumes/main/landing/finance_exports/metered.py"
    http.put(f"/api/2.0/fs/files{file}", params={"overwrite": "true"}, content=code)
    body = {"name": f"metered {uuid.uuid4().hex}", "catalog": "main", "schema": "gold",
            "libraries": [{"file": {"path": file}}]}  # fmt: skip
    pipeline_id = http.post("/api/2.0/pipelines", json=body).json()["pipeline_id"]
    path = f"/api/2.0/pipelines/{pipeline_id}/updates"
    update_id = http.post(path, json={"full_refresh": True}).json()["update_id"]
    deadline = time.monotonic() + 120
    while (state := http.get(f"{path}/{update_id}").json()["update"]["state"]) != "COMPLETED":
        assert state not in ("FAILED", "CANCELED") and time.monotonic() < deadline, state
        time.sleep(0.2)
    # The meter is told right after the state.
    sql = (
        "SELECT sku_name, usage_quantity, usage_metadata.dlt_pipeline_id FROM system.billing.usage"
        f" WHERE usage_metadata.dlt_update_id = '{update_id}'"
    )
    while not (used := ask(http, sql)):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert {row[0] for row in used} == {"LOCAL_DLT_SERVERLESS_COMPUTE"}
    assert sum(float(row[1]) for row in used) > 0
    assert {row[2] for row in used} == {pipeline_id}
    (found,) = ask(
        http,
        "SELECT result_state, update_type, trigger_type FROM"
        f" system.lakeflow.pipeline_update_timeline WHERE update_id = '{update_id}'",
    )
    assert found == ["COMPLETED", "FULL_REFRESH", "API_CALL"]
    (name,) = ask(
        http, f"SELECT name FROM system.lakeflow.pipelines WHERE pipeline_id = '{pipeline_id}'"
    )
    assert name == [body["name"]]


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
    table = DeltaTable(metered.data / "tables" / "system" / "billing" / "usage")
    rows = table.to_pyarrow_table().to_pylist()
    stored = {row["record_id"]: row["usage_quantity"] for row in rows}
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
