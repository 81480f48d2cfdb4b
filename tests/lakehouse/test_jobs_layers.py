"""Bronze, Silver and Gold as a whole: counts, reasons, ledger, running twice, later loads."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from datetime import date
from decimal import Decimal

import pyarrow.dataset as dataset
import pytest
from jobs_samples import OPTIONS, app_zip

import bir_rules
from lakehouse_jobs import stages
from lakehouse_jobs.contracts import contract_for, contract_names
from lakehouse_jobs.generator import add_broken

pytest_plugins = ("jobs_fixtures",)

BRONZE_ROWS = OPTIONS.lines + 9  # the broken files hold nine records that can be placed
KINDS = {"MAYON": "ordinary"}


def test_bronze_keeps_every_record_and_the_ledger_every_file(built, tmp_path):
    rows = built.rows("bronze.finance_lines")
    assert len(rows) == BRONZE_ROWS
    keys = {(r["source_sha256"], r["source_file"], r["source_line"]) for r in rows}
    assert len(keys) == len(rows)
    assert all(json.loads(row["raw"]) for row in rows if row["problem"] is None)
    ledger = built.rows("bronze.load_files")
    assert sum(row["row_count"] for row in ledger) == BRONZE_ROWS
    refused = {r["path"] + ("!" + r["member"] if r["member"] else ""): r for r in ledger
               if r["status"] == "refused"}  # fmt: skip
    faults = add_broken(tmp_path)
    record_faults = {"line too long", "column count", "unreadable record"}
    expected = {name for name, fault in faults.items() if fault not in record_faults}
    assert set(refused) == expected
    for name, row in refused.items():
        assert faults[name] in row["reason"]
    assert refused["BROKEN/members.zip!latin1.csv"]["line"] == 3


def test_good_quarantined_and_duplicates_are_the_input(built):
    report = built.reports["silver"]
    assert report["input_rows"] == BRONZE_ROWS
    good = built.rows("silver.finance_lines")
    bad = built.rows("silver.finance_lines_quarantine")
    assert len(good) == report["good_rows"]
    assert len(bad) == report["quarantined_rows"]
    assert report["duplicate_rows"] > 20
    assert len(good) + len(bad) + report["duplicate_rows"] == BRONZE_ROWS
    assert len({row["line_key"] for row in good}) == len(good)


def test_quarantine_names_file_line_and_reason(built):
    bad = built.rows("silver.finance_lines_quarantine")
    reasons = Counter(reason["name"] for row in bad for reason in row["reasons"])
    for name in ("record_readable", "document_date_valid", "vendor_present", "amount_valid",
                 "amount_not_negative"):  # fmt: skip
        assert reasons[name] > 0, name
    assert all(row["raw"] and row["source_file"] and row["source_line"] > 1 for row in bad)
    long = next(row for row in bad if row["source_file"].endswith("long_line.csv"))
    assert long["reasons"] == [
        {"name": "record_readable", "message": "line too long", "column": "raw"}
    ]
    dates = [r["document_date"] for r in bad if r["reasons"][0]["name"] == "document_date_valid"]
    assert "31/02/2025" in dates


def test_metrics_count_what_the_arrays_say(built):
    metrics = {row["expectation"]: row for row in built.rows("silver.quality_metrics")}
    assert set(metrics) == {e.name for e in contract_for("silver.finance_lines").expectations}
    bad = built.rows("silver.finance_lines_quarantine")
    for name in ("vendor_present", "amount_not_negative", "record_readable"):
        count = sum(reason["name"] == name for row in bad for reason in row["reasons"])
        assert metrics[name]["failed"] == count
        assert metrics[name]["passed"] == BRONZE_ROWS - count


def test_silver_amounts_add_up_and_follow_the_vat_rule(built):
    rows = built.rows("silver.finance_lines")
    for row in rows:
        assert row["amount_net"] + row["amount_vat"] == row["amount_gross"]
        if row["vat_status"] != "vat_registered":
            assert row["amount_vat"] == 0
        else:
            gap = bir_rules.percent_of(row["amount_net"], Decimal(12)) - row["amount_vat"]
            assert abs(gap) <= Decimal("0.05")
    assert {type(row["amount_net"]) for row in rows} == {Decimal}


def test_gold_sums_are_those_of_silver(built):
    silver = built.rows("silver.finance_lines")
    gross = sum(row["amount_gross"] for row in silver)
    facts = built.rows("gold.expense_facts")
    spend = built.rows("gold.vendor_spend_monthly")
    ewt = built.rows("gold.ewt_summary")
    assert len(facts) == len(silver)
    assert sum(row["amount_gross"] for row in facts) == gross
    assert sum(row["amount_gross"] for row in spend) == gross
    assert sum(row["line_count"] for row in spend) == len(silver)
    assert sum(row["ewt_amount"] for row in spend) == sum(row["tax_withheld"] for row in ewt) > 0
    assert {row["rules_fingerprint"] for row in ewt} == {bir_rules.fingerprint()}
    assert {row["quarter"]: row["quarter_end"] for row in ewt}["2025-Q3"] == date(2025, 9, 30)


def test_vendor_spend_against_a_plain_count(built):
    documents: dict[tuple, set] = {}
    for row in built.rows("silver.finance_lines"):
        month = row["document_date"].replace(day=1)
        key = (row["company_code"], month, row["vendor_key"], row["currency"])
        documents.setdefault(key, set()).add((row["document_kind"], row["document_no"]))
    spend = built.rows("gold.vendor_spend_monthly")
    found = {(r["company_code"], r["month"], r["vendor_key"], r["currency"]): r for r in spend}
    assert {key: len(value) for key, value in documents.items()} == {
        key: row["bill_count"] for key, row in found.items()
    }
    key, row = next(iter(found.items()))
    text = "|".join((key[0], key[1].isoformat(), key[2], key[3]))
    assert row["row_key"] == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("table", contract_names())
def test_each_table_has_its_contracts_columns(built, table):
    names = built.delta(table).schema().to_arrow().names
    assert tuple(names) == contract_for(table).column_names


def test_running_twice_is_running_once(built):
    before = built.versions()
    reports = built.build()
    assert reports["bronze"]["rows"] == 0
    assert reports["silver"]["loads"] == 0
    assert reports["gold"]["built"] == []
    assert built.versions() == before
    assert set(before) >= {"main/" + name.replace(".", "/") for name in contract_names()}


def test_a_crash_before_the_ledger_doubles_nothing(empty, monkeypatch):
    app_zip(empty.exports / "a.zip", {}, {"lineNumber": 2})

    def crash(*_args):
        raise RuntimeError("the machine went down")

    with monkeypatch.context() as patch:
        patch.setattr(stages, "ledger_frame", crash)
        with pytest.raises(RuntimeError, match="went down"):
            stages.ingest_bronze(empty.lake, empty.exports)
    assert len(empty.rows("bronze.finance_lines")) == 2
    stages.ingest_bronze(empty.lake, empty.exports)
    assert len(empty.rows("bronze.finance_lines")) == 2
    assert [row["row_count"] for row in empty.rows("bronze.load_files")] == [2]


def test_a_silver_run_that_failed_before_its_record_is_taken_again(empty, monkeypatch):
    app_zip(empty.exports / "a.zip", {}, {"lineNumber": 2}, {"total": -1})
    stages.ingest_bronze(empty.lake, empty.exports)

    def crash(*_args):
        raise RuntimeError("the machine went down")

    with monkeypatch.context() as patch:
        patch.setattr(stages, "_record_silver", crash)
        with pytest.raises(RuntimeError, match="went down"):
            stages.build_silver(empty.lake, KINDS)
    report = stages.build_silver(empty.lake, KINDS)
    assert (report["good_rows"], report["quarantined_rows"]) == (2, 1)
    assert len(empty.rows("silver.finance_lines")) == 2
    assert len(empty.rows("silver.finance_lines_quarantine")) == 1


def test_a_later_load_wins_and_gold_follows(empty):
    app_zip(empty.exports / "a.zip", {}, {"lineNumber": 2, "total": 560.0})
    empty.build()
    first = {row["line_no"]: row for row in empty.rows("silver.finance_lines")}
    assert first[1]["amount_gross"] == Decimal("1120.00")
    app_zip(empty.exports / "b.zip", {"total": 2240.0, "issuedAt": "2025-08-03T01:00:00Z"})
    reports = empty.build()
    assert reports["silver"]["input_rows"] == 1
    assert set(reports["gold"]["built"]) == set(stages.GOLD_TABLES)
    second = {row["line_no"]: row for row in empty.rows("silver.finance_lines")}
    assert second[1]["amount_gross"] == Decimal("2240.00")
    assert second[1]["source_file"].startswith("b.zip!")
    assert second[2] == first[2]
    months = {r["month"]: r["amount_gross"] for r in empty.rows("gold.vendor_spend_monthly")}
    assert months == {date(2025, 7, 1): Decimal("560.00"), date(2025, 8, 1): Decimal("2240.00")}


def test_an_unchanged_gold_row_keeps_its_time(empty):
    app_zip(empty.exports / "a.zip", {}, {"merchant": "Amihanan Farms", "merchantTin": None})
    empty.build()
    key = "AMIHANAN FARMS"
    before = {r["vendor_key"]: r["updated_at"] for r in empty.rows("gold.vendor_spend_monthly")}
    app_zip(empty.exports / "b.zip", {"receiptNumber": "AP-2"})
    empty.build()
    after = {r["vendor_key"]: r["updated_at"] for r in empty.rows("gold.vendor_spend_monthly")}
    assert after[key] == before[key]
    assert after["012345678"] > before["012345678"]


def test_the_same_bytes_under_another_name_are_not_loaded_again(empty):
    path = app_zip(empty.exports / "a.zip", {})
    stages.ingest_bronze(empty.lake, empty.exports)
    (empty.exports / "copy (1).zip").write_bytes(path.read_bytes())
    report = stages.ingest_bronze(empty.lake, empty.exports)
    assert (report["rows"], report["archives_known"]) == (0, 2)


def test_staging_for_a_pipeline_writes_once(empty, monkeypatch):
    app_zip(empty.exports / "a.zip", {}, {"lineNumber": 2})
    target = empty.lake.volume("landing", "finance_staged")

    def crash(*_args):
        raise RuntimeError("the machine went down")

    target.mkdir(parents=True)
    with monkeypatch.context() as patch:
        patch.setattr(stages, "ledger_frame", crash)
        with pytest.raises(RuntimeError, match="went down"):
            stages.stage_exports(empty.lake, empty.exports, target)
    assert stages.stage_exports(empty.lake, empty.exports, target)["rows"] == 2
    assert stages.stage_exports(empty.lake, empty.exports, target)["rows"] == 0
    assert len(list(target.iterdir())) == 1
    staged = dataset.dataset(sorted(target.glob("set-*/*.parquet"))).to_table()
    assert staged.num_rows == 2
    assert tuple(staged.column_names) == contract_for("bronze.finance_lines").column_names


def test_no_scratch_is_left_behind(built):
    scratch = built.lake.volume("landing", "_scratch")
    assert list(scratch.iterdir()) == []


def test_a_miscount_stops_silver(empty, monkeypatch):
    app_zip(empty.exports / "a.zip", {})
    stages.ingest_bronze(empty.lake, empty.exports)
    whole = stages.silver.judge
    monkeypatch.setattr(stages.silver, "judge", lambda frame: whole(frame).limit(0))
    with pytest.raises(stages.CountsDiffer, match="Bronze has 1 rows"):
        stages.build_silver(empty.lake, KINDS)
    assert empty.rows("silver.load_runs") == []
