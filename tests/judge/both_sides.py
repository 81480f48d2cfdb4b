"""What either engine runs: the transforms on staged records, checksums, and single expressions."""

from __future__ import annotations

from datetime import datetime
from functools import reduce
from pathlib import Path

import yaml
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

import bir_rules
from lakehouse_jobs.reference import payor_kinds
from lakehouse_jobs.transforms import bronze, ewt, gold, silver

LOADED_AT = datetime(2026, 1, 2, 3, 4, 5, 678901)
VOLATILE = {"updated_at"}


def tables(spark: SparkSession, staged: str, work: Path) -> dict[str, DataFrame]:
    """Every table that the transforms make of the staged Parquet files.

    Steps are kept under `work`, at the places where the job keeps them.
    """

    def kept(name: str, frame: DataFrame) -> DataFrame:
        frame.write.mode("overwrite").parquet(str(work / name))
        return spark.read.schema(frame.schema).parquet(str(work / name))

    records = bronze.stamp(spark.read.parquet(staged), "load-1", LOADED_AT)
    judged = silver.judge(silver.conform(records, payor_kinds()))
    judged = kept("judged", silver.compact(judged))
    settled = silver.settle(judged, kept("repeated", silver.repeats(judged)))
    good = kept("good", silver.good_lines(settled))
    withheld = kept("withheld", ewt.ewt_lines(good, ewt.decisions(spark)))
    return {
        "bronze.finance_lines": records,
        "silver.finance_lines": good,
        "silver.finance_lines_quarantine": silver.quarantined_lines(settled),
        "silver.load_runs": silver.fates(settled),
        "gold.expense_facts": gold.expense_facts(good),
        "gold.vendor_spend_monthly": gold.vendor_spend_monthly(good, withheld),
        "gold.ewt_summary": gold.ewt_summary(withheld, bir_rules.fingerprint()),
    }


def checksums(frame: DataFrame) -> dict[str, str]:
    """Per column: rows, nulls and the sum of the hashes of its canonical text."""
    names = [(name, kind) for name, kind in frame.dtypes if name not in VOLATILE]
    columns: list[Column] = [F.count(F.lit(1)).alias("rows")]
    for name, kind in names:
        text = canonical(F.col(name), kind)
        columns.append(F.count(text).alias(f"n_{name}"))
        total = F.sum(F.xxhash64(text).cast("decimal(38,0)"))
        columns.append(total.cast("string").alias(f"h_{name}"))
    row = frame.agg(*columns).collect()[0]
    return {name: f"{row['rows']} {row['n_' + name]} {row['h_' + name]}" for name, _ in names}


def canonical(column: Column, kind: str) -> Column:
    """The value as text in a form that both engines print alike; null stays null."""
    if kind == "timestamp":
        return F.unix_micros(column).cast("string")
    if kind == "array<string>":
        return F.when(column.isNotNull(), F.concat_ws("\x1f", column))
    if kind.startswith("array<struct<"):
        names = ("name", "message", "column")
        parts = F.transform(column, lambda x: F.concat_ws("|", *[x[name] for name in names]))
        return F.when(column.isNotNull(), F.concat_ws("\x1f", parts))
    return column.cast("string")


def cases() -> list[dict]:
    """The expressions with what they cover (expressions.yml)."""
    text = Path(__file__).with_name("expressions.yml").read_text(encoding="utf-8")
    return yaml.safe_load(text)


def expressions(spark: SparkSession) -> dict[str, str]:
    """{expression: its value as text}; one query for all, since a JVM plans each for long."""
    texts = [case["sql"] for case in cases()]
    values = [f"cast(({text}) as string) as v{i}" for i, text in enumerate(texts)]
    row = spark.sql("select " + ", ".join(values)).collect()[0]
    return {text: repr(row[f"v{i}"]) for i, text in enumerate(texts)}


def all_checksums(spark: SparkSession, staged: str, work: Path) -> dict[str, dict[str, str]]:
    """{table: {column: checksum}} of `tables`."""
    made = tables(spark, staged, work)
    return {name: checksums(frame) for name, frame in made.items()}


def covered() -> set[str]:
    return reduce(lambda a, b: a | b, (set(case["covers"]) for case in cases()))
