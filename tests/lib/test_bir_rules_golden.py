"""Golden cases: what the regulations say for a stated payment, each with where it is said.

The cases are rows of golden_payments.csv; amounts there are net of VAT.
"""

import csv
import datetime
from decimal import Decimal
from pathlib import Path

import pytest
from lib.bir_rules import PaymentFacts, derive, rules, split_vat

DAY = datetime.date(2025, 8, 15)
TWA = "top_withholding_agent"
KNOWN = {"true": True, "false": False, "unknown": None, "": None}
with (Path(__file__).parent / "golden_payments.csv").open(encoding="utf-8", newline="") as handle:
    CASES = list(csv.DictReader(handle))


def facts(nature, payee, payor, amount, vat_status="vat_registered", inclusive=False, **more):
    more.setdefault("date", DAY)
    return PaymentFacts(
        nature=nature,
        payee_kind=payee,
        payor_kind=payor,
        vat_status=vat_status,
        amount=Decimal(amount),
        amount_includes_vat=inclusive,
        **more,
    )


def decimal_or_none(text):
    return Decimal(text) if text else None


@pytest.mark.parametrize(
    "case", CASES, ids=[f"{n}-{c['nature']}-{c['withheld']}" for n, c in enumerate(CASES, 2)]
)
def test_payment(case):
    answer = derive(
        facts(
            case["nature"],
            case["payee_kind"],
            case["payor_kind"],
            case["amount"],
            case["vat_status"],
            date=datetime.date.fromisoformat(case["date"]),
            regular_supplier=KNOWN[case["regular_supplier"]],
            higher_rate=KNOWN[case["higher_rate"]],
            year_to_date=decimal_or_none(case["year_to_date"]),
        )
    )
    assert case["source"]
    assert answer.withheld is KNOWN[case["withheld"]], answer.reason
    assert answer.atc == (case["atc"] or None)
    assert answer.form == ("2307" if case["atc"] else None)
    assert answer.rate == decimal_or_none(case["rate_percent"])
    assert answer.tax == decimal_or_none(case["tax"])
    assert answer.candidates == tuple(case["candidates"].split())
    assert case["reason"] in answer.reason
    assert answer.reason.startswith("unknown, because ") == (answer.withheld is None)
    if answer.withheld is not None:
        assert answer.base == Decimal(case["amount"])
        assert answer.rule_id and answer.source
        assert answer.valid_from <= datetime.date.fromisoformat(case["date"])


def test_every_atc_of_the_table_has_a_golden_case():
    assert {rule.atc for rule in rules() if rule.atc} == {c["atc"] for c in CASES if c["atc"]}


# amount, inclusive, status, net, vat, gross, input VAT allowed
VAT = [
    ("112.00", True, "vat_registered", "100.00", "12.00", "112.00", True),
    ("100.00", False, "vat_registered", "100.00", "12.00", "112.00", True),
    ("1000.00", True, "vat_registered", "892.86", "107.14", "1000.00", True),
    ("0.04", False, "vat_registered", "0.04", "0.00", "0.04", True),
    ("0.125", False, "vat_registered", "0.13", "0.02", "0.15", True),
    ("-112.00", True, "vat_registered", "-100.00", "-12.00", "-112.00", True),
    ("500.00", True, "non_vat", "500.00", "0.00", "500.00", False),
    ("500.00", True, "zero_rated", "500.00", "0.00", "500.00", False),
    ("500.00", False, "exempt", "500.00", "0.00", "500.00", False),
]


@pytest.mark.parametrize("case", VAT, ids=lambda c: f"{c[0]}-{c[1]}-{c[2]}")
def test_vat(case):
    amount, inclusive, status, net, vat, gross, allowed = case
    split = split_vat(Decimal(amount), inclusive, status, DAY)
    assert (str(split.net), str(split.vat), str(split.gross)) == (net, vat, gross)
    assert split.input_vat_allowed is allowed
    answer = derive(facts("rent", "corporate", "ordinary", amount, status, inclusive))
    assert (str(answer.base), str(answer.vat_amount)) == (net, vat)
    assert answer.vat_treatment == status and answer.input_vat_allowed is allowed


def test_government_also_withholds_vat_or_percentage_tax():
    goods = derive(facts("goods", "corporate", "government", "112000", inclusive=True)).business_tax
    assert (goods.atc, goods.return_form, goods.tax) == ("WV010", "1600-VT", Decimal("5000.00"))
    rent = derive(facts("rent", "individual", "government", "1000", "non_vat")).business_tax
    assert (rent.atc, rent.return_form, rent.tax) == ("WB080", "1600-PT", Decimal("30.00"))
    assert derive(facts("rent", "individual", "government", "1000", "exempt")).business_tax is None
    assert derive(facts("goods", "corporate", TWA, "112000")).business_tax is None


def test_validity_changes_the_source_on_the_day_of_rr_24_2025():
    before = derive(facts("goods", "corporate", TWA, "20000", date=datetime.date(2025, 10, 9)))
    after = derive(facts("goods", "corporate", TWA, "20000", date=datetime.date(2025, 10, 10)))
    assert "RR 11-2018" in before.source and before.valid_from == datetime.date(2018, 1, 1)
    assert after.source.startswith("RR 24-2025")
    assert after.valid_from == datetime.date(2025, 10, 10)
    assert before.tax == after.tax == Decimal("200.00")
