"""Between Python values and the text that the SQL statement API carries."""

from __future__ import annotations

import base64
import datetime
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from .errors import BadAnswer

UTC = datetime.timezone.utc
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MAX_PRECISION = 38
_TIMESTAMP = re.compile(
    r"(?P<date>\d{4}-\d{2}-\d{2})[T ](?P<time>\d{2}:\d{2}(?::\d{2})?)(?:\.(?P<fraction>\d{1,9}))?"
    r"\s*(?P<zone>Z|UTC|[+-]\d{2}(?::?\d{2})?)?"
)


@dataclass(frozen=True)
class Typed:
    """A parameter with its SQL type given by the caller, e.g. Typed("DATE", None)."""

    type_name: str
    value: Any


@dataclass(frozen=True)
class Column:
    """`type_name` as the API has it (LONG, DECIMAL ...), `type_text` as SQL has it (BIGINT ...)."""

    name: str
    type_name: str
    type_text: str


def parameter(name: str, value: Any) -> dict[str, str | None]:
    """One named parameter as the API takes it: `name`, `type`, `value` (None = SQL NULL).

    bool, int, Decimal, float, str, date, datetime (a naive one is UTC) and None are taken.
    Raises TypeError for other types, ValueError for a bad name or a number SQL cannot hold.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a parameter name")
    if isinstance(value, Typed):
        text = None if value.value is None else _encode(value.value)[1]
        return {"name": name, "type": value.type_name, "value": text}
    type_name, text = _encode(value)
    return {"name": name, "type": type_name, "value": text}


def parameters(values: Mapping[str, Any] | None) -> list[dict[str, str | None]]:
    return [parameter(name, value) for name, value in (values or {}).items()]


def _encode(value: Any) -> tuple[str, str | None]:
    if value is None:
        return "STRING", None
    if isinstance(value, bool):
        return "BOOLEAN", "true" if value else "false"
    if isinstance(value, int):
        return "BIGINT", str(value)
    if isinstance(value, Decimal):
        return _decimal_type(value), format(value, "f")
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("NaN and infinity are not taken as parameters")
        return "DOUBLE", repr(value)
    if isinstance(value, str):
        return "STRING", value
    if isinstance(value, datetime.datetime):
        aware = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        return "TIMESTAMP", aware.isoformat(sep=" ", timespec="microseconds")
    if isinstance(value, datetime.date):
        return "DATE", value.isoformat()
    raise TypeError(f"a parameter cannot be of type {type(value).__name__}")


def _decimal_type(value: Decimal) -> str:
    if not value.is_finite():
        raise ValueError("NaN and infinity are not taken as parameters")
    _, digits, exponent = value.as_tuple()
    scale = max(0, -exponent)
    precision = max(len(digits) + max(0, exponent), scale, 1)
    if precision > _MAX_PRECISION:
        raise ValueError(f"{value} has more than {_MAX_PRECISION} digits")
    return f"DECIMAL({precision},{scale})"


def parse_timestamp(text: str) -> datetime.datetime:
    """Naive UTC, microseconds. A text without a zone is taken as UTC. Raises ValueError."""
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a timestamp")
    stamp = datetime.datetime.fromisoformat(f"{match['date']}T{match['time']}")
    # Nanoseconds are cut, as SQL itself has microseconds only.
    micros = int((match["fraction"] or "0").ljust(6, "0")[:6])
    stamp = stamp.replace(microsecond=micros)
    zone = match["zone"] or "Z"
    if zone in ("Z", "UTC"):
        return stamp
    digits = zone[1:].replace(":", "").ljust(4, "0")
    offset = datetime.timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return stamp - offset if zone[0] == "+" else stamp + offset


def _boolean(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


def _same(text: str) -> str:
    return text


_DECODERS: dict[str, Callable[[str], Any]] = {
    "BOOLEAN": _boolean,
    "BYTE": int,
    "SHORT": int,
    "INT": int,
    "LONG": int,
    "FLOAT": float,
    "DOUBLE": float,
    "DECIMAL": Decimal,
    "DATE": datetime.date.fromisoformat,
    "TIMESTAMP": parse_timestamp,
    "BINARY": base64.b64decode,
    "ARRAY": json.loads,
    "STRUCT": json.loads,
    "MAP": json.loads,
}


def decoder(column: Column) -> Callable[[str | None], Any]:
    """Turns the text of one column into Python values; raises BadAnswer where it does not fit."""
    type_name = column.type_name
    if column.type_text.upper().startswith("TIMESTAMP"):
        type_name = "TIMESTAMP"  # TIMESTAMP_NTZ has no type_name of its own
    decode = _DECODERS.get(type_name, _same)

    def value(text: str | None) -> Any:
        if text is None:
            return None
        try:
            return decode(text)
        except (ValueError, KeyError, ArithmeticError, TypeError):
            raise BadAnswer(
                f"column {column.name}: {str(text)[:80]!r} is no {column.type_text or type_name}"
            ) from None

    return value
