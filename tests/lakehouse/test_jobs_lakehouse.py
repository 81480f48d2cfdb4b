"""The writing layer: contracts are enforced, conflicts retried, names checked."""

from __future__ import annotations

import threading
from datetime import datetime

import pytest

from lakehouse_jobs.contracts import contract_for, contract_names, source_contracts
from lakehouse_jobs.lakehouse import Lakehouse, SchemaMismatch, retry_on_conflict
from lakehouse_jobs.main import _volume
from lakehouse_jobs.quality import ExpectationFailed, require

pytest_plugins = ("jobs_fixtures",)

RUNS = "silver.load_runs"
NOW = datetime(2025, 7, 1)


def _runs(lake: Lakehouse, *rows: tuple):
    return lake.spark.createDataFrame(list(rows), contract_for(RUNS).ddl)


def _row(load_id: str, rows: int = 1) -> tuple:
    return (load_id, "run", rows, rows, 0, 0, NOW)


def test_a_frame_with_another_type_or_without_a_column_is_refused(empty):
    lake = empty.lake
    lake.declare(RUNS)
    frame = _runs(lake, _row("a"))
    with pytest.raises(SchemaMismatch, match="input_rows"):
        lake.append(RUNS, frame.withColumn("input_rows", frame["input_rows"].cast("string")))
    with pytest.raises(Exception, match="run_id"):
        lake.append(RUNS, frame.drop("run_id"))
    assert empty.rows(RUNS) == []


def test_declare_refuses_a_table_that_is_not_its_contracts(empty):
    path = str(empty.lake.path(RUNS))
    empty.lake.spark.createDataFrame([(1,)], "other int").write.format("delta").save(path)
    with pytest.raises(SchemaMismatch, match="silver.load_runs"):
        empty.lake.declare(RUNS)


def test_merge_inserts_updates_where_asked_and_deletes_where_asked(empty):
    lake = empty.lake
    lake.declare(RUNS)
    lake.merge(RUNS, _runs(lake, _row("a"), _row("b")))
    lake.merge(RUNS, _runs(lake, _row("a", 5), _row("c")))
    counts = {row["load_id"]: row["input_rows"] for row in empty.rows(RUNS)}
    assert counts == {"a": 1, "b": 1, "c": 1}
    lake.merge(RUNS, _runs(lake, _row("a", 5)), update_when="true", delete_missing=True)
    assert {row["load_id"]: row["input_rows"] for row in empty.rows(RUNS)} == {"a": 5}


def test_merges_at_the_same_time_all_arrive(empty):
    lake = empty.lake
    lake.declare(RUNS)
    lake.append(RUNS, _runs(lake, _row("first")))
    errors: list[BaseException] = []

    def write(name: str) -> None:
        try:
            for number in range(3):
                lake.merge(RUNS, _runs(lake, _row(f"{name}-{number}")), update_when="true")
        except BaseException as error:  # noqa: BLE001 - told to the main thread below
            errors.append(error)

    threads = [threading.Thread(target=write, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(empty.rows(RUNS)) == 10


def test_retry_gives_up_on_other_errors_and_after_the_last_conflict():
    calls: list[int] = []

    def conflict() -> None:
        calls.append(1)
        raise RuntimeError("Failed to commit transaction: 8")

    with pytest.raises(RuntimeError, match="Failed to commit"):
        retry_on_conflict(conflict, attempts=3, sleep=lambda _seconds: None)
    assert len(calls) == 3

    def other() -> None:
        calls.append(1)
        raise RuntimeError("no such table")

    with pytest.raises(RuntimeError, match="no such table"):
        retry_on_conflict(other, attempts=3, sleep=lambda _seconds: None)
    assert len(calls) == 4


@pytest.mark.parametrize("name", ["runs", "a.b.c", "silver.x; drop", "silver.`x`", "../x.y"])
def test_names_are_checked(empty, name):
    with pytest.raises(ValueError, match="schema.table"):
        empty.lake.path(name)


def test_fail_expectations_stop_before_a_write(empty):
    frame = _runs(empty.lake, ("a", "run", 5, 1, 1, 1, NOW))
    with pytest.raises(ExpectationFailed, match="reconciled"):
        require(frame, RUNS, contract_for(RUNS).with_severity("fail"))


def test_volume_names(empty):
    lake = empty.lake
    expected = lake.volumes_root / "main" / "landing" / "finance_exports"
    assert _volume(lake, "landing.finance_exports") == expected
    assert _volume(lake, "/Volumes/main/landing/finance_exports") == expected


def test_contracts_are_complete():
    for name in contract_names():
        contract = contract_for(name)
        assert contract.description and contract.grain and contract.owner == "finance-data"
        assert len(set(contract.column_names)) == len(contract.columns)
    with pytest.raises(KeyError, match="no contract for"):
        contract_for("gold.nothing")
    assert {s.name for s in source_contracts()} == {"erp_register", "ph_books", "expense_app"}
