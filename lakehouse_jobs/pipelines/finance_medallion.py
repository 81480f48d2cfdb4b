"""The finance medallion as a declarative pipeline: Bronze stream, Silver and Gold views.

The Bronze stream is Auto Loader over the staging folder, which the task `ingest_bronze
--stage-only` fills; on the embedded workspace each update reads the files that are new to it. On
open-source Spark `finance.format` is parquet. Run on the embedded workspace, validated with
`spark-pipelines dry-run` on open-source Spark; not run on Databricks.
Configuration: `finance.staged` (folder of staged records), `finance.format`.
"""

from __future__ import annotations

from pyspark import pipelines as dp
from pyspark.sql import DataFrame, SparkSession

import bir_rules
from lakehouse_jobs.contracts import contract_for
from lakehouse_jobs.pipelines.adapter import expectations
from lakehouse_jobs.reference import payor_kinds
from lakehouse_jobs.sources import stream
from lakehouse_jobs.transforms import ewt, gold, silver

spark = SparkSession.active()
STAGED = spark.conf.get("finance.staged", "/Volumes/main/landing/finance_staged")
FORMAT = spark.conf.get("finance.format", "cloudFiles")


@dp.table(name="bronze.finance_lines", comment=contract_for("bronze.finance_lines").description)
@expectations(dp, contract_for("bronze.finance_lines").expectations)
def bronze_finance_lines() -> DataFrame:
    return stream.read(spark, STAGED, FORMAT)


@dp.temporary_view(name="judged_finance_lines")
@expectations(dp, contract_for(silver.GOOD).expectations)
def judged_finance_lines() -> DataFrame:
    records = spark.read.table("bronze.finance_lines")
    return silver.judge(silver.conform(records, payor_kinds()))


@dp.temporary_view(name="settled_finance_lines")
def settled_finance_lines() -> DataFrame:
    judged = spark.read.table("judged_finance_lines")
    return silver.settle(judged, silver.repeats(judged))


@dp.materialized_view(name=silver.GOOD, comment=contract_for(silver.GOOD).description)
def silver_finance_lines() -> DataFrame:
    return silver.good_lines(spark.read.table("settled_finance_lines"))


@dp.materialized_view(name=silver.QUARANTINE, comment=contract_for(silver.QUARANTINE).description)
@expectations(dp, contract_for(silver.QUARANTINE).expectations)
def silver_quarantine() -> DataFrame:
    return silver.quarantined_lines(spark.read.table("settled_finance_lines"))


@dp.temporary_view(name="ewt_lines")
def ewt_lines() -> DataFrame:
    return ewt.ewt_lines(spark.read.table(silver.GOOD), ewt.decisions(spark))


@dp.materialized_view(name="gold.expense_facts")
@expectations(dp, contract_for("gold.expense_facts").expectations)
def gold_expense_facts() -> DataFrame:
    return gold.expense_facts(spark.read.table(silver.GOOD))


@dp.materialized_view(name="gold.vendor_spend_monthly")
@expectations(dp, contract_for("gold.vendor_spend_monthly").expectations)
def gold_vendor_spend_monthly() -> DataFrame:
    return gold.vendor_spend_monthly(spark.read.table(silver.GOOD), spark.read.table("ewt_lines"))


@dp.materialized_view(name="gold.ewt_summary")
@expectations(dp, contract_for("gold.ewt_summary").expectations)
def gold_ewt_summary() -> DataFrame:
    return gold.ewt_summary(spark.read.table("ewt_lines"), bir_rules.fingerprint())
