"""The statement that reads a table for a view, and whether its columns still fit the view."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from .sql_types import Column, Typed

_DECIMAL = re.compile(r"\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)")
_REMOTE = {
    "STRING": "text", "CHAR": "text", "VARCHAR": "text",
    "BYTE": "integer", "SHORT": "integer", "INT": "integer", "LONG": "integer",
    "DECIMAL": "decimal", "FLOAT": "float", "DOUBLE": "float", "BOOLEAN": "boolean",
    "DATE": "date", "TIMESTAMP": "timestamp", "TIMESTAMP_NTZ": "timestamp",
}  # fmt: skip
_LOCAL = {
    "varchar": "text", "text": "text", "char": "text",
    "smallint": "integer", "integer": "integer", "bigint": "integer",
    "int2": "integer", "int4": "integer", "int8": "integer",
    "numeric": "decimal", "double": "float", "float8": "float", "real": "float",
    "boolean": "boolean", "bool": "boolean", "date": "date", "timestamp": "timestamp",
}  # fmt: skip
# what else a kind of local column takes without loss
_TAKES = {
    "decimal": {"integer"},
    "float": {"integer", "decimal"},
    "text": set(_REMOTE.values()),
}


@dataclass(frozen=True)
class Misfit:
    """A column that cannot be read as the view has it: `found` is its SQL type now."""

    name: str
    found: str
    expected: str


def select(
    table: str,
    names: Iterable[str],
    *,
    changed: tuple[str, datetime.datetime] | None = None,
    window: tuple[str, datetime.date] | None = None,
) -> tuple[str, dict[str, Any]]:
    """Text and named parameters of the statement that reads `names` of `table`.

    :param table: quoted name; the names are plain identifiers
    :param changed: column and naive UTC time: rows written since then; a row without a time may
        have been written at any time and is read too
    :param window: column and first date
    """
    conditions, parameters = [], {}
    if changed:
        conditions.append(f"(`{changed[0]}` >= :changed OR `{changed[0]}` IS NULL)")
        parameters["changed"] = Typed("TIMESTAMP", changed[1])
    if window:
        text, parameter = in_window(window)
        conditions.append(text)
        parameters.update(parameter)
    text = f"SELECT {', '.join(f'`{name}`' for name in names)} FROM {table}"
    if conditions:
        text += " WHERE " + " AND ".join(conditions)
    return text, parameters


def in_window(window: tuple[str, datetime.date]) -> tuple[str, dict[str, Any]]:
    """Condition and parameter: rows of the first date or later."""
    return f"`{window[0]}` >= :first_date", {"first_date": Typed("DATE", window[1])}


def misfits(expected: Iterable[tuple[str, str]], found: Sequence[Column]) -> list[Misfit]:
    """The columns that are gone or whose type no longer fits.

    :param expected: (name, PostgreSQL type) of the view's columns
    :param found: the columns of the table or of the statement that reads it
    """
    there = {column.name.lower(): column for column in found}
    wrong = []
    for name, sql_type in expected:
        column = there.get(name.lower())
        if column is None:
            wrong.append(Misfit(name, "", sql_type))
        elif not _fits(sql_type, column):
            wrong.append(Misfit(name, column.type_text, sql_type))
    return wrong


def _fits(sql_type: str, column: Column) -> bool:
    kind = _LOCAL[re.split(r"[ (]", sql_type.lower(), maxsplit=1)[0]]
    found = _REMOTE.get(column.type_name.upper())
    if found != kind:
        return found in _TAKES.get(kind, ())
    if kind != "decimal":
        return True
    room, scale = _digits(sql_type)
    wanted, wanted_scale = _digits(column.type_text)
    # more decimals would be rounded away without a word, more digits would not fit
    return scale >= wanted_scale and room - scale >= wanted - wanted_scale


def _digits(type_text: str) -> tuple[int, int]:
    """Precision and scale of a decimal type; PostgreSQL's bare numeric takes everything."""
    match = _DECIMAL.search(type_text)
    if match:
        return int(match[1]), int(match[2] or 0)
    return (10, 0) if type_text.upper().startswith("DECIMAL") else (1000, 500)
