"""The same records as `records`, column by column, for files without anything unusual.

`Unusual` is raised as soon as something is: a ragged row, a long or blank line, a control
character, a bad byte. The caller then reads the file again with `records`, whose word is final.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv
from pyarrow import json as arrow_json

from ..contracts import FIELDS, SourceContract
from .lines import MAX_LINE_BYTES, Refused, bounded_lines
from .records import Header, csv_header, json_header, to_json

BLOCK_BYTES = 4 * 1024 * 1024
TEXT_SCHEMA = tuple((f"text_{name}", pa.string()) for name in FIELDS)
BATCH_SCHEMA = pa.schema(
    [("source_line", pa.int64()), ("raw", pa.string()), ("problem", pa.string()), *TEXT_SCHEMA]
)
_CONTROL = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
_ESCAPES = (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t"))


class Unusual(Exception):
    """The file needs the careful reading."""


def csv_batches(
    stream: BinaryIO, contracts: Sequence[SourceContract], limit: int = MAX_LINE_BYTES
) -> tuple[Header, Iterator[pa.RecordBatch]]:
    """Header and batches of a CSV stream."""
    reader = io.BufferedReader(stream, BLOCK_BYTES)
    first = _first_line(reader, limit)
    header = csv_header(first, contracts)
    if not reader.peek(1):
        return header, iter(())
    names = list(header.columns)
    try:
        rows = arrow_csv.open_csv(
            reader,
            read_options=arrow_csv.ReadOptions(column_names=names, block_size=BLOCK_BYTES),
            parse_options=arrow_csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
            convert_options=arrow_csv.ConvertOptions(
                column_types={name: pa.string() for name in names},
                null_values=[""],
                strings_can_be_null=True,
            ),
        )
    except pa.ArrowInvalid as error:
        raise Unusual(str(error)) from None
    return header, _csv_batches(rows, header, limit)


def _first_line(reader: io.BufferedReader, limit: int) -> str:
    line = reader.readline(limit + 1)
    if not line:
        raise Refused("empty file")
    return next(bounded_lines(io.BytesIO(line), limit))


def _csv_batches(rows, header: Header, limit: int) -> Iterator[pa.RecordBatch]:
    line = 2
    while True:
        try:
            batch = rows.read_next_batch()
        except StopIteration:
            return
        except pa.ArrowInvalid as error:
            raise Unusual(str(error)) from None
        if _has_blank_row(batch):
            raise Unusual("a blank line")
        raw, breaks = _json_objects(batch, header.columns)
        if len(raw) and pc.max(pc.binary_length(raw)).as_py() > limit:
            raise Unusual("a long line")
        if breaks is None:
            numbers = _numbers(line, len(raw))
            line += len(raw)
        else:
            ends = pc.cumulative_sum(pc.add(breaks, 1))
            numbers = pc.add(pc.subtract(ends, pc.add(breaks, 1)), line)
            line += ends[-1].as_py()
        yield _batch(numbers, raw, header.source, dict(zip(header.columns, batch, strict=True)))


def _has_blank_row(batch: pa.RecordBatch) -> bool:
    """A blank line comes as a row without any value."""
    blank = None
    for column in batch.columns:
        if not column.null_count:
            return False
        empty = pc.is_null(column)
        blank = empty if blank is None else pc.and_(blank, empty)
    return bool(pc.any(blank).as_py())


def _json_objects(batch: pa.RecordBatch, names: Sequence[str]) -> tuple[pa.Array, pa.Array | None]:
    """JSON text of each row, and line breaks inside its cells (None if no cell has one)."""
    parts: list[pa.Array | pa.Scalar] = []
    breaks = None
    for position, name in enumerate(names):
        column = batch.column(position)
        special = pc.match_substring_regex(column, r'[\x00-\x1f\x7f"\\]')
        if pc.any(special).as_py():
            if pc.any(pc.match_substring_regex(column, _CONTROL)).as_py():
                raise Unusual("a control character")
            count = pc.cast(pc.fill_null(pc.count_substring(column, "\n"), 0), pa.int64())
            if pc.any(pc.greater(count, 0)).as_py():
                breaks = count if breaks is None else pc.add(breaks, count)
            for plain, escaped in _ESCAPES:
                column = pc.replace_substring(column, plain, escaped)
        opening = ("{" if position == 0 else '",') + to_json(name) + ':"'
        parts += [pa.scalar(opening), column]
    parts.append(pa.scalar('"}'))
    raw = pc.binary_join_element_wise(*parts, "", null_handling="replace", null_replacement="")
    return raw, breaks


def json_batches(
    stream: BinaryIO, contracts: Sequence[SourceContract], limit: int = MAX_LINE_BYTES
) -> tuple[Header, Iterator[pa.RecordBatch]]:
    """Header and batches of JSON lines."""
    blocks = _blocks(stream)
    first = next(blocks, None)
    if first is None:
        raise Refused("empty file")
    try:
        record = json.loads(first[: first.index(b"\n")])
    except ValueError:
        raise Unusual("the first line is not JSON") from None
    if not isinstance(record, dict):
        raise Unusual("the first line is not an object")
    header = json_header(record, contracts, 1)
    bare = [name for name in header.source.headers if isinstance(record.get(name), (int, float))]
    return header, _json_batches(first, blocks, header.source, bare, limit)


def _json_batches(
    first: bytes,
    blocks: Iterator[bytes],
    source: SourceContract,
    bare: Sequence[str],
    limit: int,
) -> Iterator[pa.RecordBatch]:
    """`bare`: keys whose values come without quotes; another one that does is unusual."""
    explicit = pa.schema([(name, pa.string()) for name in source.headers])
    parse = arrow_json.ParseOptions(explicit_schema=explicit, unexpected_field_behavior="ignore")
    literals = _literals(bare)
    line = 1
    block: bytes | None = first
    while block is not None:
        raw = _lines(block, limit)
        quoted = literals.sub(rb'"\1":"\2"', block) if literals else block
        read = arrow_json.ReadOptions(use_threads=False, block_size=len(quoted) + 1)
        try:
            table = arrow_json.read_json(io.BytesIO(quoted), read, parse)
        except pa.ArrowInvalid as error:
            raise Unusual(str(error)) from None
        if len(table) != len(raw):
            raise Unusual("records and lines differ in number")
        cells = {name: table.column(name).combine_chunks() for name in source.headers}
        yield _batch(_numbers(line, len(raw)), raw, source, cells)
        line += len(raw)
        block = next(blocks, None)


def _literals(names: Sequence[str]) -> re.Pattern[bytes] | None:
    """Numbers and booleans of these keys: quoted before the parse, so that digits stay as written.

    A key inside a text has escaped quotes, so the pattern cannot meet it there.
    """
    if not names:
        return None
    keys = b"|".join(re.escape(name.encode()) for name in names)
    return re.compile(rb'"(' + keys + rb')"\s*:\s*(-?[0-9][0-9.eE+-]*|true|false)(?=\s*[,}])')


def _lines(block: bytes, limit: int) -> pa.Array:
    """The lines of a block that ends with a line end, as strings."""
    try:
        text = block.decode("utf-8")
    except UnicodeDecodeError:
        raise Unusual("not UTF-8") from None
    lines = text.removesuffix("\n").split("\n")
    if text.endswith("\r\n"):
        lines = [line.removesuffix("\r") for line in lines]
    raw = pa.array(lines, pa.string())
    if pc.max(pc.binary_length(raw)).as_py() > limit:
        raise Unusual("a long line")
    if not pc.all(pc.and_(pc.starts_with(raw, "{"), pc.ends_with(raw, "}"))).as_py():
        raise Unusual("a line that is not an object")
    return raw


def _blocks(stream: BinaryIO) -> Iterator[bytes]:
    """Whole lines, some MiB at a time; the last line gets its line end if it has none."""
    rest = b""
    first = True
    while block := stream.read(BLOCK_BYTES):
        data = rest + block
        if first and data.startswith(b"\xef\xbb\xbf"):
            data = data[3:]
        first = False
        cut = data.rfind(b"\n") + 1
        if not cut and len(data) >= BLOCK_BYTES:
            raise Unusual("a long line")
        if cut:
            yield data[:cut]
        rest = data[cut:]
    if rest:
        yield rest + b"\n"


def _numbers(first: int, count: int) -> pa.Array:
    return pa.array(np.arange(first, first + count, dtype=np.int64))


def _batch(
    numbers: pa.Array, raw: pa.Array, source: SourceContract, cells: dict[str, pa.Array]
) -> pa.RecordBatch:
    texts = []
    for headers in source.text_headers(cells).values():
        columns = [_none_if_empty(cells[header]) for header in headers]
        if not columns:
            texts.append(pa.nulls(len(raw), pa.string()))
        else:
            texts.append(columns[0] if len(columns) == 1 else pc.coalesce(*columns))
    problem = pa.nulls(len(raw), pa.string())
    return pa.RecordBatch.from_arrays([numbers, raw, problem, *texts], schema=BATCH_SCHEMA)


def _none_if_empty(column: pa.Array) -> pa.Array:
    empty = pc.equal(column, "")
    if not pc.any(empty).as_py():
        return column
    return pc.if_else(empty, pa.scalar(None, pa.string()), column)
