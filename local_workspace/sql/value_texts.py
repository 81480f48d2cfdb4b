"""Values of results as text, in the form of JSON_ARRAY and CSV results."""

from __future__ import annotations

import base64
import datetime as dt
import json
import math
import struct
from decimal import Decimal

import pyarrow as pa

from ..engine.intervals import day_time_text

# Types whose values pyarrow writes in the wanted form; it does so much faster than Python.
_CASTABLE = (pa.types.is_integer, pa.types.is_boolean, pa.types.is_date)


def text_rows(table: pa.Table) -> list[list[str | None]]:
    """Rows with every value as text or None."""
    columns = [_column(column) for column in table.columns]
    return [list(row) for row in zip(*columns, strict=True)]


def text_value(value: object) -> str | None:
    """One value as text; nested values as JSON."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return double_text(value)
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, dt.datetime):
        return _moment(value)
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, dt.timedelta):
        return day_time_text(value // dt.timedelta(microseconds=1))
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, (list, dict)):
        return json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":"))
    return str(value)


def double_text(value: float, shortest: str = "") -> str:
    """A floating number as Spark writes it: ``1.0``, ``1.0E10``, ``NaN``, ``-Infinity``.

    ``shortest`` is its shortest text where that is not Python's (single precision).
    """
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else f"{'-' if value < 0 else ''}Infinity"
    if value == 0:
        return "-0.0" if math.copysign(1, value) < 0 else "0.0"
    sign, digits, exponent = Decimal(shortest or repr(value)).normalize().as_tuple()
    power = len(digits) + exponent - 1
    written = "".join(map(str, digits))
    minus = "-" if sign else ""
    if not 1e-3 <= abs(value) < 1e7:
        return f"{minus}{written[0]}.{written[1:] or '0'}E{power}"
    if power < 0:
        return f"{minus}0.{'0' * (-power - 1)}{written}"
    whole = written[: power + 1].ljust(power + 1, "0")
    return f"{minus}{whole}.{written[power + 1 :] or '0'}"


def _column(column: pa.ChunkedArray) -> list[str | None]:
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return column.to_pylist()
    if any(test(kind) for test in _CASTABLE):
        return column.cast(pa.string()).to_pylist()
    if pa.types.is_float32(kind):
        return [None if one is None else _single(one) for one in column.to_pylist()]
    return [text_value(value) for value in column.to_pylist()]


def _single(value: float) -> str:
    for precision in range(1, 10):
        text = f"{value:.{precision}g}"
        if struct.unpack("f", struct.pack("f", float(text)))[0] == value:
            return double_text(value, text)
    return double_text(value)


def _moment(value: dt.datetime) -> str:
    zone = "Z" if value.tzinfo else ""
    if value.tzinfo:
        value = value.astimezone(dt.UTC).replace(tzinfo=None)
    precision = "milliseconds" if value.microsecond % 1000 == 0 else "microseconds"
    return value.isoformat(timespec=precision) + zone


def _plain(value: object) -> object:
    """Nested values as JSON: numbers and booleans stay, everything else becomes text."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        # A map column arrives as a list of (key, value) pairs.
        if value and all(isinstance(item, tuple) and len(item) == 2 for item in value):
            return {str(text_value(key)): _plain(item) for key, item in value}
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return double_text(value)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return text_value(value)


def csv_text(names: list[str] | None, rows: list[list[str | None]]) -> str:
    """Rows as CSV (RFC 4180), after a line of ``names``; a null is written ``null``."""
    lines = [] if names is None else [",".join(map(_quoted, names))]
    lines += [",".join("null" if one is None else _quoted(one) for one in row) for row in rows]
    return "".join(line + "\r\n" for line in lines)


def _quoted(text: str) -> str:
    special = any(mark in text for mark in ',"\r\n')
    return '"' + text.replace('"', '""') + '"' if special else text
