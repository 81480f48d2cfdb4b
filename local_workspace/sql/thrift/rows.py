"""Rows of a stored result as Thrift carries them: Arrow batches in an answer, links to files."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator

import pyarrow as pa
from databricks.sql.thrift_api.TCLIService import ttypes

from ..results import Chunk, StoredResult
from .types import ArrowForm

# A client may ask for 100 MB in one answer; an answer is held in memory several times over.
MAX_BYTES = 8 * 1024 * 1024


def batches(result: StoredResult, offset: int, rows: int, size: int) -> list[pa.RecordBatch]:
    """Batches from row ``offset`` on: at most ``rows`` rows, and about ``size`` bytes.

    At least one row comes, however large, so that a reader always gets on.
    """
    found: list[pa.RecordBatch] = []
    size = min(size, MAX_BYTES)
    for batch in _from(result, offset):
        batch = batch.slice(0, rows)
        if batch.nbytes > size:
            batch = batch.slice(0, max(int(batch.num_rows * size / batch.nbytes), not found))
        if not batch.num_rows:
            break
        found.append(batch)
        rows -= batch.num_rows
        size -= batch.nbytes
        if rows <= 0 or size <= 0:
            break
    return found


def _from(result: StoredResult, offset: int) -> Iterator[pa.RecordBatch]:
    starts = [chunk.row_offset for chunk in result.chunks]
    for chunk in result.chunks[max(bisect_right(starts, offset) - 1, 0) :]:
        at = chunk.row_offset
        with chunk.open() as reader:
            for batch in reader:
                if at + batch.num_rows > offset:
                    yield batch.slice(max(offset - at, 0))
                at += batch.num_rows


def row_set(found: list[pa.RecordBatch], offset: int, form: ArrowForm) -> ttypes.TRowSet:
    """Batches that begin at row ``offset``, in the answer itself."""
    carried = [
        ttypes.TSparkArrowBatch(form.batch(batch).serialize().to_pybytes(), batch.num_rows)
        for batch in found
    ]
    return ttypes.TRowSet(startRowOffset=offset, rows=[], arrowBatches=carried)


def links(
    chunks: list[Chunk], offset: int, address: Callable[[Chunk], tuple[str, int]]
) -> ttypes.TRowSet:
    """Chunks to be fetched by the client; ``address`` gives URL and expiry (epoch seconds)."""
    carried = [
        ttypes.TSparkArrowResultLink(
            *address(chunk), chunk.row_offset, chunk.row_count, chunk.byte_count
        )
        for chunk in chunks
    ]
    return ttypes.TRowSet(startRowOffset=offset, rows=[], resultLinks=carried)


def modified(result: StoredResult) -> int | None:
    """Rows that a statement changed, from the answer that SQL gives to it; None for a query."""
    if not result.columns or result.columns[0]["name"] != "num_affected_rows":
        return None
    first = batches(result, 0, 1, MAX_BYTES)
    return first[0].column(0)[0].as_py() if first else None
