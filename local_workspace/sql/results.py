"""Results of statements: Arrow streams in chunks, small ones in memory, large ones in files.

The batches are written as the engine sent them; nothing is decoded unless a limit cuts a batch.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import lz4.frame
import pyarrow as pa

from ..engine.interface import Encoded, EngineError, Result
from .value_texts import text_rows

CHUNK_ROWS = 100_000
CHUNK_BYTES = 20 * 1024 * 1024
# Below this a result is kept in its record; a file for each would cost more than the statement.
SMALL_BYTES = 64 * 1024
LZ4 = "LZ4_FRAME"

_END = b"\xff\xff\xff\xff\x00\x00\x00\x00"

_TYPE_NAMES = {
    "bigint": "LONG",
    "int": "INT",
    "smallint": "SHORT",
    "tinyint": "BYTE",
    "timestamp_ntz": "TIMESTAMP",
    "void": "NULL",
    "varchar": "STRING",
}
_PLAIN = {"string", "boolean", "double", "float", "date", "timestamp", "binary", "array", "map",
          "struct", "decimal", "char", "interval"}  # fmt: skip


@dataclass(frozen=True)
class Chunk:
    """One part of a result: its place in the whole and its Arrow IPC stream.

    The stream is in ``data``, or in the file ``path``; ``compression`` is LZ4 or None.
    """

    index: int
    row_offset: int
    row_count: int
    byte_count: int
    path: Path | None = None
    data: bytes | None = None
    compression: str | None = None

    @contextmanager
    def open(self) -> Iterator[pa.RecordBatchStreamReader]:
        """A reader of its batches."""
        if self.compression:
            with pa.ipc.open_stream(lz4.frame.decompress(self.read())) as reader:
                yield reader
        elif self.path is None:
            with pa.ipc.open_stream(self.data) as reader:
                yield reader
        else:
            with pa.memory_map(str(self.path)) as file, pa.ipc.open_stream(file) as reader:
                yield reader

    def read(self) -> bytes:
        """The stream as it is stored."""
        return self.data if self.path is None else self.path.read_bytes()


@dataclass
class StoredResult:
    """A finished result, of one chunk at least. ``truncated`` says that a limit cut rows off."""

    columns: list[dict]
    schema: pa.Schema
    chunks: list[Chunk] = field(default_factory=list)
    row_count: int = 0
    byte_count: int = 0
    truncated: bool = False
    compression: str | None = None


@dataclass(frozen=True)
class Limits:
    """How much of a result is kept (rows; bytes of Arrow data), and what it may have at most."""

    rows: int | None = None
    bytes: int | None = None
    refuse_above: int | None = None


class _Writer:
    """Puts batches into chunks. The first chunk stays in memory while it is the only one."""

    def __init__(self, folder: Path, stored: StoredResult) -> None:
        self._folder = folder
        self._stored = stored
        self._begin()

    def write(self, encoded: Encoded) -> None:
        head, body = _split(encoded.stream)
        if self._bytes == 0:
            self._put(head)
        self._put(body)
        self._rows += encoded.rows
        if self._rows >= CHUNK_ROWS or self._bytes >= CHUNK_BYTES:
            self._finish_chunk()

    def finish(self) -> None:
        if not self._bytes and not self._stored.chunks:
            # Some readers take the schema from a batch only.
            nothing = self._stored.schema.empty_table().columns
            empty = [column.combine_chunks() for column in nothing]
            self.write(_encode(pa.RecordBatch.from_arrays(empty, schema=self._stored.schema)))
        if self._bytes:
            self._finish_chunk()

    def abandon(self) -> None:
        if self._file is not None:
            self._file.close()

    def _begin(self) -> None:
        self._rows = self._bytes = 0
        self._parts: list[bytes | memoryview] = []
        self._file: IO[bytes] | None = None
        self._packer = lz4.frame.LZ4FrameCompressor() if self._stored.compression else None

    def _put(self, part: bytes | memoryview) -> None:
        if self._packer is not None:
            begin = b"" if self._bytes else self._packer.begin()
            part = begin + self._packer.compress(part)
        self._bytes += len(part)
        if self._file is not None:
            self._file.write(part)
            return
        self._parts.append(part)
        if self._bytes > SMALL_BYTES or self._stored.chunks:
            self._spill()

    def _spill(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{len(self._stored.chunks)}.arrow"
        self._file = path.open("wb", buffering=1024 * 1024)
        for part in self._parts:
            self._file.write(part)
        self._parts = []

    def _finish_chunk(self) -> None:
        self._put(_END)
        if self._packer is not None:
            packed, self._packer = self._packer.flush(), None
            self._put(packed)
        stored = self._stored
        path = data = None
        if self._file is not None:
            path = Path(self._file.name)
            self._file.close()
        else:
            data = b"".join(self._parts)
        stored.chunks.append(
            Chunk(
                len(stored.chunks), stored.row_count, self._rows, self._bytes, path, data,
                stored.compression,
            )
        )  # fmt: skip
        stored.row_count += self._rows
        stored.byte_count += self._bytes
        self._begin()


def store(
    result: Result, folder: Path, limits: Limits, compression: str | None = None
) -> StoredResult:
    """Keep a result in chunks, the large ones in ``folder``, and stop at the limits.

    Raises what the engine raises while its rows are read, and EngineError above ``refuse_above``.
    """
    columns = column_list(result.schema.names, result.type_texts)
    stored = StoredResult(columns, result.schema, compression=compression)
    writer = _Writer(folder, stored)
    rows = size = 0
    try:
        for encoded in result.encoded or _encoded(result.batches):
            if limits.rows is not None and rows + encoded.rows > limits.rows:
                stored.truncated = True
                encoded = _cut(encoded, limits.rows - rows)
            length = len(encoded.stream)
            if limits.bytes is not None and size + length > limits.bytes:
                stored.truncated = True
                kept = (limits.bytes - size) * encoded.rows // max(length, 1)
                encoded = _cut(encoded, kept)
            if encoded.rows:
                writer.write(encoded)
            rows += encoded.rows
            size += length
            if limits.refuse_above is not None and size > limits.refuse_above:
                raise _too_large(limits.refuse_above)
            if limits.bytes is not None and size >= limits.bytes and stored.truncated:
                break
        writer.finish()
    finally:
        writer.abandon()
    return stored


def _too_large(limit: int) -> EngineError:
    return EngineError(
        f"The result has more than {limit} bytes, the most that INLINE carries. Ask for "
        "EXTERNAL_LINKS, or set a limit."
    )


def _encoded(batches: Iterator[pa.RecordBatch]) -> Iterator[Encoded]:
    for batch in batches:
        for start in range(0, batch.num_rows, CHUNK_ROWS):
            yield _encode(batch.slice(start, CHUNK_ROWS))


def _encode(batch: pa.RecordBatch) -> Encoded:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return Encoded(batch.num_rows, sink.getvalue().to_pybytes())


def _cut(encoded: Encoded, rows: int) -> Encoded:
    """The first rows of a batch."""
    if rows <= 0:
        return Encoded(0, b"")
    with pa.ipc.open_stream(encoded.stream) as reader:
        table = reader.read_all().slice(0, rows).combine_chunks()
    return _encode(table.to_batches()[0])


def _split(stream: bytes) -> tuple[memoryview, memoryview]:
    """The schema message and the batch messages of an Arrow stream, without its end mark."""
    view = memoryview(stream)
    head = 8 + int.from_bytes(view[4:8], "little")
    tail = len(view) - len(_END) if view[-len(_END) :] == _END else len(view)
    return view[:head], view[head:tail]


def column_list(names: list[str], type_texts: list[str]) -> list[dict]:
    """Columns as a manifest describes them, from their names and Spark type texts."""
    columns = []
    for position, (name, text) in enumerate(zip(names, type_texts, strict=True)):
        base = re.match(r"[a-z_]+", text.lower())
        kind = base.group() if base else "string"
        # Field names inside of a struct keep their letter case.
        shown = text.upper() if "<" not in text else kind.upper() + text[len(kind) :]
        column = {
            "name": name,
            "position": position,
            "type_name": _type_name(kind),
            "type_text": shown,
        }
        decimal = re.match(r"decimal\((\d+),(\d+)\)$", text)
        if decimal:
            column["type_precision"] = int(decimal.group(1))
            column["type_scale"] = int(decimal.group(2))
        if kind == "interval" and " " in text:
            column["type_interval_type"] = text.split(" ", 1)[1].upper()
        columns.append(column)
    return columns


def _type_name(kind: str) -> str:
    if kind in _TYPE_NAMES:
        return _TYPE_NAMES[kind]
    return kind.upper() if kind in _PLAIN else "STRING"


def json_rows(chunk: Chunk) -> list[list[str | None]]:
    """Rows of a chunk with every value as text or None, as JSON_ARRAY carries them."""
    with chunk.open() as reader:
        return text_rows(reader.read_all())
