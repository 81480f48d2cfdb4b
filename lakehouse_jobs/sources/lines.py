"""Bounded reading of text: no line, however long, is ever held whole."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import BinaryIO

MAX_LINE_BYTES = 1024 * 1024
KEPT_CHARS = 1000
_SKIP_BYTES = 1024 * 1024


class Refused(Exception):
    """A file that cannot be taken; `line` (from 1) is where the reason was found, if anywhere."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason if line is None else f"line {line}: {reason}")
        self.reason = reason
        self.line = line


class LongLine(str):
    """The first characters of a line over the limit; the rest was read and thrown away."""


def decode(data: bytes, line: int) -> str:
    """UTF-8 text without NUL, or Refused with the line of the first bad byte."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        bad = line + data.count(b"\n", 0, error.start)
        raise Refused(f"not UTF-8: byte 0x{data[error.start]:02x}", bad) from None
    if "\x00" in text:
        raise Refused("not UTF-8 text: NUL byte", line + text[: text.index("\x00")].count("\n"))
    return text


def bounded_lines(stream: BinaryIO, limit: int = MAX_LINE_BYTES) -> Iterator[str]:
    """Lines with their line end; one over `limit` bytes comes as a LongLine of its beginning."""
    reader = stream if isinstance(stream, io.BufferedReader) else io.BufferedReader(stream)
    number = 0
    while True:
        data = reader.readline(limit + 1)
        if not data:
            return
        number += 1
        if number == 1 and data.startswith(b"\xef\xbb\xbf"):
            data = data[3:]
        if len(data) <= limit:
            yield decode(data, number)
            continue
        kept = data[: KEPT_CHARS * 4].decode("utf-8", errors="replace")[:KEPT_CHARS]
        while data and not data.endswith(b"\n"):
            data = reader.readline(_SKIP_BYTES)
        yield LongLine(kept)
