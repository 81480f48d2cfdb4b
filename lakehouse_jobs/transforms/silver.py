"""bronze.finance_lines -> judged records, their repeats, good lines, quarantine, counts.

`settle` gives every Bronze record one fate (good, quarantined or duplicate), so that the three
always add up to the input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from ..contracts import SourceContract, contract_for, source_contracts
from ..quality import REASONS_TYPE, all_met, missed_names, reasons
from . import values
from .fields import mapped_by_source, text_fields

GOOD = "silver.finance_lines"
QUARANTINE = "silver.finance_lines_quarantine"
_ORDER = ("loaded_at", "load_id", "source_file", "source_line")
_QUARANTINE_TEXT = ("document_kind", "document_no", "line_no", "document_date", "vendor_name",
                    "vendor_tin", "currency", "amount")  # fmt: skip


def conform(
    bronze: DataFrame,
    payor_kinds: Mapping[str, str],
    sources: Sequence[SourceContract] | None = None,
) -> DataFrame:
    """Typed columns beside the text they came from; a value that cannot be read is null.

    `payor_kinds`: company code -> ordinary, top_withholding_agent or government.
    """
    sources = source_contracts() if sources is None else sources
    frame = text_fields(bronze, sources)
    company = F.upper(F.col("text_company"))
    frame = frame.withColumns(
        {
            "company_code": company,
            "payor_kind": _lookup(company, payor_kinds),
            "document_kind": mapped_by_source("document_kind", sources),
            "document_no": F.col("text_document_no"),
            "line_no": values.whole_number(F.col("text_line_no")),
            "document_date": values.business_date(sources),
            "vendor_name": values.single_blanks(F.col("text_vendor_name")),
            "vendor_tin": values.tin(F.col("text_vendor_tin")),
            "vat_status": mapped_by_source("vat_status", sources),
            "description": values.single_blanks(F.coalesce("text_description", F.lit(""))),
            "expense_category": mapped_by_source("expense_category", sources),
            "nature_of_payment": mapped_by_source("nature_of_payment", sources),
            "currency": F.upper(F.coalesce("text_currency", F.lit("PHP"))),
            "amount": values.amount(F.col("text_amount")),
            "stated_vat": values.amount(F.col("text_vat_amount")),
            "inclusive": F.coalesce(mapped_by_source("amount_basis", sources), F.lit("inclusive"))
            == "inclusive",
        }
    )
    name_key = values.name_key(F.col("vendor_name"))
    tin_digits = F.translate(F.substring("vendor_tin", 1, 11), "-", "")
    frame = frame.withColumns(
        {
            "vendor_key": F.when(F.col("vendor_tin").isNull(), name_key).otherwise(tin_digits),
            "payee_kind": values.payee_kind(F.col("vendor_name")),
            "vat_rate": values.vat_rate(),
        }
    )
    return _amounts(frame)


def _lookup(code: Column, table: Mapping[str, str]) -> Column:
    result = F.lit(None).cast("string")
    for key, value in table.items():
        result = F.when(code == key, F.lit(value)).otherwise(result)
    return result


def _amounts(frame: DataFrame) -> DataFrame:
    """amount_net + amount_vat = amount_gross; a stated VAT within five centavos wins."""
    amount, rate, stated = F.col("amount"), F.col("vat_rate"), F.col("stated_vat")
    net = F.when(F.col("inclusive"), values.net_of_gross(amount, rate)).otherwise(amount)
    frame = frame.withColumn("_net", net)
    computed = F.when(F.col("inclusive"), amount - F.col("_net")).otherwise(
        values.vat_of_net(F.col("_net"), rate)
    )
    frame = frame.withColumn("_vat", computed.cast(values.MONEY))
    frame = frame.withColumn("vat_gap", F.abs(stated - F.col("_vat")))
    close = F.coalesce(
        F.col("vat_gap") <= F.lit(values.VAT_TOLERANCE).cast("decimal(3,2)"), F.lit(False)
    )
    vat = F.when(close, stated).otherwise(F.col("_vat"))
    frame = frame.withColumn("amount_vat", vat)
    included = F.col("inclusive")
    net = F.when(included, amount - F.col("amount_vat")).otherwise(amount)
    gross = F.when(included, amount).otherwise(amount + F.col("amount_vat"))
    return frame.withColumns(
        {"amount_net": net.cast(values.MONEY), "amount_gross": gross.cast(values.MONEY)}
    )


def judge(conformed: DataFrame) -> DataFrame:
    """Adds line_key (null if refused), valid, warnings and reasons."""
    contract = contract_for(GOOD)
    refused, warned = contract.with_severity("quarantine"), contract.with_severity("warn")
    frame = conformed.withColumns({"valid": all_met(refused), "clean": all_met(warned)})
    parts = ("company_code", "document_kind", "document_no", "vendor_key")
    key = F.sha2(F.concat_ws("|", *parts, F.col("line_no").cast("string")), 256)
    # Most records are valid and clean: the arrays are built for the others only.
    return frame.withColumns(
        {
            "line_key": F.when(F.col("valid"), key),
            "warnings": F.when(F.col("clean"), F.array().cast("array<string>")).otherwise(
                missed_names(warned)
            ),
            "reasons": F.when(F.col("valid"), F.array().cast(REASONS_TYPE)).otherwise(
                reasons(refused)
            ),
        }
    )


def repeats(judged: DataFrame) -> DataFrame:
    """line_key, source_file, source_line, load_id of the valid records that another one replaces.

    Of records with one line_key the latest load wins; within a load the last file and line.
    """
    valid = judged.where("valid").select("line_key", *_ORDER)
    # Few keys occur twice: only their records are ranked.
    several = valid.groupBy("line_key").agg(F.count(F.lit(1)).alias("copies")).where("copies > 1")
    latest = Window.partitionBy("line_key").orderBy(*[F.col(name).desc() for name in _ORDER])
    ranked = valid.join(several.select("line_key"), "line_key", "left_semi").withColumn(
        "rank", F.row_number().over(latest)
    )
    return ranked.where("rank > 1").select("source_file", "source_line", "load_id")


def settle(judged: DataFrame, repeated: DataFrame) -> DataFrame:
    """Adds fate: quarantined, duplicate or good. `repeated`: frame of `repeats`."""
    marked = repeated.withColumn("repeated", F.lit(True))
    joined = judged.join(F.broadcast(marked), ["source_file", "source_line", "load_id"], "left")
    fate = (
        F.when(~F.col("valid"), F.lit("quarantined"))
        .when(F.col("repeated"), F.lit("duplicate"))
        .otherwise(F.lit("good"))
    )
    return joined.withColumn("fate", fate)


def compact(judged: DataFrame) -> DataFrame:
    """Of `judge`'s columns what the steps below need; raw and texts of refused records only."""
    good = contract_for(GOOD).column_names
    texts = ["raw", *(f"text_{name}" for name in ("company", *_QUARANTINE_TEXT))]
    kept = [F.when(~F.col("valid"), F.col(name)).alias(name) for name in texts]
    return judged.select(*good, "valid", "reasons", "source", *kept)


def good_lines(settled: DataFrame) -> DataFrame:
    """Rows for silver.finance_lines."""
    return settled.where(F.col("fate") == "good").select(*contract_for(GOOD).column_names)


def quarantined_lines(settled: DataFrame) -> DataFrame:
    """Rows for silver.finance_lines_quarantine: what the file said, with the reasons."""
    rows = settled.where(F.col("fate") == "quarantined")
    text = [F.col(f"text_{name}").alias(name) for name in _QUARANTINE_TEXT]
    rest = ("source", "raw", "reasons", "source_file", "source_line", "load_id", "loaded_at")
    return rows.select(F.col("text_company").alias("company_code"), *text, *rest)


def missed(settled: DataFrame) -> DataFrame:
    """expectation, failed: how many records miss each expectation that any record misses."""
    names = F.concat(F.transform("reasons", lambda reason: reason["name"]), F.col("warnings"))
    rows = settled.select(F.explode(names).alias("expectation"))
    return rows.groupBy("expectation").agg(F.count(F.lit(1)).alias("failed"))


def fates(settled: DataFrame) -> DataFrame:
    """Per load: input_rows, good_rows, quarantined_rows, duplicate_rows."""

    def count(fate: str) -> Column:
        return F.sum(F.when(F.col("fate") == fate, 1).otherwise(0)).cast("bigint")

    return settled.groupBy("load_id").agg(
        F.count(F.lit(1)).alias("input_rows"),
        count("good").alias("good_rows"),
        count("quarantined").alias("quarantined_rows"),
        count("duplicate").alias("duplicate_rows"),
    )
