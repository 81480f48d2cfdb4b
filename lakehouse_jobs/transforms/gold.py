"""silver.finance_lines -> gold.expense_facts, gold.vendor_spend_monthly, gold.ewt_summary."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from ..contracts import contract_for
from .values import MONEY

# Part of the input fingerprint: raise it when a transform below changes what it computes.
VERSION = "1"


def month_of(date: Column) -> Column:
    return F.trunc(date, "MM")


def key_of(*columns: str) -> Column:
    """sha2-256 over the text of the columns; a date is yyyy-mm-dd on every engine."""
    return F.sha2(F.concat_ws("|", *[F.col(name).cast("string") for name in columns]), 256)


def money_sum(name: str) -> Column:
    return F.sum(name).cast(MONEY).alias(name)


def latest(name: str) -> Column:
    """The value on the latest document; ties go to the greater document number and line."""
    return F.max_by(name, F.struct("document_date", "document_no", "line_no")).alias(name)


def expense_facts(silver: DataFrame) -> DataFrame:
    """Grain: one line."""
    frame = silver.withColumns(
        {"row_key": F.col("line_key"), "month": month_of(F.col("document_date"))}
    )
    return frame.select(*contract_for("gold.expense_facts").column_names)


def vendor_spend_monthly(silver: DataFrame, ewt: DataFrame) -> DataFrame:
    """Grain: company x month x vendor_key x currency. `ewt`: frame of `ewt.ewt_lines`."""
    grain = ("company_code", "month", "vendor_key", "currency")
    lines = silver.withColumn("month", month_of(F.col("document_date")))
    document = F.concat_ws("|", "document_kind", "document_no")
    spend = lines.groupBy(*grain).agg(
        latest("vendor_name"),
        latest("vendor_tin"),
        F.countDistinct(document).alias("bill_count"),
        F.count(F.lit(1)).alias("line_count"),
        money_sum("amount_net"),
        money_sum("amount_vat"),
        money_sum("amount_gross"),
        F.max("document_date").alias("last_document_date"),
    )
    tax = (
        ewt.withColumn("month", month_of(F.col("document_date")))
        .groupBy(*grain)
        .agg(F.sum("tax").cast(MONEY).alias("ewt_amount"))
    )
    zero = F.lit("0").cast(MONEY)
    frame = spend.join(tax, list(grain), "left").withColumns(
        {
            "row_key": key_of(*grain),
            "ewt_amount": F.coalesce("ewt_amount", zero),
            "updated_at": F.current_timestamp(),
        }
    )
    return frame.select(*contract_for("gold.vendor_spend_monthly").column_names)


def ewt_summary(ewt: DataFrame, rules_fingerprint: str) -> DataFrame:
    """Grain: company x quarter x ATC x vendor_key; the form and rate are those of the ATC's rule.

    Raises nothing for an ATC whose rate changes inside a quarter: the later rate is shown, the tax
    is the sum of the lines' own.
    """
    grain = ("company_code", "quarter", "atc", "vendor_key")
    date = F.col("document_date")
    quarter = F.concat(F.year(date).cast("string"), F.lit("-Q"), F.quarter(date).cast("string"))
    lines = ewt.withColumns({"quarter": quarter, "quarter_end": quarter_end(date)})
    frame = lines.groupBy(*grain).agg(
        F.max("quarter_end").alias("quarter_end"),
        latest("form"),
        latest("rate"),
        latest("vendor_name"),
        latest("vendor_tin"),
        F.count(F.lit(1)).alias("line_count"),
        F.sum("amount_net").cast(MONEY).alias("tax_base"),
        F.sum("tax").cast(MONEY).alias("tax_withheld"),
    )
    frame = frame.withColumns(
        {"row_key": key_of(*grain), "rules_fingerprint": F.lit(rules_fingerprint)}
    )
    return frame.select(*contract_for("gold.ewt_summary").column_names)


def quarter_end(date: Column) -> Column:
    """Last day of the calendar quarter."""
    last_month = (F.quarter(date) * 3).cast("int")
    return F.last_day(F.make_date(F.year(date), last_month, F.lit(1)))
