"""DESCRIBE: the columns of a table, and with EXTENDED, DETAIL and HISTORY all that is known."""

from __future__ import annotations

import datetime as dt
from email.utils import format_datetime

import pyarrow as pa

from ...access.principals import OWNER
from ...engine import upkeep
from ...engine.interface import Result
from ...engine.sail_guard import refusal
from ...engine.table_info import TableInfo
from ..answers import BOOLEAN, INT, LIST, LONG, MAP, STRING, TIMESTAMP, Compute, answer, texts
from ..words import Words
from .context import Context

_COLUMNS = ["col_name", "data_type", "comment"]
_JOB = pa.struct(
    {"jobId": STRING, "jobName": STRING, "jobRunId": STRING, "runId": STRING, "jobOwnerId": STRING,
     "triggerType": STRING}
)  # fmt: skip
_HISTORY = {
    "version": LONG, "timestamp": TIMESTAMP, "userId": STRING, "userName": STRING,
    "operation": STRING, "operationParameters": MAP, "job": _JOB,
    "notebook": pa.struct({"notebookId": STRING}), "clusterId": STRING, "readVersion": LONG,
    "isolationLevel": STRING, "isBlindAppend": BOOLEAN, "operationMetrics": MAP,
    "userMetadata": STRING, "engineInfo": STRING,
}  # fmt: skip
_DETAIL = {
    "format": STRING, "id": STRING, "name": STRING, "description": STRING, "location": STRING,
    "createdAt": TIMESTAMP, "lastModified": TIMESTAMP, "partitionColumns": LIST,
    "clusteringColumns": LIST, "numFiles": LONG, "sizeInBytes": LONG, "properties": MAP,
    "minReaderVersion": INT, "minWriterVersion": INT, "tableFeatures": LIST,
    "statistics": pa.map_(STRING, LONG),
}  # fmt: skip


def prepare(words: Words, context: Context) -> Compute:
    """The answer to a DESCRIBE statement, to be computed. Raises EngineError, CatalogError."""
    words.at = 1
    if words.take("HISTORY"):
        compute = _history(words, context)
    elif words.take("DETAIL"):
        compute = _detail(words, context)
    else:
        compute = _table(words, context)
    words.end()
    return compute


def _table(words: Words, context: Context) -> Compute:
    words.take("TABLE")
    extended = bool(words.take_any("EXTENDED", "FORMATTED"))
    if words.next.word in ("SCHEMA", "DATABASE", "CATALOG", "FUNCTION", "QUERY", "VOLUME"):
        if len(words.tokens) > words.at + 1:
            raise refusal(f"DESCRIBE {words.next.word}")
    parts = words.name()
    if words.take("AS", "JSON"):
        raise refusal("DESCRIBE ... AS JSON")

    def compute() -> Result:
        table = context.table(parts)
        return texts(_COLUMNS, _rows(table) + (_details(table) if extended else []))

    return compute


def _rows(table: TableInfo) -> list[tuple]:
    rows = [(c.name, c.type_text, c.comment) for c in table.columns]
    if table.partition_columns:
        rows += [("# Partition Information", "", ""), ("# col_name", "data_type", "comment")]
        rows += [(c.name, c.type_text, c.comment) for c in table.partition_columns]
    return rows


def _details(table: TableInfo) -> list[tuple]:
    facts = {
        "Catalog": table.catalog, "Database": table.schema, "Table": table.name,
        "Created Time": _rfc_date(table.created_ms), "Last Access": "UNKNOWN",
        "Created By": "Spark", "Type": table.kind, "Comment": table.comment or "",
        "Location": table.folder.as_uri() if table.folder else "",
        "Provider": "delta" if table.folder else "", "Owner": OWNER.user_name,
        "Is_managed_location": "true" if table.folder else "",
        "Table Properties": _bracketed(table.properties or {}),
    }  # fmt: skip
    head = [("", "", ""), ("# Detailed Table Information", "", "")]
    return head + [(name, text, "") for name, text in facts.items() if text]


def _rfc_date(millis: int) -> str:
    return format_datetime(dt.datetime.fromtimestamp(millis / 1000, dt.UTC)) if millis else ""


def _bracketed(properties: dict[str, str]) -> str:
    return "[" + ",".join(f"{key}={value}" for key, value in sorted(properties.items())) + "]"


def _history(words: Words, context: Context) -> Compute:
    parts = words.name()
    limit = words.number() if words.take("LIMIT") else None
    return lambda: answer(_HISTORY, upkeep.history(_delta(context, parts), limit))


def _detail(words: Words, context: Context) -> Compute:
    parts = words.name()
    return lambda: answer(_DETAIL, [upkeep.detail(_delta(context, parts))])


def _delta(context: Context, parts: list[str]) -> TableInfo:
    """Facts of a Delta table. Raises EngineError for a view."""
    table = context.table(parts)
    if table.folder is None:
        raise upkeep.not_delta(table)
    return table
