"""Values of a domain as typed parameters of SQL, converted as Odoo 17.0 does for each field type.

`bounds` matters for numbers: a warehouse compares 10.005 with a DECIMAL(18,2) only after it has
given both a common type, which may overflow, and takes no BIGINT above 2**63. So a value is brought
into the column's own type first, rounded to the side that keeps the comparison's meaning.
"""

from __future__ import annotations

import datetime
import math
import re
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Context, Decimal
from typing import Any

from .domain import DomainError
from .sql_types import Typed

KINDS = ("text", "integer", "float", "decimal(p,s)", "boolean", "date", "datetime")
_DECIMAL = re.compile(r"decimal\((\d{1,2}),(\d{1,2})\)")
_MOMENT = re.compile(r"(\d{4}-\d{2}-\d{2})(?:[ T](\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?))?")
_BIGINT = 2**63
_EXACT = Context(prec=400)

# an SQL value, or where it lies when the column's type cannot hold it
BELOW, ABOVE, BETWEEN = "below", "above", "between"
Bound = Typed | str | None


def check_kind(kind: str) -> None:
    scale = decimal_scale(kind)
    if scale is None and kind not in KINDS:
        raise DomainError(f"{kind!r} is no kind of column; {', '.join(KINDS)} are")
    if scale and not (1 <= scale[0] <= 38 and scale[1] <= scale[0]):
        raise DomainError(f"{kind!r} is no decimal that a warehouse has")


def decimal_scale(kind: str) -> tuple[int, int] | None:
    match = _DECIMAL.fullmatch(kind)
    return (int(match[1]), int(match[2])) if match else None


def bound(kind: str, value: Any, operator: str, digits: int | None = None) -> Bound:
    """`value` in the column's own type; BELOW, ABOVE or BETWEEN where the type has no such value.

    None is SQL NULL, with which no comparison holds. `operator` tells to which side a number is
    rounded when it lies between two values of the column (not for = != in, not in: BETWEEN).
    """
    if kind == "text":
        return None if _is_empty(value) else Typed("STRING", text(value))
    if kind == "boolean":
        return Typed("BOOLEAN", _boolean(value))
    if kind == "date":
        return None if _is_empty(value) else Typed("DATE", _date(value))
    if kind == "datetime":
        return None if _is_empty(value) else Typed("TIMESTAMP", _moment(value, operator))
    if kind == "integer":
        return _integer(value)
    if kind == "float":
        return Typed("DOUBLE", _rounded(_float(value), digits))
    return _decimal(kind, value, operator, digits)


def text(value: Any) -> str:
    if _is_empty(value):
        return ""
    if not isinstance(value, (str, int, float, Decimal, datetime.date)):
        raise DomainError(f"{type(value).__name__} is no text")
    result = str(value)
    try:
        result.encode()
    except UnicodeEncodeError:
        raise DomainError("the text holds half of a surrogate pair") from None
    if "\0" in result:
        raise DomainError("the text holds a NUL character")
    return result


def _is_empty(value: Any) -> bool:
    return value is None or value is False


def _boolean(value: Any) -> bool:
    if value is not None and not isinstance(value, (bool, int)):
        raise DomainError(f"{type(value).__name__} is neither true nor false")
    return bool(value)


def _integer(value: Any) -> Bound:
    try:
        number = int(value or 0)
    except (TypeError, ValueError, OverflowError):
        raise DomainError(f"{_shape(value)} is no whole number") from None
    if number >= _BIGINT:
        return ABOVE
    return BELOW if number < -_BIGINT else Typed("BIGINT", number)


def _float(value: Any) -> float:
    try:
        number = float(value or 0.0)
    except (TypeError, ValueError, OverflowError):
        raise DomainError(f"{_shape(value)} is no number") from None
    if not math.isfinite(number):
        raise DomainError("infinity and NaN are compared with no column")
    return number


def _rounded(number: float, digits: int | None) -> float:
    if digits is None:
        return number
    step = Decimal(1).scaleb(-digits)
    return float(Decimal(repr(number)).quantize(step, ROUND_HALF_UP, _EXACT))


def _decimal(kind: str, value: Any, operator: str, digits: int | None) -> Bound:
    precision, scale = decimal_scale(kind) or (38, 0)
    number = Decimal(repr(_rounded(_float(value), digits)))
    rounding = ROUND_CEILING if operator in ("<", ">=") else ROUND_FLOOR
    fitted = number.quantize(Decimal(1).scaleb(-scale), rounding, _EXACT)
    limit = Decimal(10) ** (precision - scale)
    if abs(fitted) >= limit:
        return ABOVE if fitted > 0 else BELOW
    if fitted != number and operator not in ("<", "<=", ">", ">="):
        return BETWEEN
    # the column's type, whatever the number of digits
    return Typed(f"DECIMAL({precision},{scale})", fitted)


def _date(value: Any) -> datetime.date:
    if isinstance(value, datetime.datetime):
        return _naive(value).date()
    if isinstance(value, datetime.date):
        return value
    return _parsed(value)[0]


def _moment(value: Any, operator: str) -> datetime.datetime:
    """A date stands for its first moment, after > and <= for its last one, as in Odoo."""
    if isinstance(value, datetime.datetime):
        return _naive(value)
    whole_day = operator in (">", "<=")
    if isinstance(value, datetime.date):
        time = datetime.time.max if whole_day else datetime.time.min
        return datetime.datetime.combine(value, time)
    day, time = _parsed(value)
    if time is None:
        # Odoo ends a day given as text at its last second
        time = datetime.time(23, 59, 59) if whole_day else datetime.time.min
    return datetime.datetime.combine(day, time)


def _naive(value: datetime.datetime) -> datetime.datetime:
    if value.tzinfo is not None:
        raise DomainError("a time with a zone is not taken; give the time in UTC without one")
    return value


def _parsed(value: Any) -> tuple[datetime.date, datetime.time | None]:
    match = _MOMENT.fullmatch(value) if isinstance(value, str) else None
    try:
        if match is None:
            raise ValueError
        time = match[2]
        if time and "." in time:
            time = time.ljust(len("HH:MM:SS.ffffff"), "0")
        day = datetime.date.fromisoformat(match[1])
        return day, datetime.time.fromisoformat(time) if time else None
    except ValueError:
        raise DomainError(
            f"{_shape(value)} is no date; write YYYY-MM-DD or YYYY-MM-DD HH:MM:SS (UTC)"
        ) from None


def _shape(value: Any) -> str:
    """Enough of a value to find it in the domain."""
    shown = repr(value)
    return shown if len(shown) <= 40 else f"{shown[:37]}..."
