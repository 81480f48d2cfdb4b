"""Typed statement parameters as literals of the engine. A value never becomes part of the SQL text.

A value is text and means what ``cast(text AS type)`` would give; what does not fit is an error.
"""

from __future__ import annotations

import datetime as dt
import math
import re
import struct
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from zoneinfo import ZoneInfo

from pyspark.sql.connect.proto import expressions_pb2

from .interface import EngineError, Parameter
from .intervals import day_time_us, year_month_months
from .spark_connect import Literals
from .sql_text import Statement

_DECIMAL = re.compile(r"(?:DECIMAL|NUMERIC|DEC)(?:\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\))?$")
_TEXT = re.compile(r"STRING$|(?:VARCHAR|CHAR|CHARACTER)\(\s*\d+\s*\)$")
_INTERVAL = re.compile(r"INTERVAL\s+([A-Z]+)(?:\s+TO\s+([A-Z]+))?$")
_WORD = re.compile(r"[A-Za-z_]\w*$", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d+$", re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$", re.ASCII)
_SPECIAL = {"nan": math.nan, "inf": math.inf, "infinity": math.inf}
_INTEGERS = {
    "TINYINT": ("byte", 8), "BYTE": ("byte", 8),
    "SMALLINT": ("short", 16), "SHORT": ("short", 16),
    "INT": ("integer", 32), "INTEGER": ("integer", 32),
    "BIGINT": ("long", 64), "LONG": ("long", 64),
}  # fmt: skip
_SIMPLE = {
    "BOOLEAN": "boolean", "BINARY": "binary", "DATE": "date", "TIMESTAMP": "timestamp",
    "TIMESTAMP_LTZ": "timestamp", "TIMESTAMP_NTZ": "timestamp_ntz", "FLOAT": "float",
    "REAL": "float", "DOUBLE": "double", "VOID": "null",
}  # fmt: skip
_YES, _NO = {"true", "t", "yes", "y", "1"}, {"false", "f", "no", "n", "0"}
_EPOCH = dt.datetime(1970, 1, 1)
_WIDE = Context(prec=100, rounding=ROUND_HALF_UP)


def bind(parameters: list[Parameter], zone: str = "UTC") -> Literals:
    """Literals by name, or in order when no parameter has a name.

    ``zone`` is the session's: timestamps without a zone are read in it. Raises EngineError when
    a name is used twice, a type is unknown or a value does not fit.
    """
    if parameters and not any(parameter.name for parameter in parameters):
        return [_literal(parameter, zone) for parameter in parameters]
    bound: dict[str, expressions_pb2.Expression] = {}
    for parameter in parameters:
        if not parameter.name:
            raise EngineError(
                "[INVALID_QUERY_MIXED_QUERY_PARAMETERS] Parameters have names, or stand for the ? "
                "marks in their order; not both. SQLSTATE: 42613",
                "INVALID_QUERY_MIXED_QUERY_PARAMETERS",
                "42613",
            )
        if parameter.name in bound:
            raise _invalid(parameter, "the name is given twice")
        bound[parameter.name] = _literal(parameter, zone)
    return bound


def plain_markers(statement: Statement, values: Literals) -> tuple[Statement, Literals]:
    """The statement with markers as the engine reads them: ``:`x` `` becomes ``:x``.

    Such a marker may have any name; a value whose name is no word gets another one.
    """
    if isinstance(values, list):
        return statement, values
    changes, renamed = {}, dict(values)
    tokens = statement.tokens
    for at, (mark, quoted) in enumerate(zip(tokens, tokens[1:], strict=False)):
        # After a name or a bracket, a colon leads into a JSON value instead.
        path = at > 0 and (tokens[at - 1].kind in ("word", "quoted") or tokens[at - 1].text in ")]")
        if mark.text != ":" or quoted.kind != "quoted" or (path and quoted.name not in values):
            continue
        name = quoted.name if _WORD.match(quoted.name) else f"marker_{at}"
        changes[at + 1] = name
        if quoted.name in values:
            renamed[name] = values[quoted.name]
    return (statement.replaced(changes), renamed) if changes else (statement, values)


def _literal(parameter: Parameter, zone: str) -> expressions_pb2.Expression:
    made = expressions_pb2.Expression()
    kind = " ".join(parameter.type.upper().split())
    try:
        setter = _setter(parameter, kind, zone)
        setter(made.literal, parameter.value)
    except (ValueError, OverflowError, InvalidOperation) as error:
        raise _invalid(parameter, f"{parameter.value!r} is no {kind}") from error
    return made


Setter = Callable[[expressions_pb2.Expression.Literal, str | None], None]


def _setter(parameter: Parameter, kind: str, zone: str) -> Setter:
    """What writes a text of this SQL type into a literal."""
    if kind in _INTEGERS:
        name, bits = _INTEGERS[kind]
        return _scalar(name, lambda text: _integer(text, bits))
    if _TEXT.match(kind):
        return _scalar("string", str)
    if kind in _SIMPLE:
        name = _SIMPLE[kind]
        return _scalar(name, _converter(name, zone))
    decimal, interval = _DECIMAL.match(kind), _INTERVAL.match(kind)
    if decimal:
        return _decimal_setter(parameter, int(decimal.group(1) or 10), int(decimal.group(2) or 0))
    if interval:
        start, end = interval.group(1), interval.group(2) or interval.group(1)
        if {start, end} <= {"YEAR", "MONTH"}:
            return _scalar("year_month_interval", lambda text: year_month_months(text, start, end))
        if {start, end} <= {"DAY", "HOUR", "MINUTE", "SECOND"}:
            return _scalar("day_time_interval", lambda text: day_time_us(text, start, end))
    raise _invalid(parameter, f"the type {parameter.type} is not supported")


def _converter(name: str, zone: str) -> Callable[[str], object]:
    return {
        "boolean": _boolean,
        "binary": lambda text: text.encode("utf-8"),
        "date": lambda text: (dt.date.fromisoformat(text.strip()) - _EPOCH.date()).days,
        "timestamp": lambda text: _moment(text, zone),
        "timestamp_ntz": _wall_time,
        "float": _single,
        "double": _float,
        "null": _no_value,
    }[name]


def _scalar(name: str, convert: Callable[[str], object]) -> Setter:
    def write(literal: expressions_pb2.Expression.Literal, text: str | None) -> None:
        if text is None:
            getattr(literal.null, name).SetInParent()
        else:
            setattr(literal, name, convert(text))

    return write


def _decimal_setter(parameter: Parameter, precision: int, scale: int) -> Setter:
    if not 1 <= precision <= 38 or scale > precision:
        raise _invalid(parameter, f"the type {parameter.type} is out of range")

    def write(literal: expressions_pb2.Expression.Literal, text: str | None) -> None:
        if text is None:
            literal.null.decimal.precision, literal.null.decimal.scale = precision, scale
            return
        literal.decimal.value = _decimal(text, precision, scale)
        literal.decimal.precision, literal.decimal.scale = precision, scale

    return write


def _integer(text: str, bits: int) -> int:
    if not _WHOLE.match(text.strip()):
        raise ValueError("no whole number")
    number = int(text)
    if not -(2 ** (bits - 1)) <= number < 2 ** (bits - 1):
        raise ValueError("out of range")
    return number


def _decimal(text: str, precision: int, scale: int) -> str:
    if not _NUMBER.match(text.strip()):
        raise ValueError("no number")
    number = Decimal(text.strip())
    fitted = number.quantize(Decimal(1).scaleb(-scale), context=_WIDE)
    if len(fitted.as_tuple().digits) > precision:
        raise ValueError("too many digits")
    return format(fitted, "f")


def _float(text: str) -> float:
    stripped = text.strip()
    special = _SPECIAL.get(stripped.lstrip("+-").lower())
    if special is not None:
        return -special if stripped.startswith("-") else special
    if not _NUMBER.match(stripped):
        raise ValueError("no number")
    return float(stripped)


def _single(text: str) -> float:
    number = _float(text)
    try:
        return struct.unpack("f", struct.pack("f", number))[0]
    except OverflowError:  # as the cast does
        return math.copysign(math.inf, number)


def _boolean(text: str) -> bool:
    lowered = text.strip().lower()
    if lowered not in _YES | _NO:
        raise ValueError("neither true nor false")
    return lowered in _YES


def _moment(text: str, zone: str) -> int:
    """Microseconds since the epoch."""
    moment = dt.datetime.fromisoformat(text.strip())
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=_zone(zone))
    return (moment - _EPOCH.replace(tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)


def _zone(name: str) -> dt.tzinfo:
    if name[0] in "+-":
        return dt.datetime.fromisoformat(f"2000-01-01T00:00:00{name}").tzinfo
    return ZoneInfo(name)


def _wall_time(text: str) -> int:
    moment = dt.datetime.fromisoformat(text.strip()).replace(tzinfo=None)
    return (moment - _EPOCH) // dt.timedelta(microseconds=1)


def _no_value(text: str) -> object:
    raise ValueError("a VOID parameter has no value")


def _invalid(parameter: Parameter, reason: str) -> EngineError:
    name = parameter.name or "?"
    return EngineError(
        f"[INVALID_PARAMETER_MARKER_VALUE.INVALID_VALUE_FOR_DATA_TYPE] Parameter "
        f"'{name}': {reason}. SQLSTATE: 22023",
        "INVALID_PARAMETER_MARKER_VALUE.INVALID_VALUE_FOR_DATA_TYPE",
        "22023",
    )
