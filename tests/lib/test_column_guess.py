"""What is made of a gold table's columns before a person has looked at them."""

import pytest
from lib.column_guess import guess, is_ratio, label_of, sql_type_of

GOLD = [
    ("row_key", "string"),
    ("company_code", "string"),
    ("currency", "string"),
    ("month", "date"),
    ("vendor_key", "string"),
    ("vendor_tin", "string"),
    ("bill_count", "bigint"),
    ("line_no", "int"),
    ("amount_net", "decimal(18,2)"),
    ("ewt_rate", "decimal(9,4)"),
    ("weight", "double"),
    ("lines", "array<struct<a:int>>"),
    ("updated_at", "timestamp"),
]


def by_name(columns):
    return {item.name: item for item in guess(columns)}


def test_roles():
    roles = {name: item.role for name, item in by_name(GOLD).items()}
    assert roles == {
        **dict.fromkeys(dict(GOLD), "value"),
        "row_key": "key",
        "company_code": "company",
        "currency": "currency",
        "vendor_tin": "partner_tin",
        "updated_at": "updated",
        "lines": "skip",
    }


def test_amounts_and_counts_are_summed_and_ratios_never():
    totals = {name: item.aggregation for name, item in by_name(GOLD).items()}
    assert {name for name, total in totals.items() if total == "sum"} == {
        "amount_net",
        "bill_count",
        "weight",
    }


def test_money_needs_a_currency():
    assert by_name(GOLD)["amount_net"].ttype == "monetary"
    assert by_name(GOLD)["ewt_rate"].ttype == "float"
    without = [column for column in GOLD if column[0] != "currency"]
    assert by_name(without)["amount_net"].ttype == "float"


def test_a_key_is_only_guessed_when_it_is_clear():
    roles = by_name([("vendor_key", "string"), ("branch_key", "string")])
    assert {item.role for item in roles.values()} == {"value"}
    assert by_name([("vendor_key", "string")])["vendor_key"].role == "key"
    assert by_name([("ID", "bigint"), ("a_key", "string")])["ID"].role == "key"
    assert by_name([("row_key", "double")])["row_key"].role == "value"


@pytest.mark.parametrize(
    ("name", "ratio"),
    [
        ("ewt_rate", True),
        ("margin_pct", True),
        ("RATIO", True),
        ("vat_percent", True),
        ("unit_price", True),
        ("rate", True),
        ("separate", False),
        ("rate_count", False),
        ("amount", False),
    ],
)
def test_ratio(name, ratio):
    assert is_ratio(name) is ratio


@pytest.mark.parametrize(
    ("remote", "local"),
    [
        ("STRING", "varchar"),
        ("varchar(20)", "varchar"),
        ("decimal(38, 10)", "numeric(38,10)"),
        ("bigint", "bigint"),
        ("smallint", "integer"),
        ("float", "double precision"),
        ("timestamp_ntz", "timestamp"),
        ("binary", ""),
        ("map<string,int>", ""),
        ("decimal(10,2); DROP TABLE x", ""),
    ],
)
def test_sql_types(remote, local):
    assert sql_type_of(remote) == local


def test_labels():
    assert label_of("vendor_tin") == "Vendor TIN"
    assert label_of("amountNet") == "Amount net"
    assert label_of("__") == "__"
