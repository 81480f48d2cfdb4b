"""The statement that reads a table, the fit of its columns, and the checksums of two copies."""

from datetime import date, datetime

import pytest
from lib.sql_types import Column, Typed
from lib.table_checksum import Difference, differences, local_expressions, remote_expressions
from lib.table_read import Misfit, misfits, select


def test_values_travel_apart_from_the_text():
    since, first = datetime(2026, 1, 2, 3), date(2026, 1, 1)
    text, parameters = select("`m`.`g`.`t`", ["a", "b"], changed=("u", since), window=("d", first))
    assert text == (
        "SELECT `a`, `b` FROM `m`.`g`.`t` WHERE (`u` >= :changed OR `u` IS NULL) "
        "AND `d` >= :first_date"
    )
    assert parameters == {
        "changed": Typed("TIMESTAMP", since),
        "first_date": Typed("DATE", first),
    }
    assert select("`t`", ["a"]) == ("SELECT `a` FROM `t`", {})


@pytest.mark.parametrize(
    ("local", "remote", "text", "fits"),
    [
        ("varchar", "STRING", "STRING", True),
        ("varchar", "LONG", "BIGINT", True),
        ("bigint", "INT", "INT", True),
        ("bigint", "STRING", "STRING", False),
        ("bigint", "DECIMAL", "DECIMAL(10,0)", False),
        ("numeric(18,2)", "DECIMAL", "DECIMAL(18,2)", True),
        ("numeric(18,2)", "DECIMAL", "DECIMAL(10,1)", True),
        ("numeric(18,2)", "DECIMAL", "DECIMAL(18,4)", False),
        ("numeric(18,2)", "DECIMAL", "DECIMAL(20,2)", False),
        ("numeric(18,2)", "LONG", "BIGINT", True),
        ("numeric", "DECIMAL", "DECIMAL(38,18)", True),
        ("double precision", "DECIMAL", "DECIMAL(9,4)", True),
        ("double precision", "DOUBLE", "DOUBLE", True),
        ("date", "TIMESTAMP", "TIMESTAMP", False),
        ("timestamp", "TIMESTAMP_NTZ", "TIMESTAMP_NTZ", True),
        ("boolean", "INT", "INT", False),
        ("varchar", "ARRAY", "ARRAY<STRING>", False),
    ],
)
def test_a_type_fits_or_is_named(local, remote, text, fits):
    wrong = misfits([("a", local)], [Column("A", remote, text)])
    assert wrong == ([] if fits else [Misfit("a", text, local)])


def test_a_column_that_is_gone_is_named():
    assert misfits([("a", "date")], []) == [Misfit("a", "", "date")]


def test_both_sides_have_two_expressions_a_column():
    columns = [("a", "varchar"), ("b", "numeric(18,2)"), ("c", "double precision")]
    remote, local = remote_expressions(columns), local_expressions(columns)
    assert len(remote) == len(local) == 6
    assert remote[0] == "count(`a`)" and local[0] == 'count("a")'
    assert remote[5] == local[5] == "NULL"


def test_differences_are_found_by_company_and_column():
    same = {"A": (2, 2, "3.00", 1, None)}
    assert differences(["x", "y"], same, {"A": (2, 2, "3.0", 1, None)}) == []
    other = {"A": (3, 2, "3.01", 1, None), "B": (1, 1, "1", 0, None)}
    found = differences(["x", "y"], same, other)
    assert [(item.company, item.what) for item in found] == [
        ("A", ""), ("A", "x"), ("B", ""), ("B", "x"),
    ]  # fmt: skip
    assert isinstance(found[0], Difference) and (found[0].remote, found[0].local) == (2, 3)


def test_no_rows_and_no_values_are_the_same():
    assert differences(["x"], {"A": (0, 0, None)}, {}) == []
