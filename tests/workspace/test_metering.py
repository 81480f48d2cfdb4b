"""Usage, prices and timelines: what work costs, and that each piece is counted exactly once."""

from __future__ import annotations

import concurrent.futures
import datetime as dt
import os
import signal
import sqlite3
import subprocess
import sys
import uuid
from decimal import Decimal
from pathlib import Path

import pytest
from deltalake import DeltaTable
from hypothesis import given, settings
from hypothesis import strategies as st
from workspace_process import (
    ROOT,
    child_environment,
)

from local_workspace.access.principals import ServicePrincipals
from local_workspace.errors import ApiError
from local_workspace.metering.meter import Meter
from local_workspace.metering.place import Place
from local_workspace.metering.rates import HOUR_MS, Rates, by_hour
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
