"""Results that are made here: a schema, rows, and an operation that computes them at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pyarrow as pa

from ..engine.catalog import CatalogError
from ..engine.interface import Result
from ..engine.sail_errors import engine_error

Compute = Callable[[], Result]
STRING, INT, LONG, BOOLEAN = pa.string(), pa.int32(), pa.int64(), pa.bool_()
TIMESTAMP = pa.timestamp("us", "UTC")
MAP = pa.map_(STRING, STRING)
LIST = pa.list_(STRING)
_SPARK = {STRING: "string", INT: "int", LONG: "bigint", BOOLEAN: "boolean", TIMESTAMP: "timestamp",
          pa.float64(): "double"}  # fmt: skip


class Answer:
    """An operation that is computed here, at once; there is nothing to cancel."""

    def __init__(self, compute: Compute) -> None:
        self._compute = compute

    def run(self) -> Result:
        try:
            return self._compute()
        except CatalogError as error:
            raise engine_error(error) from error

    def cancel(self) -> None:
        return None

    def close(self) -> None:
        return None


def answer(columns: dict[str, pa.DataType], rows: Iterable[tuple | dict]) -> Result:
    """A result of these columns; a row is a tuple in their order, or a dictionary of some."""
    names = list(columns)
    schema = pa.schema(columns)
    dictionaries = [
        row if isinstance(row, dict) else dict(zip(names, row, strict=True)) for row in rows
    ]
    table = pa.Table.from_pylist(dictionaries, schema=schema)
    return Result(schema, [spark_type(kind) for kind in schema.types], iter(table.to_batches()))


def texts(names: list[str], rows: Iterable[tuple]) -> Result:
    """A result whose columns are all text."""
    return answer(dict.fromkeys(names, STRING), rows)


def done() -> Result:
    """The result of a statement that has none."""
    return Result(pa.schema([]), [], iter(()))


def spark_type(kind: pa.DataType) -> str:
    """Spark's text for the Arrow types that answers are made of."""
    if pa.types.is_map(kind):
        return f"map<{spark_type(kind.key_type)},{spark_type(kind.item_type)}>"
    if pa.types.is_list(kind):
        return f"array<{spark_type(kind.value_type)}>"
    if pa.types.is_struct(kind):
        return f"struct<{','.join(f'{part.name}:{spark_type(part.type)}' for part in kind)}>"
    return _SPARK[kind]
