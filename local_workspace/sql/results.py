"""Results of statements: kept as Arrow files in chunks, given out as Arrow or as JSON text."""

from __future__ import annotations

import base64
import datetime as dt
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import pyarrow as pa

from ..engine.interface import Result

CHUNK_ROWS = 100_000
CHUNK_BYTES = 20 * 1024 * 1024

_TYPE_NAMES = {
    "bigint": "LONG",
    "int": "INT",
    "smallint": "SHORT",
    "tinyint": "BYTE",
    "timestamp_ntz": "TIMESTAMP",
    "void": "NULL",
}
_PLAIN = {"string", "boolean", "double", "float", "date", "timestamp", "binary", "array", "map",
          "struct", "decimal", "char", "interval"}  # fmt: skip


@dataclass(frozen=True)
class Chunk:
    """One part of a result: its place in the whole and its Arrow IPC stream file."""

    index: int
    row_offset: int
    row_count: int
    byte_count: int
    path: Path


@dataclass
class StoredResult:
    """A finished result. ``truncated`` is true when a limit cut rows off."""

    columns: list[dict]
    schema: pa.Schema
    chunks: list[Chunk] = field(default_factory=list)
    row_count: int = 0
    byte_count: int = 0
    truncated: bool = False


class _ChunkWriter:
    def __init__(self, folder: Path, schema: pa.Schema, stored: StoredResult) -> None:
        self._folder = folder
        self._schema = schema
        self._stored = stored
        self._rows = self._bytes = 0
        self._writer: pa.ipc.RecordBatchStreamWriter | None = None
        self._path: Path | None = None

    def write(self, batch: pa.RecordBatch) -> None:
        if self._writer is None:
            self._path = self._folder / f"{len(self._stored.chunks)}.arrow"
            self._writer = pa.ipc.new_stream(str(self._path), self._schema)
        self._writer.write_batch(batch)
        self._rows += batch.num_rows
        self._bytes += batch.nbytes
        if self._rows >= CHUNK_ROWS or self._bytes >= CHUNK_BYTES:
            self.finish_chunk()

    def finish_chunk(self) -> None:
        if self._writer is None or self._path is None:
            return
        self._writer.close()
        size = self._path.stat().st_size
        stored = self._stored
        stored.chunks.append(
            Chunk(len(stored.chunks), stored.row_count, self._rows, size, self._path)
        )
        stored.row_count += self._rows
        stored.byte_count += size
        self._rows = self._bytes = 0
        self._writer = None


def store(
    result: Result, folder: Path, row_limit: int | None, byte_limit: int | None
) -> StoredResult:
    """Write a result to ``folder`` in chunks and stop at the limits (rows, bytes of Arrow data).

    Raises what the engine raises while its rows are read.
    """
    folder.mkdir(parents=True)
    stored = StoredResult(column_list(result.schema.names, result.type_texts), result.schema)
    writer = _ChunkWriter(folder, result.schema, stored)
    rows = size = 0
    for batch in _pieces(result.batches):
        if row_limit is not None and rows + batch.num_rows > row_limit:
            batch = batch.slice(0, row_limit - rows)
            stored.truncated = True
        if byte_limit is not None and size + batch.nbytes > byte_limit:
            stored.truncated = True
            per_row = max(batch.nbytes / max(batch.num_rows, 1), 1)
            batch = batch.slice(0, int((byte_limit - size) / per_row))
        if batch.num_rows:
            writer.write(batch)
        rows += batch.num_rows
        size += batch.nbytes
        if stored.truncated:
            break
    writer.finish_chunk()
    return stored


def _pieces(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for start in range(0, batch.num_rows, CHUNK_ROWS):
            yield batch.slice(start, CHUNK_ROWS)


def column_list(names: list[str], type_texts: list[str]) -> list[dict]:
    """Columns as a manifest describes them, from their names and Spark type texts."""
    columns = []
    for position, (name, text) in enumerate(zip(names, type_texts, strict=True)):
        base = re.match(r"[a-z_]+", text.lower())
        kind = base.group() if base else "string"
        column = {
            "name": name,
            "position": position,
            "type_name": _type_name(kind),
            "type_text": kind.upper() + text[len(kind) :],
        }
        decimal = re.match(r"decimal\((\d+),(\d+)\)$", text)
        if decimal:
            column["type_precision"] = int(decimal.group(1))
            column["type_scale"] = int(decimal.group(2))
        columns.append(column)
    return columns


def _type_name(kind: str) -> str:
    if kind in _TYPE_NAMES:
        return _TYPE_NAMES[kind]
    return kind.upper() if kind in _PLAIN else "STRING"


def json_rows(chunk: Chunk) -> list[list[str | None]]:
    """Rows of a chunk with every value as text or None, as JSON_ARRAY carries them."""
    with pa.ipc.open_stream(str(chunk.path)) as reader:
        table = reader.read_all()
    columns = [[text_value(value) for value in column.to_pylist()] for column in table.columns]
    return [list(row) for row in zip(*columns, strict=True)]


def text_value(value: object) -> str | None:
    """A value as JSON_ARRAY carries it; nested values as JSON text."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, dt.datetime):
        return _moment(value)
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, (list, dict)):
        return json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":"))
    return str(value)


def _moment(value: dt.datetime) -> str:
    zone = "Z" if value.tzinfo else ""
    if value.tzinfo:
        value = value.astimezone(dt.UTC).replace(tzinfo=None)
    return (
        value.isoformat(
            timespec="milliseconds" if value.microsecond % 1000 == 0 else "microseconds"
        )
        + zone
    )


def _plain(value: object) -> object:
    """Nested values as JSON: numbers and booleans stay, everything else becomes text."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        # A map column arrives as a list of (key, value) pairs.
        if value and all(isinstance(item, tuple) and len(item) == 2 for item in value):
            return {str(text_value(key)): _plain(item) for key, item in value}
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, Decimal):
        return format(value, "f")
    return text_value(value)
