"""Spark's types as SQL writes them, from their form on the wire."""

from __future__ import annotations

from pyspark.sql.connect.proto import types_pb2

_PLAIN = {
    "null": "void", "binary": "binary", "boolean": "boolean", "byte": "tinyint",
    "short": "smallint", "integer": "int", "long": "bigint", "float": "float", "double": "double",
    "string": "string", "date": "date", "timestamp": "timestamp",
    "timestamp_ntz": "timestamp_ntz", "calendar_interval": "interval",
}  # fmt: skip
_DAY_TIME = ("day", "hour", "minute", "second")
_YEAR_MONTH = ("year", "month")


def columns(schema: types_pb2.DataType) -> list[tuple[str, str]]:
    """(name, type text) of each column, e.g. ``("amount", "decimal(18,2)")``."""
    return [(field.name, type_text(field.data_type)) for field in schema.struct.fields]


def type_text(kind: types_pb2.DataType) -> str:
    name = kind.WhichOneof("kind")
    inner = getattr(kind, name)
    if name in _PLAIN:
        return _PLAIN[name]
    if name == "decimal":
        return f"decimal({inner.precision},{inner.scale})"
    if name in ("char", "var_char"):
        return f"{name.replace('_', '')}({inner.length})"
    if name == "day_time_interval":
        return _interval(inner, _DAY_TIME)
    if name == "year_month_interval":
        return _interval(inner, _YEAR_MONTH)
    if name == "array":
        return f"array<{type_text(inner.element_type)}>"
    if name == "map":
        return f"map<{type_text(inner.key_type)},{type_text(inner.value_type)}>"
    if name == "struct":
        fields = ",".join(f"{field.name}:{type_text(field.data_type)}" for field in inner.fields)
        return f"struct<{fields}>"
    return name


def _interval(inner, units: tuple[str, ...]) -> str:
    start = units[inner.start_field] if inner.HasField("start_field") else units[0]
    end = units[inner.end_field] if inner.HasField("end_field") else units[-1]
    return f"interval {start}" if start == end else f"interval {start} to {end}"
