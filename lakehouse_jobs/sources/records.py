"""One file's records: (line, JSON text, problem), plain Python, with exact line numbers.

This is the reference reading. `fast` does the same for well-formed files column by column.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import BinaryIO, NamedTuple

from ..contracts import FIELDS, SourceContract
from .lines import KEPT_CHARS, MAX_LINE_BYTES, LongLine, Refused, bounded_lines

_PROBE_LINES = 50
NO_TEXTS: tuple[str | None, ...] = (None,) * len(FIELDS)
LINE_TOO_LONG = "line too long"
COLUMN_COUNT = "column count differs from the header's"
NOT_AN_OBJECT = "not a JSON object"


class Record(NamedTuple):
    """`texts` is the text of each of FIELDS, None where the source is silent or has a problem."""

    line: int
    raw: str
    problem: str | None
    texts: tuple[str | None, ...] = NO_TEXTS


@dataclass(frozen=True)
class Header:
    """What the first line says: which source it is, and its columns (CSV)."""

    source: SourceContract
    columns: tuple[str, ...] = ()


def csv_header(line: str, contracts: Sequence[SourceContract]) -> Header:
    """The source whose headers these are.

    Refused: no header, a column twice, or a required column missing from the closest source.
    """
    if isinstance(line, LongLine):
        raise Refused(LINE_TOO_LONG, 1)
    columns = tuple(name.strip() for name in next(csv.reader([line]), ()))
    if not any(columns):
        raise Refused("the first line holds no column names", 1)
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise Refused(f"duplicate column {twice[0]!r}", 1)
    return Header(_closest(columns, [c for c in contracts if c.format == "csv"]), columns)


def json_header(record: dict, contracts: Sequence[SourceContract], line: int) -> Header:
    """The source whose keys these are; a record may lack some, so half of them are enough."""
    candidates = [c for c in contracts if c.format == "json"]
    best = max(candidates, key=lambda c: len(set(c.headers) & set(record)), default=None)
    if best is None or 2 * len(set(best.headers) & set(record)) < len(best.headers):
        raise Refused(f"unknown keys: {', '.join(sorted(record)[:6])}", line)
    return Header(best)


def _closest(columns: Sequence[str], contracts: Sequence[SourceContract]) -> SourceContract:
    best = max(contracts, key=lambda c: len(set(c.headers) & set(columns)), default=None)
    if best is None or not set(best.headers) & set(columns):
        raise Refused(f"unknown columns: {', '.join(columns[:6])}", 1)
    missing = best.missing(columns)
    if missing:
        raise Refused(f"missing column {missing[0]!r} of {best.name}", 1)
    return best


def csv_records(
    stream: BinaryIO, contracts: Sequence[SourceContract], limit: int = MAX_LINE_BYTES
) -> tuple[Header, Iterator[Record]]:
    """Header and records of a CSV stream; blank lines are no records.

    A line over `limit` bytes and a row with another number of cells become records with a problem.
    Refused while iterating: wrong encoding, a quotation that does not end.
    """
    lines = bounded_lines(stream, limit)
    first = next(lines, None)
    if first is None:
        raise Refused("empty file")
    header = csv_header(first, contracts)
    return header, _csv_rows(lines, header, limit)


def _csv_rows(lines: Iterator[str], header: Header, limit: int) -> Iterator[Record]:
    columns = header.columns
    pick = list(header.source.text_headers(columns).values())
    taken = 1
    long_lines: list[LongLine] = []

    def feed() -> Iterator[str]:
        nonlocal taken
        for line in lines:
            taken += 1
            if isinstance(line, LongLine):
                long_lines.append(line)
                # An empty line ends the reader's turn, so that the number is still the line's.
                yield "\n"
            else:
                yield line

    csv.field_size_limit(limit)
    reader = csv.reader(feed(), strict=True)
    while True:
        start = taken + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise Refused(f"CSV: {error}", start) from None
        if long_lines:
            yield Record(start, long_lines.pop(), LINE_TOO_LONG)
        elif len(row) == len(columns):
            cells = dict(zip(columns, row, strict=True))
            yield Record(start, to_json(cells), None, _texts(cells, pick))
        elif row:
            yield Record(start, to_json(row)[:KEPT_CHARS], COLUMN_COUNT)


def _texts(cells: dict, pick: Sequence[tuple[str, ...]]) -> tuple[str | None, ...]:
    """For each field the first of its headers that has a text; '' is none."""
    return tuple(next((cells[h] for h in names if cells.get(h)), None) for names in pick)


def _as_text(value: object) -> str | None:
    """The text of a JSON value as the file wrote it; numbers are read as text already."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return to_json(value)


def to_json(value: object) -> str:
    """Compact JSON text; the form that `fast` builds as well."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def json_records(
    stream: BinaryIO, contracts: Sequence[SourceContract], limit: int = MAX_LINE_BYTES
) -> tuple[Header, Iterator[Record]]:
    """Header and records of JSON lines, or of a JSON array with one record to a line.

    The raw text is the line as it came. A line over the limit or one that is no JSON object
    becomes a record with a problem. Refused: no readable record among the first lines.
    """
    records = _json_rows(bounded_lines(stream, limit))
    probe: list[tuple[Record, dict | None]] = []
    header = None
    for record, cells in records:
        probe.append((record, cells))
        if cells is not None:
            header = json_header(cells, contracts, record.line)
        if header is not None or len(probe) == _PROBE_LINES:
            break
    if not probe:
        raise Refused("empty file")
    if header is None:
        first = probe[0][0]
        raise Refused(f"no readable record: {first.problem}", first.line)
    pick = list(header.source.text_headers().values())

    def chained() -> Iterator[Record]:
        for record, cells in chain(probe, records):
            yield record if cells is None else record._replace(texts=_texts(cells, pick))

    return header, chained()


def _json_rows(lines: Iterator[str]) -> Iterator[tuple[Record, dict | None]]:
    """Each record with its members as texts; None if it has a problem."""
    for number, line in enumerate(lines, start=1):
        if isinstance(line, LongLine):
            yield Record(number, line, LINE_TOO_LONG), None
            continue
        text = line.strip(" \t\r\n")
        if text in ("", "[", "]"):
            continue
        text = text.removeprefix("[").removesuffix("]").rstrip(",")
        try:
            value = json.loads(text, parse_float=str, parse_int=str)
        except ValueError:
            value = None
        if isinstance(value, dict):
            yield Record(number, text, None), {k: _as_text(v) for k, v in value.items()}
        else:
            yield Record(number, text[:KEPT_CHARS], NOT_AN_OBJECT), None
