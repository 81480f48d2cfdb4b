"""Column expressions against the plain Python of bir_rules, and EWT lines against derive()."""

from __future__ import annotations

from decimal import Decimal

import pytest
from pyspark.sql import functions as F

import bir_rules
from lakehouse_jobs.contracts import source_contracts
from lakehouse_jobs.transforms import ewt, values

pytest_plugins = ("jobs_fixtures",)

NAMES = [
    "Kislap Trading Inc.", "Kislap Trading", "CO, JUAN", "Juan & Co", "Juan and Co.", "Inc",
    "Everlakas O.P.C.", "Incheon Travel", "Farmers Cooperative", "Atty. Dindo R. Ilaganes",
    "Amihanan Corp 8.", "Acme Ltd.", "Niño Corp", "coop ng magsasaka", "Scooper Cafe",
    "Tres Marias Partnership", "A.B. Silangang Ilaw Company",
]  # fmt: skip
TINS = {
    "012-345-678-00000": "012-345-678-00000", "012-345-678": "012-345-678",
    "012345678": "012-345-678", "012345678001": "012-345-678-00001",
    "012-345-678-001 V": "012-345-678-00001", "012-345-678-00000NV": "012-345-678-00000",
    "VAT REG TIN 012-345-678-000": "012-345-678-00000", "012.345.678": "012-345-678",
    "000-000-000": None, "12-345-678": None, "0123456789": None, "TIN to follow": None,
    "": None, "012-345-6789": None, "012-345-678-123456": None,
}  # fmt: skip
AMOUNTS = {
    "1120.00": "1120.00", "1,234.50": "1234.50", "PHP 5": "5.00", "₱1,000.005": "1000.01",
    "-5.10": "-5.10", "2400.0": "2400.00", "1e3": None, "n/a": None, "": None, "P --": None,
    "12.345": "12.35", "999999999999999.99": "999999999999999.99", "1.2.3": None,
}  # fmt: skip
DATES = {
    "erp_register": {"2025-07-31": "2025-07-31", "2025-02-31": None, "31/07/2025": None,
                     "2025-7-3": None, "": None, "n/a": None},
    "ph_books": {"31/07/2025": "2025-07-31", "1/2/2025": "2025-02-01", "31/02/2025": None,
                 "07/31/2025": None, "2025-07-31": None, "29-02-2024": "2024-02-29"},
    "expense_app": {"2025-07-31T15:59:59Z": "2025-07-31", "2025-07-31T16:00:00Z": "2025-08-01",
                    "2025-02-31T09:00:00Z": None, "2025-07-31": None,
                    "2025-12-31T23:00:00.123Z": "2026-01-01"},
}  # fmt: skip


def _through(spark, texts, column, ddl="text string"):
    frame = spark.createDataFrame([(text,) for text in texts], ddl)
    return [row[1] for row in frame.select("text", column.alias("value")).collect()]


def test_payee_kind_reads_names_as_bir_rules_does(spark):
    found = _through(spark, NAMES, values.payee_kind(F.col("text")))
    assert found == [bir_rules.payee_kind_from_name(name) for name in NAMES]
    assert {"corporate", "individual"} == set(found)


def test_tin_is_normalised_as_bir_rules_does(spark):
    found = _through(spark, TINS, values.tin(F.col("text")))
    assert dict(zip(TINS, found, strict=True)) == TINS
    for text, expected in TINS.items():
        parsed = bir_rules.parse_tin(text)
        if expected is not None:
            assert parsed is not None
            assert parsed.text == expected


def test_amounts(spark):
    found = _through(spark, AMOUNTS, values.amount(F.col("text")))
    assert [None if v is None else str(v) for v in found] == list(AMOUNTS.values())


@pytest.mark.parametrize("source", DATES)
def test_dates(spark, source):
    cases = DATES[source]
    frame = spark.createDataFrame(
        [(source, text) for text in cases], "source string, text_document_date string"
    )
    found = frame.select(values.business_date(source_contracts()).alias("value")).collect()
    assert [row["value"] and row["value"].isoformat() for row in found] == list(cases.values())


def test_net_and_vat_are_those_of_bir_rules_for_every_centavo_ending(spark):
    """Half cents occur at gross amounts such as 0.14: all endings of two pesos are tried."""
    amounts = [Decimal(cents) / 100 for cents in range(1, 1200)]
    amounts += [Decimal("99999999999.99"), Decimal("12345678901.23")]
    frame = spark.createDataFrame([(amount,) for amount in amounts], "amount decimal(18,2)")
    rate = F.lit("12").cast("decimal(5,2)")
    rows = frame.select(
        "amount",
        values.net_of_gross(F.col("amount"), rate).alias("net"),
        values.vat_of_net(F.col("amount"), rate).alias("vat"),
    ).collect()
    assert len(rows) == len(amounts)
    for row in rows:
        day = bir_rules.vat_rules()[0].valid_from
        inclusive = bir_rules.split_vat(row["amount"], True, "vat_registered", day)
        exclusive = bir_rules.split_vat(row["amount"], False, "vat_registered", day)
        assert row["net"] == inclusive.net, row["amount"]
        assert row["vat"] == exclusive.vat, row["amount"]


def test_ewt_lines_are_what_derive_says(built):
    """Every coded bill line, withheld or not, against the reference function."""
    lines = built.lake.read("silver.finance_lines")
    facts = [row.asDict() for row in ewt.facts(lines).collect()]
    found = {
        row["line_key"]: row
        for row in ewt.ewt_lines(lines, ewt.decisions(built.lake.spark)).collect()
    }
    assert len(facts) > 500
    withheld = 0
    for fact in facts:
        derived = bir_rules.derive(
            bir_rules.PaymentFacts(
                date=fact["document_date"],
                nature=fact["nature_of_payment"],
                payee_kind=fact["payee_kind"],
                payor_kind=fact["payor_kind"],
                vat_status=fact["vat_status"],
                amount=fact["amount_net"],
                amount_includes_vat=False,
                regular_supplier=True if fact["regular_supplier"] else None,
                year_to_date=fact["year_to_date"],
            )
        )
        row = found.get(fact["line_key"])
        if derived.withheld:
            withheld += 1
            assert row is not None, (fact, derived)
            expected = (derived.atc, derived.form, derived.rate)
            assert (row["atc"], row["form"], row["rate"]) == expected
            assert row["tax"] == derived.tax
        else:
            assert row is None, (fact, derived)
    assert withheld == len(found) > 100
    assert len({row["atc"] for row in found.values()}) >= 8
