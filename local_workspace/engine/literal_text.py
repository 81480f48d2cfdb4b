"""Values inside of the text of a command, for which the engine takes no parameters.

A text goes in as the hexadecimal digits of its bytes, everything else as digits that are made here
from a number: nothing that a caller wrote stands in the SQL, so nothing in it can be read as SQL.
"""

from __future__ import annotations

import datetime as dt
import math

from pyspark.sql.connect.proto import expressions_pb2, types_pb2

from .interface import EngineError
from .intervals import day_time_text, year_month_text
from .spark_connect import Literals
from .spark_types import type_text
from .sql_text import Statement

_EPOCH = dt.datetime(1970, 1, 1)
_CAST = {"byte": "TINYINT", "short": "SMALLINT", "integer": "INT", "long": "BIGINT"}


def with_values(statement: Statement, values: Literals) -> Statement:
    """The statement with its markers replaced. Raises EngineError for one without a value."""
    changes: dict[int, str] = {}
    tokens = statement.tokens
    # A client that does not know the type of a null says STRING, and the rows of VALUES must agree;
    # a new table, though, takes the types of its columns from here.
    loose = statement.main_verb != "CREATE"
    positional = iter(values) if isinstance(values, list) else iter(())
    for at, token in enumerate(tokens):
        if token.text == "?":
            value = next(positional, None)
            if value is None:
                raise _unbound("?")
            changes[at] = literal_text(value, loose)
        elif token.text == ":" and isinstance(values, dict) and _begins_marker(statement, at):
            name = tokens[at + 1].name
            if name not in values:
                raise _unbound(name)
            changes[at], changes[at + 1] = literal_text(values[name], loose), ""
    return statement.replaced(changes) if changes else statement


def _begins_marker(statement: Statement, at: int) -> bool:
    """Whether the colon leads a marker, not a cast (``::``) and not into a JSON value."""
    tokens = statement.tokens
    if at + 1 >= len(tokens) or tokens[at + 1].kind != "word":
        return False
    before = tokens[at - 1] if at else None
    return before is None or not (
        before.text in (":", ")", "]") or (before.kind == "quoted")
        or (before.kind == "word" and before.word not in _LEADS)
    )  # fmt: skip


# After these words a value is expected, so a colon begins a marker.
_LEADS = {
    "ALL", "AND", "AS", "BETWEEN", "BY", "CASE", "DEFAULT", "DISTINCT", "ELSE", "ESCAPE", "ILIKE",
    "IN", "INTERVAL", "LIKE", "LIMIT", "NOT", "OFFSET", "ON", "OR", "RETURN", "RLIKE", "REGEXP",
    "SELECT", "SET", "THEN", "VALUES", "WHEN", "WHERE", "HAVING", "OF", "DIV",
}  # fmt: skip


def literal_text(value: expressions_pb2.Expression, loose: bool = False) -> str:
    """A literal of the wire as an SQL expression of the same type.

    With ``loose``, a null that is said to be a STRING fits every type.
    """
    literal = value.literal
    kind = literal.WhichOneof("literal_type")
    inner = getattr(literal, kind)
    if kind == "null":
        return _null(inner, loose)
    if kind == "string":
        return f"cast(X'{inner.encode('utf-8').hex()}' AS STRING)"
    if kind == "binary":
        return f"X'{inner.hex()}'"
    if kind == "boolean":
        return "true" if inner else "false"
    if kind in _CAST:
        return f"cast('{int(inner)}' AS {_CAST[kind]})"
    if kind == "decimal":
        return f"cast('{inner.value}' AS DECIMAL({inner.precision},{inner.scale}))"
    if kind in ("float", "double"):
        return f"cast('{_float(inner)}' AS {kind.upper()})"
    if kind == "date":
        return f"DATE'{(_EPOCH + dt.timedelta(days=inner)).date().isoformat()}'"
    if kind in ("timestamp", "timestamp_ntz"):
        moment = (_EPOCH + dt.timedelta(microseconds=inner)).isoformat(" ", "microseconds")
        zone = "+00:00" if kind == "timestamp" else ""
        return f"{kind.upper()}'{moment}{zone}'"
    if kind == "year_month_interval":
        return f"INTERVAL '{year_month_text(inner)}' YEAR TO MONTH"
    return f"INTERVAL '{day_time_text(inner)[:-3]}' DAY TO SECOND"


def _null(kind: types_pb2.DataType, loose: bool) -> str:
    text = type_text(kind)
    # The engine casts to no interval; a null without a type fits everywhere.
    bare = text == "void" or text.startswith("interval") or (loose and text == "string")
    return "NULL" if bare else f"cast(NULL AS {text})"


def _float(number: float) -> str:
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    return repr(float(number))


def _unbound(name: str) -> EngineError:
    return EngineError(
        f"[UNBOUND_SQL_PARAMETER] Found the unbound parameter: {name}. Please, fix `args` and "
        "provide a value for it. SQLSTATE: 42P02",
        "UNBOUND_SQL_PARAMETER",
        "42P02",
    )
