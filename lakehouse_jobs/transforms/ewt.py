"""Withholding of vendor bill lines, by joining the rule table of bir_rules.

The same answers as `bir_rules.derive`, from facts that the lakehouse knows: the ledger's earlier
payments to a supplier in the year, its documents in this and the previous year. What these do not
decide (a lower rate needs a sworn declaration) is left out, not guessed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F
from pyspark.sql import types as T

from bir_rules import decision_rows, thresholds

from .fields import case
from .values import MONEY, money, on_or_after

_TEXTS = ("nature", "payee_kind", "payor_kind", "variant", "atc", "form", "rate", "valid_from",
          "valid_to")  # fmt: skip
_NO_END = "9999-12-31"
_KEYS = ("nature", "payee_kind", "payor_kind")


def decisions(spark: SparkSession) -> DataFrame:
    """The withholding rows of bir_rules; `rate` in percent, `rate_share` as a share of one."""
    rows = [
        tuple(row[name] or (_NO_END if name == "valid_to" else None) for name in _TEXTS)
        for row in decision_rows()
    ]
    # A schema of objects: a pipeline's query function may not ask the server to read a string.
    schema = T.StructType([T.StructField(name, T.StringType()) for name in _TEXTS])
    frame = spark.createDataFrame(rows, schema)
    rate = F.col("rate").cast("decimal(9,4)")
    share = (rate * F.lit("0.01").cast("decimal(3,2)")).cast("decimal(11,6)")
    return frame.select(
        "nature", "payee_kind", "payor_kind", "variant", "atc", "form",
        rate.alias("rate"),
        share.alias("rate_share"),
        F.col("valid_from").cast("date").alias("valid_from"),
        F.col("valid_to").cast("date").alias("valid_to"),
    )  # fmt: skip


def bill_lines(silver: DataFrame) -> DataFrame:
    """Peso lines of vendor bills whose nature is coded: the lines that rules can speak of.

    Expenses are left out: an employee who is paid back is not the payee of the income.
    """
    return silver.where(
        (F.col("document_kind") == "vendor_bill")
        & F.col("nature_of_payment").isNotNull()
        & (F.col("currency") == "PHP")
    )


def facts(silver: DataFrame) -> DataFrame:
    """`bill_lines` with regular_supplier and year_to_date.

    regular_supplier: six or more documents of the supplier in this or the previous year.
    year_to_date: for agricultural products, what the year's earlier lines of this nature (by date,
    document, line) cost net of VAT; zero for other natures, whose rules do not ask.
    """
    payee = ("company_code", "vendor_key")
    bills = silver.where((F.col("document_kind") == "vendor_bill") & (F.col("currency") == "PHP"))
    yearly = (
        bills.groupBy(*payee, F.year("document_date").alias("year"))
        .agg(F.countDistinct("document_no").alias("documents"))
        .where(F.col("documents") >= _transactions())
    )
    regular = (
        yearly.select(*payee, "year")
        .unionAll(yearly.select(*payee, (F.col("year") + 1).cast("int").alias("year")))
        .distinct()
        .withColumn("regular_supplier", F.lit(True))
    )
    lines = bill_lines(silver).withColumn("year", F.year("document_date"))
    lines = _with_year_to_date(lines, payee)
    return lines.join(regular, [*payee, "year"], "left").withColumn(
        "regular_supplier", F.coalesce("regular_supplier", F.lit(False))
    )


def _with_year_to_date(lines: DataFrame, payee: Sequence[str]) -> DataFrame:
    earlier = (
        Window.partitionBy(*payee, "year")
        .orderBy("document_date", "document_no", "line_no")
        .rowsBetween(Window.unboundedPreceding, -1)
    )
    zero = F.lit("0").cast(MONEY)
    agricultural = F.col("nature_of_payment") == "agricultural"
    # The window sorts; only the natures that need it go through.
    sums = lines.where(agricultural).withColumn(
        "year_to_date", F.coalesce(F.sum("amount_net").over(earlier), zero).cast(MONEY)
    )
    return sums.unionByName(lines.where(~agricultural).withColumn("year_to_date", zero))


def _transactions() -> int:
    rows = [row for row in thresholds() if row.code == "regular_supplier_transactions"]
    return int(rows[-1].amount)


def _threshold(code: str) -> Column:
    """The amount that holds for payee_kind on document_date; null where none does."""
    branches = []
    for row in thresholds():
        if row.code != code:
            continue
        holds = on_or_after(row.valid_from)
        if row.valid_to is not None:
            holds = holds & ~on_or_after(row.valid_to + timedelta(days=1))
        if row.payee_kind != "any":
            holds = holds & (F.col("payee_kind") == row.payee_kind)
        branches.append((holds, F.lit(str(row.amount)).cast(MONEY)))
    return case(branches)


def variant_holds(variants: Sequence[str] = ()) -> Column:
    """Whether the joined row's variant is known to hold for the line; unknown counts as no."""
    net, before = F.col("amount_net"), F.col("year_to_date")
    registered = F.col("vat_status").isin("vat_registered", "zero_rated")
    higher = (F.col("payee_kind") == "individual") & registered
    large = F.col("regular_supplier") | (net >= _threshold("single_purchase"))
    tests = {
        "standard": F.lit(True),
        "higher": higher,
        "over_threshold": before >= _threshold("agricultural_year_total"),
        "regular_or_large": large,
    }
    chosen = variants or tuple(tests)
    return F.coalesce(
        case([(F.col("variant") == name, tests[name]) for name in chosen]), F.lit(False)
    )


def ewt_lines(silver: DataFrame, rules: DataFrame) -> DataFrame:
    """One row for each bill line on which tax is known to be withheld: atc, form, rate, tax.

    `rules`: frame of `decisions`. tax = net x rate, rounded half up per line.
    """
    lines = facts(silver).withColumnRenamed("nature_of_payment", "nature")
    joined = lines.join(F.broadcast(rules), list(_KEYS)).where(
        (F.col("document_date") >= F.col("valid_from"))
        & (F.col("document_date") <= F.col("valid_to"))
        & variant_holds()
    )
    return joined.select(
        "line_key", "company_code", "document_no", "line_no", "document_date", "vendor_key",
        "vendor_name", "vendor_tin", "currency", "amount_net", "atc", "form", "rate",
        money(F.col("amount_net") * F.col("rate_share")).alias("tax"),
    )  # fmt: skip
