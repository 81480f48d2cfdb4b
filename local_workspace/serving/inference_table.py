"""Inference tables: every request that a model answered, as rows of a Delta table.

The columns are those of Databricks' AI Gateway inference tables, also where the older
``auto_capture_config`` asks for the table.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from ..engine.catalog import Catalog, CatalogError, checked
from ..errors import bad_request

# A text beyond this is left out of the table, and the row says so.
MAX_TEXT = 1024 * 1024
APP_ID = "serving"

SCHEMA = pa.schema(
    [
        ("databricks_request_id", pa.string()),
        ("request_date", pa.date32()),
        ("client_request_id", pa.string()),
        ("request_time", pa.timestamp("us", tz="UTC")),
        ("status_code", pa.int32()),
        ("sampling_fraction", pa.float64()),
        ("execution_duration_ms", pa.int64()),
        ("request", pa.string()),
        ("response", pa.string()),
        ("logging_error_codes", pa.list_(pa.string())),
        ("served_entity_id", pa.string()),
        ("requester", pa.string()),
    ]
)


class TableGone(Exception):
    """The schema of the table was dropped, or its columns were changed."""


def table_of(endpoint: str, config: dict | None, details: dict) -> str | None:
    """``catalog.schema.table`` that an endpoint writes to, or None.

    Raises ApiError 400 when the names cannot be those of a table.
    """
    gateway = details.get("ai_gateway", {}).get("inference_table_config")
    given = gateway or (config or {}).get("auto_capture_config")
    # The older setting is on unless it is switched off.
    if not given or not given.get("enabled", given is not gateway):
        return None
    catalog, schema = given.get("catalog_name"), given.get("schema_name")
    if not catalog or not schema:
        raise bad_request("An inference table needs catalog_name and schema_name.")
    prefix = given.get("table_name_prefix") or endpoint
    try:
        return ".".join(checked(name) for name in (catalog, schema, f"{prefix}_payload"))
    except CatalogError as error:
        raise bad_request(str(error)) from error


def prepare(catalog: Catalog, table: str) -> None:
    """Create the table when it is not there. Raises ApiError 400 when it cannot be written to."""
    from deltalake import DeltaTable, Schema

    try:
        folder = _folder(catalog, table)
    except CatalogError as error:
        raise bad_request(str(error)) from error
    made = DeltaTable.create(folder, Schema.from_arrow(SCHEMA), mode="ignore")
    if [field.name for field in made.schema().fields] != SCHEMA.names:
        raise bad_request(f"The table {table} exists with other columns.")


def append(catalog: Catalog, table: str, records: list[dict], batch: int) -> None:
    """Write the records of one batch, once: a batch that the table has already is left out.

    ``batch`` numbers grow. Raises TableGone when the table cannot take such rows any more.
    """
    from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
    from deltalake.exceptions import SchemaMismatchError

    try:
        folder = _folder(catalog, table)
        if DeltaTable.is_deltatable(str(folder)):
            written = DeltaTable(folder).transaction_version(APP_ID)
            if written is not None and written >= batch:
                return
        rows = pa.Table.from_pylist([_row(record) for record in records], SCHEMA)
        once = CommitProperties(app_transactions=[Transaction(APP_ID, batch)])
        write_deltalake(folder, rows, mode="append", commit_properties=once)
    except (CatalogError, SchemaMismatchError) as error:
        raise TableGone(str(error)) from error


def _folder(catalog: Catalog, table: str) -> Path:
    names = table.split(".")
    return catalog.schema_folder(*names[:2]) / names[2]


def _row(record: dict) -> dict:
    time = datetime.fromtimestamp(record["time_ms"] / 1000, UTC)
    return {
        "databricks_request_id": record["request_id"],
        "request_date": time.date(),
        "client_request_id": record["client_request_id"],
        "request_time": time,
        "status_code": record["status"],
        "sampling_fraction": 1.0,
        "execution_duration_ms": round(record["ms"]),
        "request": record["request"],
        "response": record["response"],
        "logging_error_codes": record["errors"],
        "served_entity_id": record["entity_id"],
        "requester": record["requester_id"],
    }


def texts(request: bytes, response: bytes, client_request_id: str | None) -> dict:
    """The part of a record that only an inference table needs."""
    errors = []
    if len(request) > MAX_TEXT:
        errors.append("MAX_REQUEST_SIZE_EXCEEDED")
    if len(response) > MAX_TEXT:
        errors.append("MAX_RESPONSE_SIZE_EXCEEDED")
    return {
        "request": _text(request),
        "response": _text(response),
        "client_request_id": client_request_id,
        "errors": errors,
    }


def _text(data: bytes) -> str | None:
    return None if len(data) > MAX_TEXT else data.decode("utf-8", "replace")
