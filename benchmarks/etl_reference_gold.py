"""Gold of the reference: facts, spend by vendor and month, withholding by quarter and ATC."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path

import polars as pl
from deltalake import DeltaTable

from bir_rules import decision_rows, fingerprint

_MONEY = pl.Decimal(18, 2)


def build_gold(out: Path, write: Callable[[Path, pl.DataFrame], None]) -> dict:
    """Writes the three tables; returns counts and the tax withheld."""
    silver = pl.from_arrow(DeltaTable(out / "silver/finance_lines").to_pyarrow_table())
    silver = silver.with_columns(month=pl.col("document_date").dt.truncate("1mo"))
    facts = silver.select(
        pl.col("line_key").alias("row_key"), "company_code", "document_no", "line_no",
        "document_date", "month", "vendor_name", "vendor_key", "expense_category", "description",
        "currency", "amount_net", "amount_vat", "amount_gross", "vat_status",
    )  # fmt: skip
    _assert_sums(facts)
    write(out / "gold/expense_facts", facts)
    withheld = _ewt_lines(silver)
    spend = _spend(silver, withheld)
    _assert_sums(spend)
    write(out / "gold/vendor_spend_monthly", spend)
    summary = _summary(withheld)
    write(out / "gold/ewt_summary", summary)
    return {
        "vendor_months": len(spend),
        "ewt_rows": len(summary),
        "tax_withheld": str(summary["tax_withheld"].sum()),
    }


def _assert_sums(frame: pl.DataFrame) -> None:
    if not frame.select(
        (pl.col("amount_net") + pl.col("amount_vat") == pl.col("amount_gross")).all()
    ).item():
        raise ValueError("net + VAT is not gross")


def _row_keys(frame: pl.DataFrame, grain: list[str]) -> pl.DataFrame:
    texts = frame.select(pl.concat_str([pl.col(c).cast(pl.String) for c in grain], separator="|"))
    keys = [hashlib.sha256(text.encode()).hexdigest() for text in texts.to_series()]
    return frame.with_columns(row_key=pl.Series(keys, dtype=pl.String))


def _latest(name: str) -> pl.Expr:
    return pl.col(name).sort_by("document_date", "document_no", "line_no").drop_nulls().last()


def _spend(silver: pl.DataFrame, withheld: pl.DataFrame) -> pl.DataFrame:
    grain = ["company_code", "month", "vendor_key", "currency"]
    document = pl.concat_str(["document_kind", "document_no"], separator="|")
    spend = silver.group_by(grain).agg(
        _latest("vendor_name"),
        _latest("vendor_tin"),
        document.n_unique().cast(pl.Int64).alias("bill_count"),
        pl.len().cast(pl.Int64).alias("line_count"),
        *[pl.col(f"amount_{part}").sum().cast(_MONEY) for part in ("net", "vat", "gross")],
        pl.col("document_date").max().alias("last_document_date"),
    )
    tax = withheld.group_by(grain).agg(pl.col("tax").sum().cast(_MONEY).alias("ewt_amount"))
    joined = spend.join(tax, on=grain, how="left")
    joined = joined.with_columns(pl.col("ewt_amount").fill_null(Decimal("0.00")))
    return _row_keys(joined, grain)


def _ewt_lines(silver: pl.DataFrame) -> pl.DataFrame:
    payee = ["company_code", "vendor_key"]
    bills = silver.filter(
        (pl.col("document_kind") == "vendor_bill") & (pl.col("currency") == "PHP")
    ).with_columns(year=pl.col("document_date").dt.year())
    yearly = bills.group_by(*payee, "year").agg(pl.col("document_no").n_unique().alias("n"))
    yearly = yearly.filter(pl.col("n") >= 6).select(*payee, "year")
    regular = pl.concat([yearly, yearly.with_columns(pl.col("year") + 1)]).unique()
    lines = bills.filter(pl.col("nature_of_payment").is_not_null())
    farm = lines.filter(pl.col("nature_of_payment") == "agricultural")
    farm = farm.sort(*payee, "year", "document_date", "document_no", "line_no").with_columns(
        before=(pl.col("amount_net").cum_sum() - pl.col("amount_net")).over(*payee, "year")
    )
    rest = lines.filter(pl.col("nature_of_payment") != "agricultural")
    lines = pl.concat([farm, rest.with_columns(before=pl.lit(None))], how="vertical_relaxed")
    lines = lines.join(
        regular.with_columns(regular=pl.lit(True)), on=[*payee, "year"], how="left"
    ).rename({"nature_of_payment": "nature"})
    joined = lines.join(_rules(), on=["nature", "payee_kind", "payor_kind"])
    variant = pl.col("variant")
    higher = (pl.col("payee_kind") == "individual") & pl.col("vat_status").is_in(
        ["vat_registered", "zero_rated"]
    )
    large = pl.col("regular").fill_null(False) | (pl.col("amount_net") >= Decimal("10000.00"))
    holds = (
        (variant == "standard")
        | ((variant == "higher") & higher)
        | ((variant == "over_threshold") & (pl.col("before") >= Decimal("300000.00")))
        | ((variant == "regular_or_large") & large)
    )
    dated = (pl.col("document_date") >= pl.col("valid_from")) & (
        pl.col("document_date") <= pl.col("valid_to")
    )
    # base x rate in ten-thousandths of a percent, halves up, without a binary fraction
    cents = (pl.col("amount_net") * 100).cast(pl.Int64)
    tax = (cents * pl.col("rate_units") * 2 + 1_000_000) // 2_000_000
    from .etl_reference_silver import money

    return joined.filter(dated & holds).with_columns(tax=money(tax))


def _rules() -> pl.DataFrame:
    rows = [
        {
            **{k: row[k] for k in ("nature", "payee_kind", "payor_kind", "variant", "atc", "form")},
            "rate": Decimal(row["rate"]),
            "rate_units": int(Decimal(row["rate"]) * 10_000),
            "valid_from": date.fromisoformat(row["valid_from"]),
            "valid_to": date.fromisoformat(row["valid_to"] or "9999-12-31"),
        }
        for row in decision_rows()
    ]
    return pl.DataFrame(rows, schema_overrides={"rate": pl.Decimal(9, 4)})


def _summary(withheld: pl.DataFrame) -> pl.DataFrame:
    grain = ["company_code", "quarter", "atc", "vendor_key"]
    day = pl.col("document_date")
    quarter = pl.concat_str(
        [day.dt.year().cast(pl.String), pl.lit("-Q"), day.dt.quarter().cast(pl.String)]
    )
    end = day.dt.truncate("1q").dt.offset_by("1q").dt.offset_by("-1d")
    lines = withheld.with_columns(quarter=quarter, quarter_end=end)
    summary = lines.group_by(grain).agg(
        pl.col("quarter_end").max(),
        *[_latest(name) for name in ("form", "rate", "vendor_name", "vendor_tin")],
        pl.len().cast(pl.Int64).alias("line_count"),
        pl.col("amount_net").sum().cast(_MONEY).alias("tax_base"),
        pl.col("tax").sum().cast(_MONEY).alias("tax_withheld"),
    )
    return _row_keys(summary, grain).with_columns(rules_fingerprint=pl.lit(fingerprint()))
