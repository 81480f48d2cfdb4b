"""Results with intervals: pyarrow cannot read some of them, and clients want them as text."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pyarrow as pa
from pyspark.sql.connect.proto import base_pb2 as pb

from .intervals import day_time_text, year_month_text

Columns = list[tuple[str, str]]


def has_intervals(columns: Columns) -> bool:
    return any(_kind(text) for _, text in columns)


def readable(plan: pb.Plan, columns: Columns) -> pb.Plan | None:
    """The plan with intervals of months as numbers and calendar intervals as text.

    None when every interval of its columns can be read as it is.
    """
    casts = {"months": "int", "calendar": "string"}
    if not any(_kind(text) in casts for _, text in columns):
        return None
    changed = pb.Plan()
    project = changed.root.project
    # Names may occur twice: the columns go by their places in between.
    places = [f"c{at}" for at in range(len(columns))]
    project.input.to_df.input.CopyFrom(plan.root)
    project.input.to_df.column_names.extend(places)
    for place, (name, text) in zip(places, columns, strict=True):
        alias = project.expressions.add().alias
        alias.name.append(name)
        cast = casts.get(_kind(text))
        source = alias.expr
        if cast:
            alias.expr.cast.type_str = cast
            source = alias.expr.cast.expr
        source.unresolved_attribute.unparsed_identifier = place
    return changed


def text_schema(schema: pa.Schema, columns: Columns) -> pa.Schema:
    """The schema of ``as_text``."""
    kinds = [
        pa.string() if _kind(text) else field.type
        for field, (_, text) in zip(schema, columns, strict=True)
    ]
    return pa.schema([pa.field(name, kind) for name, kind in zip(schema.names, kinds, strict=True)])


def as_text(batches: Iterator[pa.RecordBatch], columns: Columns) -> Iterator[pa.RecordBatch]:
    """The batches of a readable plan, with their intervals as text."""
    for batch in batches:
        arrays = [
            _texts(array, writer) if (writer := _WRITERS.get(_kind(text))) else array
            for array, (_, text) in zip(batch.columns, columns, strict=True)
        ]
        yield pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)


def _kind(text: str) -> str | None:
    """days, months or calendar for an interval, None for other types."""
    if not text.startswith("interval"):
        return None
    if text == "interval":
        return "calendar"
    return "months" if text.split()[1] in ("year", "month") else "days"


def _texts(array: pa.Array, write: Callable[[int], str]) -> pa.Array:
    numbers = array.cast(pa.int64()).to_pylist()
    return pa.array([None if one is None else write(one) for one in numbers], pa.string())


_WRITERS = {"days": day_time_text, "months": year_month_text}
