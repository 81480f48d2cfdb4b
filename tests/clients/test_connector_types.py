"""Every type through every backend of the connector: values, nulls, descriptions."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal

import pytest
from connectors import BACKENDS, connect, cursor, table

UTC = dt.UTC

# expression, type code in cursor.description, value
SCALARS = [
    ("cast(-7 AS TINYINT)", "tinyint", -7),
    ("cast(-300 AS SMALLINT)", "smallint", -300),
    ("cast(2147483647 AS INT)", "int", 2147483647),
    ("cast(9007199254740993 AS BIGINT)", "bigint", 9007199254740993),
    ("cast(1.5 AS FLOAT)", "float", 1.5),
    ("cast(-2.25 AS DOUBLE)", "double", -2.25),
    ("true", "boolean", True),
    ("'naïve ₱ \\'quoted\\''", "string", "naïve ₱ 'quoted'"),
    ("''", "string", ""),
    ("X'00FF10'", "binary", b"\x00\xff\x10"),
    ("DATE'2026-02-28'", "date", dt.date(2026, 2, 28)),
    ("DATE'1582-10-15'", "date", dt.date(1582, 10, 15)),
    (
        "TIMESTAMP'2026-01-02 03:04:05.123456+08:00'",
        "timestamp",
        dt.datetime(2026, 1, 1, 19, 4, 5, 123456, UTC),
    ),
    ("TIMESTAMP_NTZ'2026-01-02 03:04:05'", "timestamp", dt.datetime(2026, 1, 2, 3, 4, 5)),
]

DECIMALS = [
    ("1.50", 12, 2),
    ("-0.01", 12, 2),
    ("12345678901234567890123456789012345678", 38, 0),
    ("0.00000000000000000000000000000000000001", 38, 38),
]

TYPES = [
    "TINYINT", "SMALLINT", "INT", "BIGINT", "FLOAT", "DOUBLE", "BOOLEAN", "STRING", "BINARY",
    "DATE", "TIMESTAMP", "TIMESTAMP_NTZ", "DECIMAL(18,2)", "ARRAY<INT>", "MAP<STRING,INT>",
    "STRUCT<x:INT>",
]  # fmt: skip


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request):
    return request.param


@pytest.fixture(scope="module")
def db(target, backend):
    with connect(target, backend) as connection:
        yield connection


@pytest.fixture
def cur(db):
    with db.cursor() as made:
        yield made


@pytest.mark.parametrize(("expression", "code", "value"), SCALARS)
def test_a_value_keeps_its_type(cur, expression, code, value):
    (found,) = cur.execute(f"SELECT {expression} AS v").fetchone()
    assert found == value and isinstance(found, type(value))
    assert cur.description[0][:2] == ("v", code)


def test_a_timestamp_with_a_zone_is_aware_and_one_without_is_not(cur):
    cur.execute("SELECT TIMESTAMP'2026-01-02 03:04:05Z' AS a, TIMESTAMP_NTZ'2026-01-02' AS b")
    aware, naive = cur.fetchone()
    assert aware.utcoffset() is not None and naive.tzinfo is None


@pytest.mark.parametrize(("text", "precision", "scale"), DECIMALS)
def test_a_decimal_keeps_every_digit_and_its_scale(cur, text, precision, scale):
    cur.execute(f"SELECT cast('{text}' AS DECIMAL({precision},{scale})) AS v")
    (found,) = cur.fetchone()
    assert found == Decimal(text) and found.as_tuple().exponent == -scale
    assert cur.description[0][1] == "decimal"
    assert cur.description[0][4:6] == (precision, scale)


@pytest.mark.parametrize("kind", TYPES)
def test_null_of_every_type(cur, kind):
    assert cur.execute(f"SELECT cast(NULL AS {kind}) AS v").fetchall() == [(None,)]


def test_null_without_a_type(cur):
    assert cur.execute("SELECT NULL AS v").fetchone() == (None,)


def test_nulls_beside_values_in_every_column(cur):
    """Half of the rows are null, in a pattern that differs from column to column."""
    cur.execute(
        "SELECT if(id % 2 = 0, id, NULL) AS i, if(id % 3 = 0, cast(id AS DECIMAL(9,2)), NULL) AS d,"
        " if(id % 5 = 0, concat('s', id), NULL) AS s, if(id % 7 = 0, id % 2 = 0, NULL) AS b"
        " FROM range(1000) ORDER BY id"
    )
    found = cur.fetchall()
    expected = [
        (
            n if n % 2 == 0 else None,
            Decimal(n) if n % 3 == 0 else None,
            f"s{n}" if n % 5 == 0 else None,
            n % 2 == 0 if n % 7 == 0 else None,
        )
        for n in range(1000)
    ]
    assert [tuple(row) for row in found] == expected


NESTED = (
    "SELECT array(1, NULL, 3) AS a, map('k', cast(1.5 AS DECIMAL(9,2))) AS m,"
    " named_struct('x', 1, 'y', array('p', 'q')) AS s,"
    " array(named_struct('n', 'ñ', 'd', DATE'2026-01-02')) AS n, cast(array() AS ARRAY<INT>) AS e"
)


def test_nested_values_are_nested_in_arrow(cur):
    cur.execute(NESTED)
    assert [column[1] for column in cur.description] == ["array", "map", "struct", "array", "array"]
    assert cur.fetchall_arrow().to_pylist() == [
        {
            "a": [1, None, 3],
            "m": [("k", Decimal("1.50"))],
            "s": {"x": 1, "y": ["p", "q"]},
            "n": [{"n": "ñ", "d": dt.date(2026, 1, 2)}],
            "e": [],
        }
    ]


def test_nested_values_are_json_for_a_client_that_asks_for_text(target, backend):
    if backend == "sea":
        pytest.skip("the sea backend converts nothing: it has no such option")
    with cursor(target, backend, _use_arrow_native_complex_types=False) as made:
        made.execute("SELECT array(1, 2) AS a, named_struct('x', 'y') AS s, 1 AS i")
        (row,) = made.fetchall_arrow().to_pylist()
        assert [column[1] for column in made.description] == ["array", "struct", "int"]
    assert json.loads(row["a"]) == [1, 2] and json.loads(row["s"]) == {"x": "y"} and row["i"] == 1


def test_decimals_and_timestamps_as_text_for_a_client_that_reads_no_arrow_types(target):
    """The Thrift client turns the text back into decimals; a timestamp stays text."""
    options = {"_use_arrow_native_decimals": False, "_use_arrow_native_timestamps": False}
    with cursor(target, "thrift", **options) as made:
        made.execute(
            "SELECT cast('12.50' AS DECIMAL(9,2)) AS d, cast(NULL AS DECIMAL(9,2)) AS n,"
            " TIMESTAMP'2026-01-02 03:04:05Z' AS t"
        )
        (row,) = made.fetchall_arrow().to_pylist()
    assert row["d"] == Decimal("12.50") and row["n"] is None
    assert row["t"].startswith("2026-01-02 03:04:05")


def test_no_rows_still_have_columns(cur):
    cur.execute("SELECT 1 AS a, 'x' AS b WHERE 1 = 0")
    assert [(column[0], column[1]) for column in cur.description] == [("a", "int"), ("b", "string")]
    assert cur.fetchall() == []
    assert cur.execute("SELECT 1 AS a WHERE false").fetchone() is None


def test_columns_of_one_name_stay_apart(cur):
    cur.execute("SELECT 1 AS a, 2 AS a")
    assert tuple(cur.fetchone()) == (1, 2)


def test_what_changes_a_table_says_how_many_rows(target, cur, backend):
    with table(target, "id INT, amount DECIMAL(9,2)") as name:
        cur.execute(f"INSERT INTO {name} VALUES (1, 1.50), (2, 2.50), (3, NULL)")
        answer = dict(zip([column[0] for column in cur.description], cur.fetchone(), strict=True))
        assert answer["num_affected_rows"] == answer["num_inserted_rows"] == 3
        if backend == "thrift":
            assert cur.rowcount == 3
        cur.execute(f"SELECT sum(amount), count(*) FROM {name}")
        assert tuple(cur.fetchone()) == (Decimal("4.00"), 3)
        assert cur.rowcount == -1


def test_what_changes_rows_says_how_many(target, cur, backend):
    with table(target, "id INT, amount DECIMAL(9,2)") as name:
        cur.execute(f"INSERT INTO {name} VALUES (1, 1.50), (2, 2.50), (3, NULL)")
        merge = (
            f"MERGE INTO {name} t USING (SELECT 3 AS id UNION ALL SELECT 4) s ON t.id = s.id"
            " WHEN MATCHED THEN UPDATE SET amount = 9 WHEN NOT MATCHED THEN INSERT (id) VALUES (4)"
        )
        for statement, changed in (
            (f"UPDATE {name} SET amount = 0 WHERE id <= 2", 2),
            (f"DELETE FROM {name} WHERE id = 2", 1),
            (merge, 2),
            (f"DELETE FROM {name} WHERE id = 77", 0),
        ):
            cur.execute(statement)
            if backend == "thrift":
                assert cur.rowcount == changed, statement
            assert cur.description[0][0] == "num_affected_rows"
            assert cur.fetchone()[0] == changed, statement
        cur.execute(f"SELECT id, amount FROM {name} ORDER BY id")
        assert [tuple(row) for row in cur.fetchall()] == [
            (1, Decimal("0.00")),
            (3, Decimal("9.00")),
            (4, None),
        ]


def test_sea_without_arrow_gets_text(target):
    """JSON_ARRAY: the client makes values of the text again, except for what is nested."""
    with cursor(target, "sea", use_cloud_fetch=False) as made:
        made.execute(
            "SELECT 7 AS i, cast('1.50' AS DECIMAL(9,2)) AS d, DATE'2026-01-02' AS day,"
            " TIMESTAMP'2026-01-02 03:04:05Z' AS t, array(1, 2) AS a, CAST(NULL AS INT) AS n"
        )
        number, amount, day, moment, items, missing = made.fetchone()
    assert (number, amount, day, missing) == (7, Decimal("1.50"), dt.date(2026, 1, 2), None)
    assert moment == dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert json.loads(items) == ["1", "2"] or json.loads(items) == [1, 2]
