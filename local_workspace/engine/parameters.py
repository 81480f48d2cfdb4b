"""Typed statement parameters to Spark literals. A value never becomes part of the SQL text."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation

from .interface import EngineError, Parameter

_DECIMAL = re.compile(r"(?:DECIMAL|NUMERIC|DEC)(?:\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\))?$")
_INTEGERS = {
    "TINYINT": ("tinyint", 8),
    "BYTE": ("tinyint", 8),
    "SMALLINT": ("smallint", 16),
    "SHORT": ("smallint", 16),
    "INT": ("int", 32),
    "INTEGER": ("int", 32),
    "BIGINT": ("bigint", 64),
    "LONG": ("bigint", 64),
}
_FLOATS = {"FLOAT": "float", "REAL": "float", "DOUBLE": "double"}


def bind(parameters: list[Parameter]) -> dict[str, object]:
    """Literal columns by parameter name.

    Raises EngineError when a name is used twice, a type is unknown or a value does not fit.
    """
    from pyspark.sql.connect.functions import lit

    bound: dict[str, object] = {}
    for parameter in parameters:
        if parameter.name in bound:
            raise _invalid(parameter, "the name is given twice")
        value, spark_type = _literal(parameter)
        column = lit(value)
        # An int literal keeps its own type: LIMIT and OFFSET take no cast on every engine.
        bound[parameter.name] = (
            column if spark_type == "int" and value is not None else (column.cast(spark_type))
        )
    return bound


def _literal(parameter: Parameter) -> tuple[object, str]:
    kind = parameter.type.strip().upper()
    convert, spark_type = _converter(parameter, kind)
    if parameter.value is None:
        return None, spark_type
    try:
        return convert(parameter.value), spark_type
    except (ValueError, InvalidOperation, binascii.Error) as error:
        raise _invalid(parameter, f"{parameter.value!r} is no {kind}") from error


def _converter(parameter: Parameter, kind: str) -> tuple[Callable[[str], object], str]:
    simple: dict[str, tuple[Callable[[str], object], str]] = {
        "STRING": (str, "string"),
        "BOOLEAN": (_boolean, "boolean"),
        "DATE": (dt.date.fromisoformat, "date"),
        "TIMESTAMP": (_timestamp, "timestamp"),
        "TIMESTAMP_NTZ": (dt.datetime.fromisoformat, "timestamp_ntz"),
        "BINARY": (lambda text: base64.b64decode(text, validate=True), "binary"),
        "VOID": (_no_value, "string"),
    }
    if kind in simple:
        return simple[kind]
    if kind in _INTEGERS:
        name, bits = _INTEGERS[kind]
        return (lambda text: _integer(text, bits)), name
    if kind in _FLOATS:
        return float, _FLOATS[kind]
    match = _DECIMAL.match(kind)
    if not match:
        raise _invalid(parameter, f"the type {parameter.type} is not supported")
    precision, scale = int(match.group(1) or 10), int(match.group(2) or 0)
    if not 1 <= precision <= 38 or scale > precision:
        raise _invalid(parameter, f"the type {parameter.type} is out of range")
    return (lambda text: _decimal(text, precision, scale)), f"decimal({precision},{scale})"


def _integer(text: str, bits: int) -> int:
    number = int(text.strip())
    if not -(2 ** (bits - 1)) <= number < 2 ** (bits - 1):
        raise ValueError("out of range")
    return number


def _decimal(text: str, precision: int, scale: int) -> Decimal:
    number = Decimal(text.strip())
    if not number.is_finite():
        raise ValueError("not finite")
    fitted = number.quantize(Decimal(1).scaleb(-scale))
    if len(fitted.as_tuple().digits) > precision:
        raise ValueError("too many digits")
    return fitted


def _boolean(text: str) -> bool:
    lowered = text.strip().lower()
    if lowered not in ("true", "false"):
        raise ValueError("neither true nor false")
    return lowered == "true"


def _timestamp(text: str) -> dt.datetime:
    moment = dt.datetime.fromisoformat(text.strip())
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


def _no_value(text: str) -> object:
    raise ValueError("a VOID parameter has no value")


def _invalid(parameter: Parameter, reason: str) -> EngineError:
    return EngineError(
        f"[INVALID_PARAMETER_MARKER_VALUE.INVALID_VALUE_FOR_DATA_TYPE] Parameter "
        f"'{parameter.name}': {reason}. SQLSTATE: 22023",
        "INVALID_PARAMETER_MARKER_VALUE.INVALID_VALUE_FOR_DATA_TYPE",
        "22023",
    )
