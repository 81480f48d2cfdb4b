"""The same checksums of a column in the warehouse and in PostgreSQL, to compare the two copies.

Each column gives its number of values and a sum that does not depend on the order of the rows:
of the numbers themselves, of days and seconds since 1970, of the first 32 bits of a text's MD5.
A float has no sum: adding in another order gives another one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

# kind of a PostgreSQL type: (sum in Spark SQL, sum in PostgreSQL); {0} is the quoted column
_NUMBER = ("cast(sum({0}) AS string)", "sum({0})::text")
_TEXT = (
    "cast(sum(cast(conv(substring(md5({0}), 1, 8), 16, 10) AS bigint)) AS string)",
    "sum(('x' || substr(md5({0}), 1, 8))::bit(32)::bigint)::text",
)
_DAY = (
    "cast(sum(datediff({0}, DATE '1970-01-01')) AS string)",
    "sum({0} - DATE '1970-01-01')::text",
)
_SECOND = (
    "cast(sum(cast({0} AS bigint)) AS string)",
    "sum(floor(extract(epoch FROM {0})))::text",
)
_FLAG = (
    "cast(sum(CASE WHEN {0} THEN 1 ELSE 0 END) AS string)",
    "sum(CASE WHEN {0} THEN 1 ELSE 0 END)::text",
)
_SUMS = {
    "varchar": _TEXT, "text": _TEXT, "date": _DAY, "timestamp": _SECOND, "boolean": _FLAG,
    "numeric": _NUMBER, "bigint": _NUMBER, "integer": _NUMBER, "smallint": _NUMBER,
}  # fmt: skip


@dataclass(frozen=True)
class Difference:
    """`what` is a column's name, or "" for the number of rows."""

    company: str
    what: str
    remote: Decimal | None
    local: Decimal | None


def remote_expressions(columns: Iterable[tuple[str, str]]) -> list[str]:
    """Expressions for Spark SQL, two a column: number of values and sum (as text, or NULL).

    :param columns: (name, PostgreSQL type); names are plain identifiers
    """
    return _expressions(columns, "`{}`", 0)


def local_expressions(columns: Iterable[tuple[str, str]]) -> list[str]:
    """The same for PostgreSQL."""
    return _expressions(columns, '"{}"', 1)


def differences(names: list[str], remote: dict[str, Any], local: dict[str, Any]) -> list:
    """Compare rows of (count of rows, then two values a column) by company code.

    Returns a list of Difference, ordered by company.
    """
    found = []
    for company in sorted({*remote, *local}):
        there = remote.get(company) or (0,) * (1 + 2 * len(names))
        here = local.get(company) or (0,) * (1 + 2 * len(names))
        if _number(there[0]) != _number(here[0]):
            found.append(Difference(company, "", _number(there[0]), _number(here[0])))
        for index, name in enumerate(names):
            for place in (1 + 2 * index, 2 + 2 * index):
                pair = _number(there[place]), _number(here[place])
                if (pair[0] or 0) != (pair[1] or 0):
                    found.append(Difference(company, name, *pair))
                    break
    return found


def _expressions(columns: Iterable[tuple[str, str]], quote: str, side: int) -> list[str]:
    expressions = []
    for name, sql_type in columns:
        column = quote.format(name)
        sums = _SUMS.get(sql_type.lower().partition("(")[0].strip())
        expressions.append(f"count({column})")
        expressions.append(sums[side].format(column) if sums else "NULL")
    return expressions


def _number(value: Any) -> Decimal | None:
    return None if value is None else Decimal(str(value))
