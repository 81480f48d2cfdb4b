"""Values to parameters and result texts to values."""

import datetime
from decimal import Decimal

import pytest
from lib.errors import BadAnswer
from lib.sql_types import Column, Typed, decoder, parameter, parameters, parse_timestamp

MANILA = datetime.timezone(datetime.timedelta(hours=8))


@pytest.mark.parametrize(
    ("value", "type_name", "text"),
    [
        (None, "STRING", None),
        (True, "BOOLEAN", "true"),
        (7, "BIGINT", "7"),
        (Decimal("12.50"), "DECIMAL(4,2)", "12.50"),
        (Decimal("0.005"), "DECIMAL(3,3)", "0.005"),
        (Decimal("1E+3"), "DECIMAL(4,0)", "1000"),
        (Decimal("-1"), "DECIMAL(1,0)", "-1"),
        (0.1, "DOUBLE", "0.1"),
        ("o'k :x", "STRING", "o'k :x"),
        (datetime.date(2025, 8, 15), "DATE", "2025-08-15"),
        (datetime.datetime(2025, 8, 15, 1, 2, 3), "TIMESTAMP", "2025-08-15 01:02:03.000000+00:00"),
        (
            datetime.datetime(2025, 8, 15, 9, 2, 3, 4, MANILA),
            "TIMESTAMP",
            "2025-08-15 01:02:03.000004+00:00",
        ),
        (Typed("DATE", None), "DATE", None),
        (Typed("INT", 5), "INT", "5"),
    ],
)
def test_parameter(value, type_name, text):
    assert parameter("p", value) == {"name": "p", "type": type_name, "value": text}


def test_parameters_keep_their_names():
    assert [item["name"] for item in parameters({"a": 1, "b_2": 2})] == ["a", "b_2"]
    assert parameters(None) == []


@pytest.mark.parametrize("value", [[1], {"a": 1}, b"x", object()])
def test_types_that_sql_parameters_do_not_have(value):
    with pytest.raises(TypeError):
        parameter("p", value)


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), Decimal("NaN"), Decimal("1e40"), Decimal("1e-40")]
)
def test_numbers_that_sql_cannot_hold(value):
    with pytest.raises(ValueError):
        parameter("p", value)


@pytest.mark.parametrize("name", ["", "1a", "a b", "a;--", "a`"])
def test_names_are_identifiers(name):
    with pytest.raises(ValueError):
        parameter(name, 1)


@pytest.mark.parametrize(
    ("type_name", "text", "value"),
    [
        ("BOOLEAN", "true", True),
        ("LONG", "-5", -5),
        ("DOUBLE", "1.5E10", 1.5e10),
        ("DOUBLE", "Infinity", float("inf")),
        ("DECIMAL", "12.50", Decimal("12.50")),
        ("DATE", "2025-08-15", datetime.date(2025, 8, 15)),
        ("TIMESTAMP", "2025-08-15T01:02:03.000Z", datetime.datetime(2025, 8, 15, 1, 2, 3)),
        ("STRING", "", ""),
        ("BINARY", "AAE=", b"\x00\x01"),
        ("ARRAY", '["a",null]', ["a", None]),
        ("STRUCT", '{"a":1}', {"a": 1}),
        ("INTERVAL", "1 day", "1 day"),
        ("DECIMAL", None, None),
    ],
)
def test_decoder(type_name, text, value):
    decoded = decoder(Column("c", type_name, type_name))(text)
    assert decoded == value and type(decoded) is type(value)


def test_decimal_keeps_its_scale():
    assert str(decoder(Column("c", "DECIMAL", "DECIMAL(18,2)"))("10.00")) == "10.00"


def test_timestamp_ntz_has_no_type_name():
    column = Column("c", "", "TIMESTAMP_NTZ")
    assert decoder(column)("2025-08-15 01:02") == datetime.datetime(2025, 8, 15, 1, 2)


@pytest.mark.parametrize(
    ("text", "seconds", "micros"),
    [
        ("2025-08-15 01:02:03", 3, 0),
        ("2025-08-15T01:02:03.5Z", 3, 500000),
        ("2025-08-15T01:02:03.123456789Z", 3, 123456),
        ("2025-08-15T09:02:03+08:00", 3, 0),
        ("2025-08-15T09:02:03+0800", 3, 0),
        ("2025-08-14T22:02:03 -03", 3, 0),
        ("2025-08-15 01:02:03 UTC", 3, 0),
    ],
)
def test_timestamps_become_naive_utc(text, seconds, micros):
    assert parse_timestamp(text) == datetime.datetime(2025, 8, 15, 1, 2, seconds, micros)


@pytest.mark.parametrize(
    ("type_name", "text"),
    [
        ("LONG", "1.5"),
        ("BOOLEAN", "yes"),
        ("DATE", "31/02/2025"),
        ("TIMESTAMP", "yesterday"),
        ("TIMESTAMP", "2025-13-01 00:00:00"),
        ("DECIMAL", "12,50"),
        ("ARRAY", "[1"),
        ("BINARY", "x"),
    ],
)
def test_values_that_do_not_fit_name_their_column(type_name, text):
    with pytest.raises(BadAnswer, match="column amount_net"):
        decoder(Column("amount_net", type_name, type_name))(text)
