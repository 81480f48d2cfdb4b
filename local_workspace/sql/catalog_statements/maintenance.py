"""OPTIMIZE, VACUUM, RESTORE, TRUNCATE and ALTER TABLE ADD COLUMNS."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa

from ...engine import upkeep
from ...engine.interface import EngineError
from ...engine.sail_guard import refusal
from ...engine.sql_text import quote_name
from ...engine.table_info import TableInfo
from ...unity.objects import require_writable
from ..answers import BOOLEAN, LONG, STRING, Compute, answer, done, texts
from ..words import Words
from .column_list import column_list
from .context import Context

_SIZES = pa.struct({"min": LONG, "max": LONG, "avg": pa.float64(), "totalFiles": LONG,
                    "totalSize": LONG})  # fmt: skip
_METRICS = pa.struct(
    {"numFilesAdded": LONG, "numFilesRemoved": LONG, "filesAdded": _SIZES, "filesRemoved": _SIZES,
     "partitionsOptimized": LONG, "numBatches": LONG, "totalConsideredFiles": LONG,
     "totalFilesSkipped": LONG, "preserveInsertionOrder": BOOLEAN}
)  # fmt: skip
_RESTORED = ("table_size_after_restore", "num_of_files_after_restore", "num_removed_files",
             "num_restored_files", "removed_files_size", "restored_files_size")  # fmt: skip


def optimize(words: Words, context: Context) -> Compute:
    """OPTIMIZE t [FULL] [ZORDER BY (columns)]"""
    words.expect("OPTIMIZE")
    parts = words.name()
    words.take("FULL")
    if words.next.word == "WHERE":
        raise refusal("OPTIMIZE ... WHERE")
    zorder = _zorder(words) if words.take("ZORDER", "BY") else []
    words.end()
    columns = {"path": STRING, "metrics": _METRICS}
    return lambda: answer(columns, [upkeep.optimize(_writable(context, parts), zorder)])


def _zorder(words: Words) -> list[str]:
    bracket = words.take("(")
    names = [words.name(most=1)[0]]
    while words.take(","):
        names.append(words.name(most=1)[0])
    if bracket:
        words.expect(")")
    return names


def vacuum(words: Words, context: Context) -> Compute:
    """VACUUM t [FULL | LITE] [RETAIN n HOURS] [DRY RUN]"""
    words.expect("VACUUM")
    parts = words.name()
    if words.take("LITE"):
        raise refusal("VACUUM ... LITE")
    words.take("FULL")
    hours = None
    if words.take("RETAIN"):
        hours = words.number()
        words.expect("HOURS")
    dry_run = words.take("DRY", "RUN")
    words.end()

    def compute():
        table = _writable(context, parts)
        gone = upkeep.vacuum(table, hours, dry_run)
        return texts(["path"], [(path,) for path in (gone if dry_run else [table.folder.as_uri()])])

    return compute


def restore(words: Words, context: Context) -> Compute:
    """RESTORE [TABLE] t [TO] {VERSION | TIMESTAMP} AS OF x"""
    words.expect("RESTORE")
    words.take("TABLE")
    parts = words.name()
    words.take("TO")
    if words.take("VERSION", "AS", "OF"):
        target: int | dt.datetime = words.number()
    else:
        words.expect("TIMESTAMP", "AS", "OF")
        target = _moment(words.string())
    words.end()
    columns = dict.fromkeys(_RESTORED, LONG)
    return lambda: answer(columns, [upkeep.restore(_writable(context, parts), target)])


def _moment(text: str) -> dt.datetime:
    try:
        moment = dt.datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise EngineError(
            f"[DELTA_TIMESTAMP_INVALID] The provided timestamp ({text}) cannot be converted to a "
            "valid timestamp. SQLSTATE: 42816",
            "DELTA_TIMESTAMP_INVALID", "42816",
        ) from error  # fmt: skip
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


def truncate(words: Words, context: Context) -> Compute:
    """TRUNCATE TABLE t: the engine deletes all rows, in one new version."""
    words.expect("TRUNCATE", "TABLE")
    parts = words.name()
    if words.next.word == "PARTITION":
        raise refusal("TRUNCATE TABLE ... PARTITION")
    words.end()

    def compute():
        table = _writable(context, parts)
        operation = context.engine.statement(f"DELETE FROM {quote_name(*table.key)}", [])
        try:
            for _ in operation.run().batches:
                continue
        finally:
            operation.close()
        return done()

    return compute


def alter(words: Words, context: Context) -> Compute | None:
    """ALTER TABLE t ADD COLUMN[S]. None for the other forms, which the engine knows or refuses."""
    if not words.take("ALTER", "TABLE"):
        return None
    parts = words.name()
    require_writable(*context.table_name(parts)[:2])
    if not words.take("ADD") or not words.take_any("COLUMNS", "COLUMN"):
        return None
    fields = column_list(words)
    words.end()

    def compute():
        upkeep.add_columns(_writable(context, parts), fields)
        return done()

    return compute


def _writable(context: Context, parts: list[str]) -> TableInfo:
    """Facts of a Delta table that may be changed. Raises EngineError, CatalogError."""
    table = context.table(parts)
    require_writable(table.catalog, table.schema)
    if table.folder is None:
        raise upkeep.not_delta(table)
    return table
