"""The three steps of the job: reads, calls the transforms, writes, counts."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

import bir_rules

from .contracts import contract_for
from .lakehouse import Lakehouse, differs
from .quality import require
from .sources.landing import LEDGER, Batch, ledger_frame, read_new
from .transforms import bronze, ewt, gold, silver

RUNS = "silver.load_runs"
METRICS = "silver.quality_metrics"
BUILDS = "gold.builds"
GOLD_TABLES = ("gold.expense_facts", "gold.vendor_spend_monthly", "gold.ewt_summary")
NEWER = "s.loaded_at > t.loaded_at OR (s.loaded_at = t.loaded_at AND s.load_id >= t.load_id)"


class CountsDiffer(RuntimeError):
    """Good + quarantined + duplicates is not the input; nothing was recorded as taken."""


def new_run(prefix: str) -> tuple[str, datetime]:
    """A run id that sorts by time, and the time itself (naive UTC)."""
    now = datetime.now(UTC).replace(tzinfo=None)
    return f"{prefix}-{now:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}", now


def ingest_bronze(lake: Lakehouse, folder: Path) -> dict:
    """Loads the new ZIPs under `folder`; returns counts. Refused files do not stop it."""
    lake.declare(bronze.TABLE)
    lake.declare(LEDGER)
    known = [row["sha256"] for row in lake.read(LEDGER).select("sha256").distinct().collect()]
    load_id, now = new_run("load")
    staging = lake.scratch("ingest")
    try:
        batch = read_new(lake.spark, folder, known, staging)
        if batch.records is not None:
            frame = bronze.stamp(batch.records, load_id, now)
            require(frame, bronze.TABLE, contract_for(bronze.TABLE).with_severity("fail"))
            # A crash before the ledger's write leaves records; their keys keep them single.
            lake.merge(bronze.TABLE, frame)
        if batch.outcomes:
            lake.merge(LEDGER, ledger_frame(lake.spark, batch.outcomes, load_id, now))
    finally:
        lake.discard(staging)
    return _bronze_report("bronze", batch, load_id)


def build_silver(lake: Lakehouse, payor_kinds: Mapping[str, str]) -> dict:
    """Takes the loads that Silver has not taken yet; returns counts over all of them.

    Raises CountsDiffer if the fates do not add up to the Bronze rows of those loads.
    """
    for table in (silver.GOOD, silver.QUARANTINE, RUNS, METRICS):
        lake.declare(table)
    records = lake.read(bronze.TABLE)
    taken = {row["load_id"] for row in lake.read(RUNS).select("load_id").collect()}
    loads = {row["load_id"]: row["rows"] for row in _count_by_load(records)}
    new = {load_id: rows for load_id, rows in loads.items() if load_id not in taken}
    counts = {"input_rows": 0, "good_rows": 0, "quarantined_rows": 0, "duplicate_rows": 0}
    if not new:
        return {"stage": "silver", "loads": 0, **counts}
    run_id, now = new_run("silver")
    scratch = lake.scratch("silver")
    try:
        chosen = records if not taken else records.where(F.col("load_id").isin(*new))
        judged = silver.judge(silver.conform(chosen, payor_kinds))
        judged = lake.checkpoint(silver.compact(judged), scratch / "judged")
        repeated = lake.checkpoint(silver.repeats(judged), scratch / "repeated")
        settled = silver.settle(judged, repeated)
        fates = silver.fates(settled).collect()
        _reconcile(new, fates)
        lake.merge(silver.GOOD, silver.good_lines(settled), update_when=NEWER)
        lake.merge(silver.QUARANTINE, silver.quarantined_lines(settled))
        for row in fates:
            for name in counts:
                counts[name] += row[name]
        _record_silver(lake, run_id, now, settled, fates, counts["input_rows"])
    finally:
        lake.discard(scratch)
    return {"stage": "silver", "run_id": run_id, "loads": len(new), **counts}


def stage_exports(lake: Lakehouse, folder: Path, target: Path) -> dict:
    """Stages the new ZIPs under `folder` as Parquet files for a pipeline's stream, not into Bronze.

    Each set of archives has a folder of its own below `target`, named by its content and written
    once: a run that died before the ledger's write stages nothing again.
    """
    lake.declare(LEDGER)
    known = [row["sha256"] for row in lake.read(LEDGER).select("sha256").distinct().collect()]
    load_id, now = new_run("load")
    scratch = lake.scratch("ingest")
    try:
        batch = read_new(lake.spark, folder, known, scratch)
        if batch.records is not None:
            digests = "".join(sorted({o.archive.sha256 for o in batch.outcomes}))
            place = target / f"set-{hashlib.sha256(digests.encode()).hexdigest()[:32]}"
            if not place.is_dir():
                written = place.with_name(f".{place.name}-{load_id}")
                bronze.stamp(batch.records, load_id, now).write.parquet(str(written))
                written.rename(place)
        if batch.outcomes:
            lake.merge(LEDGER, ledger_frame(lake.spark, batch.outcomes, load_id, now))
    finally:
        lake.discard(scratch)
    return _bronze_report("staging", batch, load_id)


def _bronze_report(stage: str, batch: Batch, load_id: str) -> dict:
    refused = [o for o in batch.outcomes if o.reason is not None]
    return {
        "stage": stage,
        "load_id": load_id if batch.outcomes else None,
        "files_loaded": len(batch.outcomes) - len(refused),
        "files_refused": len(refused),
        "archives_known": batch.skipped,
        "rows": sum(o.rows for o in batch.outcomes),
        "problem_rows": sum(o.problems for o in batch.outcomes),
        "refused": [
            {"file": o.archive.path, "member": o.member, "line": o.line, "reason": o.reason}
            for o in refused[:20]
        ],
    }


def _count_by_load(records: DataFrame) -> list:
    return records.groupBy("load_id").agg(F.count(F.lit(1)).alias("rows")).collect()


def _reconcile(expected: Mapping[str, int], fates: list) -> None:
    found = {row["load_id"]: row for row in fates}
    for load_id, rows in expected.items():
        row = found.get(load_id)
        total = (
            0
            if row is None
            else (row["good_rows"] + row["quarantined_rows"] + row["duplicate_rows"])
        )
        if total != rows:
            raise CountsDiffer(f"{load_id}: Bronze has {rows} rows, Silver accounts for {total}")


def _record_silver(
    lake: Lakehouse, run_id: str, now: datetime, settled: DataFrame, fates: list, rows: int
) -> None:
    missed = {row["expectation"]: row["failed"] for row in silver.missed(settled).collect()}
    metrics = [
        (run_id, silver.GOOD, e.name, e.severity, rows - missed.get(e.name, 0),
         missed.get(e.name, 0), now)
        for e in contract_for(silver.GOOD).expectations
    ]  # fmt: skip
    spark = lake.spark
    lake.merge(METRICS, spark.createDataFrame(metrics, contract_for(METRICS).ddl))
    # Last: a load counts as taken only when its rows and metrics are there.
    runs = [
        (row["load_id"], run_id, row["input_rows"], row["good_rows"], row["quarantined_rows"],
         row["duplicate_rows"], now)
        for row in fates
    ]  # fmt: skip
    frame = spark.createDataFrame(runs, contract_for(RUNS).ddl)
    require(frame, RUNS, contract_for(RUNS).with_severity("fail"))
    lake.merge(RUNS, frame)


def build_gold(lake: Lakehouse) -> dict:
    """Builds the Gold tables whose input changed since they were built; returns row counts."""
    lake.declare(BUILDS)
    lines = lake.read(silver.GOOD)
    rules = bir_rules.fingerprint()
    fingerprint = _gold_input(lake, rules)
    built = {r["table_name"]: r["input_fingerprint"] for r in lake.read(BUILDS).collect()}
    for table in GOLD_TABLES:
        lake.declare(table)
    changed = [table for table in GOLD_TABLES if built.get(table) != fingerprint]
    if changed:
        scratch = lake.scratch("gold")
        try:
            _build_tables(lake, changed, lines, rules, scratch)
        finally:
            lake.discard(scratch)
    counts = {table: lake.read(table).count() for table in GOLD_TABLES}
    if changed:
        _, now = new_run("gold")
        rows = [(table, fingerprint, counts[table], now) for table in changed]
        frame = lake.spark.createDataFrame(rows, contract_for(BUILDS).ddl)
        lake.merge(BUILDS, frame, update_when="true")
    return {"stage": "gold", "built": changed, "rows": counts, "rules_fingerprint": rules}


def _build_tables(
    lake: Lakehouse, tables: list[str], lines: DataFrame, rules: str, scratch: Path
) -> None:
    rows = ewt.ewt_lines(lines, ewt.decisions(lake.spark))
    withheld = lake.checkpoint(rows, scratch / "withheld")
    makers: dict[str, Callable[[], DataFrame]] = {
        # A projection is as cheap to compute again as to read back.
        "gold.expense_facts": lambda: gold.expense_facts(lines),
        "gold.vendor_spend_monthly": lambda: lake.checkpoint(
            gold.vendor_spend_monthly(lines, withheld), scratch / "spend"
        ),
        "gold.ewt_summary": lambda: lake.checkpoint(
            gold.ewt_summary(withheld, rules), scratch / "ewt"
        ),
    }
    for table in tables:
        contract = contract_for(table)
        frame = makers[table]()
        require(frame, table, contract.with_severity("fail"))
        values = [n for n in contract.column_names if n not in (*contract.keys, "updated_at")]
        lake.merge(table, frame, update_when=differs(values), delete_missing=True)


def _gold_input(lake: Lakehouse, rules_fingerprint: str) -> str:
    runs = lake.read(RUNS).select("load_id", "run_id").collect()
    loads = sorted((row["load_id"], row["run_id"]) for row in runs)
    text = json.dumps([gold.VERSION, rules_fingerprint, loads])
    return hashlib.sha256(text.encode()).hexdigest()
