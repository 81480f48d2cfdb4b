"""What the domain compiler refuses, what never is in its text, and what it makes of a "not"."""

import datetime
from decimal import Decimal

import pytest
from lib.domain_sql import DomainError, Field, limit, order_by, quoted, where
from lib.sql_types import Typed, parameters

FIELDS = {
    "name": Field("vendor_name", "text"),
    "lines": Field("line_count", "integer"),
    "rate": Field("rate", "float", digits=2),
    "amount": Field("amount_gross", "decimal(18,2)"),
    "paid": Field("is_paid", "boolean"),
    "day": Field("day", "date"),
    "at": Field("written_at", "datetime"),
}
NASTY = [
    "' OR 1=1 --",
    '"; DROP TABLE t; --',
    "`) UNION SELECT * FROM secrets --",
    "\\' OR ''='",
    ":p0",
    "{{x}} ${y} /* z */",
]


def compiled(*domain):
    return where(list(domain), FIELDS)


def text_of(*domain):
    return compiled(*domain).text


@pytest.mark.parametrize("operator", ["child_of", "parent_of", "any", "not any", "=?", "IN", "~"])
def test_other_operators_are_refused_with_those_that_are_allowed(operator):
    with pytest.raises(DomainError) as refused:
        compiled(("name", operator, 1))
    assert "name" in str(refused.value)
    assert repr(operator) in str(refused.value)
    assert "'not ilike'" in str(refused.value)


@pytest.mark.parametrize("name", ["partner_id.name", "password", "vendor_name", "name ", "1"])
def test_other_fields_are_refused_with_those_that_are_allowed(name):
    with pytest.raises(DomainError, match="amount, at, day, lines, name, paid, rate") as refused:
        compiled((name, "=", "x"))
    assert str(refused.value).startswith(f"{name}:")


@pytest.mark.parametrize(
    ("leaf", "told"),
    [
        (("lines", "=", "many"), "lines =: 'many' is no whole number"),
        (("amount", ">", "1,000"), "amount >: '1,000' is no number"),
        (("amount", ">", float("nan")), "NaN"),
        (("rate", "<", float("inf")), "infinity"),
        (("lines", "<", float("inf")), "no whole number"),
        (("day", "=", "01/02/2025"), "YYYY-MM-DD"),
        (("day", "=", "2025-02-30"), "is no date"),
        (("at", "=", "2025-01-01T00:00:00+08:00"), "is no date"),
        (("at", "=", datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC)), "zone"),
        (("at", "=", True), "is no date"),
        (("paid", "=", "false"), "neither true nor false"),
        (("paid", "ilike", "t"), "boolean column is not compared as text"),
        (("rate", "like", "1"), "float column is not compared as text"),
        (("lines", "=like", "1"), "integer column is not compared as text"),
        (("name", "<", ["a"]), "in and not in take a list"),
        (("name", "in", "abc"), "list of values"),
        (("name", "=", {"a": 1}), "one value"),
        (("name", "in", [["a"]]), "list is no text"),
        (("name", "=", "a\0b"), "NUL"),
        (("name", "=", "\ud800"), "surrogate"),
        (("name", "=like", "a\\"), "backslash"),
        (("name", "in", ["a"] * 3000), "2000 values"),
    ],
)
def test_values_that_do_not_fit_are_told(leaf, told):
    with pytest.raises(DomainError) as refused:
        compiled(leaf)
    assert told in str(refused.value)
    assert leaf[0] in str(refused.value)


@pytest.mark.parametrize(
    "domain",
    [
        "name",
        None,
        {"name": 1},
        ["&", ("name", "=", "a")],
        ["|", ("name", "=", "a")],
        ["!"],
        ["or", ("name", "=", "a")],
        [("name", "=")],
        [("name", "=", "a", "b")],
        [("", "=", "a")],
        [(None, "=", "a")],
        [(2, "=", 1)],
        [5],
    ],
)
def test_what_is_no_domain_is_refused(domain):
    with pytest.raises(DomainError):
        where(domain, FIELDS)


@pytest.mark.parametrize("value", NASTY)
@pytest.mark.parametrize("operator", ["=", "!=", "in", "not in", "ilike", "like", "<"])
def test_values_are_never_in_the_text(value, operator):
    plain = compiled(("name", operator, ["a"] if "in" in operator.split() else "a"))
    nasty = compiled(("name", operator, [value] if "in" in operator.split() else value))
    assert nasty.text == plain.text
    assert [item["name"] for item in parameters(nasty.parameters)] == ["p0"]


@pytest.mark.parametrize("name", ["a`b", "a b", "a;b", "", "1a", "a.b", "é", "a\n", None])
def test_identifiers_are_checked(name):
    for refuse in (
        lambda: quoted(name),
        lambda: Field(name, "text"),
        lambda: where([], FIELDS, prefix=name),
        lambda: order_by("name", FIELDS, name),
    ):
        with pytest.raises((DomainError, TypeError)):
            refuse()


@pytest.mark.parametrize("kind", ["varchar", "decimal", "decimal(39,2)", "decimal(5,6)", "text)"])
def test_kinds_are_checked(kind):
    with pytest.raises(DomainError):
        Field("a", kind)


def test_a_negation_turns_the_operator_round():
    pairs = [
        (["!", ("lines", "=", 5)], [("lines", "!=", 5)]),
        (["!", ("lines", "<", 5)], [("lines", ">=", 5)]),
        (["!", "!", ("name", "ilike", "a")], [("name", "ilike", "a")]),
        (["!", ("name", "in", ["a", False])], [("name", "not in", ["a", False])]),
        (["!", "|", ("paid", "=", True), ("day", "=", False)],
         ["&", ("paid", "!=", True), ("day", "!=", False)]),
        (["!", (1, "=", 1)], [(0, "=", 1)]),
        ([("lines", "=", [1, 2])], [("lines", "in", [1, 2])]),
        ([("paid", "in", True)], [("paid", "=", True)]),
        ([("lines", "<>", 5)], [("lines", "!=", 5)]),
        ([("lines", "=", 5), "|", ("paid", "=", True), ("day", "=", False), ("name", "=", "a")],
         ["&", "&", ("lines", "=", 5), "|", ("paid", "=", True), ("day", "=", False),
          ("name", "=", "a")]),
    ]  # fmt: skip
    for domain, same in pairs:
        assert compiled(*domain) == compiled(*same)
    assert text_of("!", ("name", "=like", "a%")) == "NOT ((`vendor_name` LIKE :p0))"


def test_empty_values():
    assert text_of() == "TRUE"
    assert text_of(("name", "=", False)) == "`vendor_name` IS NULL"
    assert text_of(("day", "!=", None)) == "`day` IS NOT NULL"
    assert text_of(("paid", "=", False)) == "(`is_paid` IS NULL OR `is_paid` = FALSE)"
    assert text_of(("paid", "=", None)) == "`is_paid` IS NULL"
    assert text_of(("name", "in", [])) == "(FALSE)"
    assert text_of(("name", "not in", [])) == "(TRUE OR `vendor_name` IS NULL)"
    assert text_of(("lines", "!=", 5)) == "(`line_count` <> :p0 OR `line_count` IS NULL)"
    assert text_of(("lines", "!=", 0)) == "(`line_count` <> :p0)"


def test_numbers_keep_their_meaning_in_the_type_of_the_column():
    def amount(operator, value):
        condition = compiled(("amount", operator, value))
        return condition.text, [item.value for item in condition.parameters.values()]

    assert amount("<", 10.005) == ("(`amount_gross` < :p0)", [Decimal("10.01")])
    assert amount("<=", 10.005) == ("(`amount_gross` <= :p0)", [Decimal("10.00")])
    assert amount(">=", -10.005) == ("(`amount_gross` >= :p0)", [Decimal("-10.00")])
    assert amount(">", -10.005) == ("(`amount_gross` > :p0)", [Decimal("-10.01")])
    assert amount("=", 10.005) == ("FALSE", [])
    assert amount("!=", 10.005) == ("TRUE", [])
    assert amount("<", 1e30) == ("(`amount_gross` IS NOT NULL)", [])
    assert amount(">", 1e30) == ("FALSE", [])
    assert amount(">", -1e30) == ("(`amount_gross` IS NOT NULL)", [])
    assert amount("in", [1e30, 0.1]) == ("(`amount_gross` IN (:p0))", [Decimal("0.10")])
    assert text_of(("lines", "<", 2**63)) == "(`line_count` IS NOT NULL)"
    assert compiled(("lines", "=", -(2**63))).parameters == {"p0": Typed("BIGINT", -(2**63))}
    assert compiled(("rate", "=", 0.125)).parameters == {"p0": Typed("DOUBLE", 0.13)}
    for item in parameters(compiled(("amount", "=", 10.0)).parameters):
        assert item == {"name": "p0", "type": "DECIMAL(18,2)", "value": "10.00"}


def test_a_date_stands_for_a_whole_day_of_a_datetime():
    def moment(operator, value):
        return compiled(("at", operator, value)).parameters["p0"].value

    day = datetime.date(2025, 1, 31)
    assert moment(">", "2025-01-31") == datetime.datetime(2025, 1, 31, 23, 59, 59)
    assert moment("<=", day) == datetime.datetime(2025, 1, 31, 23, 59, 59, 999999)
    assert moment("<", "2025-01-31") == moment(">=", day) == datetime.datetime(2025, 1, 31)
    assert moment("<", "2025-01-31 08:00:00.5") == datetime.datetime(2025, 1, 31, 8, 0, 0, 500000)


def test_patterns_keep_wildcards_and_lose_needless_escapes():
    assert compiled(("name", "like", "50\\%_\\a")).parameters["p0"].value == "%50\\%_a%"
    assert compiled(("name", "=ilike", "ÑÉİ%")).parameters["p0"].value == "ñéİ%"
    # the backslash at the end takes the percent sign that Odoo adds
    assert compiled(("name", "like", "a\\")).parameters["p0"].value == "%a\\%"


def test_order_and_limit():
    assert order_by("", FIELDS, "row_key") == "`row_key` ASC NULLS LAST"
    assert order_by("name, amount DESC, day asc nulls first", FIELDS, "row_key") == (
        "`vendor_name` ASC NULLS LAST, `amount_gross` DESC NULLS FIRST, `day` ASC NULLS FIRST, "
        "`row_key` ASC NULLS LAST"
    )
    for order in ("secret", "name; drop", "name sideways", "(select 1)", "name--"):
        with pytest.raises(DomainError):
            order_by(order, FIELDS, "row_key")
    assert limit(100) == "LIMIT 100"
    for rows in (0, -1, True, "5", 10**9, 1.5):
        with pytest.raises(DomainError):
            limit(rows)


def test_large_domains_end_with_a_word_not_a_crash():
    leaf = ("lines", "=", 1)
    many = where(["|"] * 899 + [leaf] * 900, FIELDS)
    assert many.text.count("OR") == 899
    assert many.text.count("((") == 1  # neighbours share one pair of brackets
    deep = ["&", leaf, "|", leaf] * 400
    assert where([*deep, leaf], FIELDS).parameters
    with pytest.raises(DomainError, match="1000 conditions"):
        where([leaf] * 1001, FIELDS)
