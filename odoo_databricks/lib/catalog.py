"""What a workspace's catalog holds: its tables, and the columns of one table.

Both come from Unity Catalog, so that no warehouse has to be awake.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .client import transport_of
from .errors import translated

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

__all__ = ["RemoteColumn", "list_columns", "list_tables"]

# catalogs and schemas that describe the workspace itself
_OWN_CATALOGS = {"system", "samples", "__databricks_internal"}
_OWN_SCHEMAS = {"information_schema"}


@dataclass(frozen=True)
class RemoteColumn:
    """`type_text` as SQL has it: bigint, decimal(18,2), array<string> ..."""

    name: str
    type_text: str
    comment: str = ""


def list_tables(client: WorkspaceClient, *, limit: int = 5000) -> list[str]:
    """Names catalog.schema.table of tables and views that may be read, in order; `limit` at most.

    Raises WorkspaceError.
    """
    names: list[str] = []
    with translated(secrets=transport_of(client).secrets):
        for catalog in client.catalogs.list():
            if not catalog.name or catalog.name in _OWN_CATALOGS:
                continue
            for table in client.tables.list_summaries(catalog.name):
                parts = (table.full_name or "").split(".")
                if len(parts) == 3 and parts[1] not in _OWN_SCHEMAS:
                    names.append(table.full_name)
                    if len(names) >= limit:
                        return sorted(names)
    return sorted(names)


def list_columns(client: WorkspaceClient, table: str) -> list[RemoteColumn]:
    """The columns of catalog.schema.table in their order. Raises WorkspaceError (NotFound ...)."""
    with translated(secrets=transport_of(client).secrets):
        info = client.tables.get(table)
    ordered = sorted(info.columns or (), key=lambda column: column.position or 0)
    return [
        RemoteColumn(column.name or "", column.type_text or "", column.comment or "")
        for column in ordered
    ]
