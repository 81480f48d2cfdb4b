"""The same records as `records`, column by column, for files without anything unusual.

`Unusual` is raised as soon as something is: a ragged row, a long or blank line, a control
character, a bad byte. The caller then reads the file again with `records`, whose word is final.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from ..contracts import SourceContract
from .lines import MAX_LINE_BYTES, Refused, bounded_lines
from .records import Header, csv_header, json_header, to_json

BLOCK_BYTES = 4 * 1024 * 1024
BATCH_SCHEMA = pa.schema(
    [("source_line", pa.int64()), ("raw", pa.string()), ("problem", pa.string())]
)
_CONTROL = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
_ESCAPES = (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t"))


class Unusual(Exception):
    """The file needs the careful reading."""


def csv_batches(
    stream: BinaryIO, contracts: Sequence[SourceContract], limit: int = MAX_LINE_BYTES
) -> tuple[Header, Iterator[pa.RecordBatch]]:
    """Header and batches (source_line, raw, problem) of a CSV stream."""
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
                strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid as error:
        raise Unusual(str(error)) from None
    return header, _csv_batches(rows, names, limit)


def _first_line(reader: io.BufferedReader, limit: int) -> str:
    line = reader.readline(limit + 1)
    if not line:
        raise Refused("empty file")
    return next(bounded_lines(io.BytesIO(line), limit))


def _csv_batches(rows, names: list[str], limit: int) -> Iterator[pa.RecordBatch]:
    line = 2
    while True:
        try:
            batch = rows.read_next_batch()
        except StopIteration:
            return
        except pa.ArrowInvalid as error:
            raise Unusual(str(error)) from None
        raw, breaks = _json_objects(batch, names)
        if len(raw) and pc.max(pc.binary_length(raw)).as_py() > limit:
            raise Unusual("a long line")
        if breaks is None:
            numbers = pa.array(range(line, line + len(raw)), pa.int64())
            line += len(raw)
        else:
            ends = pc.cumulative_sum(pc.add(breaks, 1))
            numbers = pc.add(pc.subtract(ends, pc.add(breaks, 1)), line)
            line += ends[-1].as_py() if len(ends) else 0
        yield _batch(numbers, raw)


def _json_objects(batch: pa.RecordBatch, names: list[str]) -> tuple[pa.Array, pa.Array | None]:
    """JSON text of each row, and line breaks inside its cells (None if no cell has one)."""
    parts: list[pa.Array | pa.Scalar] = []
    breaks = None
    for position, name in enumerate(names):
        column = batch.column(position)
        special = pc.match_substring_regex(column, r'[\x00-\x1f\x7f"\\]')
        if pc.any(special).as_py():
            if pc.any(pc.match_substring_regex(column, _CONTROL)).as_py():
                raise Unusual("a control character")
            count = pc.cast(pc.count_substring(column, "\n"), pa.int64())
            if pc.any(pc.greater(count, 0)).as_py():
                breaks = count if breaks is None else pc.add(breaks, count)
            for plain, escaped in _ESCAPES:
                column = pc.replace_substring(column, plain, escaped)
        opening = ("{" if position == 0 else '",') + to_json(name) + ':"'
        parts += [pa.scalar(opening), column]
    parts.append(pa.scalar('"}'))
    return pc.binary_join_element_wise(*parts, ""), breaks


def json_batches(
    stream: BinaryIO, contracts: Sequence[SourceContract], limit: int = MAX_LINE_BYTES
) -> tuple[Header, Iterator[pa.RecordBatch]]:
    """Header and batches of JSON lines. That each line is an object shows in Silver's parse."""
    blocks = _blocks(stream, limit)
    first = next(blocks, None)
    if first is None:
        raise Refused("empty file")
    try:
        record = json.loads(first[0])
    except ValueError:
        raise Unusual("the first record is not JSON") from None
    if not isinstance(record, dict):
        raise Unusual("the first record is not an object")
    header = json_header(record, contracts, 1)

    def batches() -> Iterator[pa.RecordBatch]:
        line = 1
        lines: list[str] | None = first
        while lines is not None:
            raw = pa.array(lines, pa.string())
            if not pc.all(pc.match_substring_regex(raw, r"^\{.*\}$")).as_py():
                raise Unusual("a line that is not an object")
            yield _batch(pa.array(range(line, line + len(lines)), pa.int64()), raw)
            line += len(lines)
            lines = next(blocks, None)

    return header, batches()


def _blocks(stream: BinaryIO, limit: int) -> Iterator[list[str]]:
    """Whole lines, some MiB at a time, without line ends."""
    rest = b""
    first = True
    while True:
        block = stream.read(BLOCK_BYTES)
        data = rest + block
        if first and data.startswith(b"\xef\xbb\xbf"):
            data = data[3:]
        first = False
        cut = data.rfind(b"\n") + 1 if block else len(data)
        data, rest = data[:cut], data[cut:]
        if len(rest) > limit:
            raise Unusual("a long line")
        if data:
            try:
                lines = data.decode("utf-8").removesuffix("\n").split("\n")
            except UnicodeDecodeError:
                raise Unusual("not UTF-8") from None
            if "\r" in lines[0]:
                lines = [line.removesuffix("\r") for line in lines]
            if max(map(len, lines)) * 4 > limit and max(len(x.encode()) for x in lines) > limit:
                raise Unusual("a long line")
            yield lines
        if not block:
            return


def _batch(numbers: pa.Array, raw: pa.Array) -> pa.RecordBatch:
    problem = pa.nulls(len(raw), pa.string())
    return pa.RecordBatch.from_arrays([numbers, raw, problem], schema=BATCH_SCHEMA)
