"""Columns of a result as Thrift describes them, and values in the form that a client can read."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pyarrow as pa
from databricks.sql.thrift_api.TCLIService import ttypes

from ..value_texts import text_value

_IDS = {
    "BOOLEAN": ttypes.TTypeId.BOOLEAN_TYPE,
    "BYTE": ttypes.TTypeId.TINYINT_TYPE,
    "SHORT": ttypes.TTypeId.SMALLINT_TYPE,
    "INT": ttypes.TTypeId.INT_TYPE,
    "LONG": ttypes.TTypeId.BIGINT_TYPE,
    "FLOAT": ttypes.TTypeId.FLOAT_TYPE,
    "DOUBLE": ttypes.TTypeId.DOUBLE_TYPE,
    "DECIMAL": ttypes.TTypeId.DECIMAL_TYPE,
    "DATE": ttypes.TTypeId.DATE_TYPE,
    "TIMESTAMP": ttypes.TTypeId.TIMESTAMP_TYPE,
    "BINARY": ttypes.TTypeId.BINARY_TYPE,
    "ARRAY": ttypes.TTypeId.ARRAY_TYPE,
    "MAP": ttypes.TTypeId.MAP_TYPE,
    "STRUCT": ttypes.TTypeId.STRUCT_TYPE,
    "NULL": ttypes.TTypeId.NULL_TYPE,
}


def describe(columns: list[dict]) -> ttypes.TTableSchema:
    """The columns of a stored result (see ``sql.results``) as a Thrift schema."""
    return ttypes.TTableSchema(
        columns=[
            ttypes.TColumnDesc(column["name"], _type(column), column["position"] + 1)
            for column in columns
        ]
    )


def _type(column: dict) -> ttypes.TTypeDesc:
    qualifiers = None
    if column["type_name"] == "DECIMAL":
        qualifiers = ttypes.TTypeQualifiers(
            {
                "precision": ttypes.TTypeQualifierValue(i32Value=column["type_precision"]),
                "scale": ttypes.TTypeQualifierValue(i32Value=column["type_scale"]),
            }
        )
    # What has no name of its own here (intervals) comes as text.
    kind = _IDS.get(column["type_name"], ttypes.TTypeId.STRING_TYPE)
    return ttypes.TTypeDesc([ttypes.TTypeEntry(ttypes.TPrimitiveTypeEntry(kind, qualifiers))])


class ArrowForm:
    """Which columns a client takes as Arrow types; the others it gets as text."""

    def __init__(self, native: ttypes.TSparkArrowTypes | None) -> None:
        native = native or ttypes.TSparkArrowTypes(True, True, True)
        self._tests: list[Callable[[pa.DataType], bool]] = []
        if not native.timestampAsArrow:
            self._tests.append(pa.types.is_timestamp)
        if not native.decimalAsArrow:
            self._tests.append(pa.types.is_decimal)
        if not native.complexTypesAsArrow:
            self._tests.append(pa.types.is_nested)

    def schema(self, schema: pa.Schema) -> pa.Schema:
        """The schema that the client sees; equal to ``schema`` when nothing is to be changed."""
        fields = [
            pa.field(field.name, pa.string()) if self._as_text(field.type) else field
            for field in schema
        ]
        return pa.schema(fields)

    def batch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        schema = self.schema(batch.schema)
        if schema == batch.schema:
            return batch
        arrays = [
            pa.array([_text(value) for value in column.to_pylist()], pa.string())
            if self._as_text(column.type)
            else column
            for column in batch.columns
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=schema)

    def _as_text(self, kind: pa.DataType) -> bool:
        return any(test(kind) for test in self._tests)


def _text(value: object) -> str | None:
    if isinstance(value, dt.datetime):
        return value.replace(tzinfo=None).isoformat(" ")
    return text_value(value)
