"""Catalogs, schemas, volumes and tables as Unity Catalog's REST API shows them.

Times are in milliseconds since the epoch; an absent field is one that is not known.
"""

from __future__ import annotations

import json
import uuid
from pathlib import Path

from ..access.principals import OWNER
from ..engine.catalog import SYSTEM
from ..engine.table_info import Column, TableInfo
from ..engine.table_types import type_facts
from .objects import Facts


def metastore_id(org_id: str) -> str:
    """The one metastore of a workspace."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"metastore-{org_id}"))


def catalog_view(metastore: str, catalog: str, facts: Facts) -> dict:
    of_system = catalog == SYSTEM
    return {
        "name": catalog, "full_name": catalog, "metastore_id": metastore, "id": facts.object_id,
        "catalog_type": "SYSTEM_CATALOG" if of_system else "MANAGED_CATALOG",
        "isolation_mode": "OPEN", "securable_type": "CATALOG",
        "securable_kind": "CATALOG_SYSTEM" if of_system else "CATALOG_STANDARD",
        **_common(facts),
    }  # fmt: skip


def schema_view(metastore: str, catalog: str, schema: str, facts: Facts) -> dict:
    of_system = catalog == SYSTEM
    return {
        "name": schema, "catalog_name": catalog, "full_name": f"{catalog}.{schema}",
        "metastore_id": metastore, "schema_id": facts.object_id,
        "catalog_type": "SYSTEM_CATALOG" if of_system else "MANAGED_CATALOG",
        "securable_type": "SCHEMA", "securable_kind": "SCHEMA_STANDARD", **_common(facts),
    }  # fmt: skip


def volume_view(metastore: str, key: tuple[str, str, str], facts: Facts, folder: Path) -> dict:
    return {
        "catalog_name": key[0], "schema_name": key[1], "name": key[2], "full_name": ".".join(key),
        "metastore_id": metastore, "volume_id": facts.object_id, "volume_type": "MANAGED",
        "storage_location": folder.as_uri(), "securable_type": "VOLUME",
        "securable_kind": "VOLUME_STANDARD", **_common(facts),
    }  # fmt: skip


def _common(facts: Facts) -> dict:
    view = {
        "owner": facts.owner, "created_at": facts.created_ms, "created_by": facts.owner,
        "updated_at": facts.updated_ms, "updated_by": facts.owner,
    }  # fmt: skip
    if facts.comment is not None:
        view["comment"] = facts.comment
    if facts.properties:
        view["properties"] = facts.properties
    return view


def table_view(metastore: str, table: TableInfo, columns: bool = True, properties: bool = True):
    """A table; ``columns`` and ``properties`` say what is wanted beside its own facts."""
    view = {
        "catalog_name": table.catalog, "schema_name": table.schema, "name": table.name,
        "full_name": table.full_name, "table_type": table.kind, "metastore_id": metastore,
        "owner": OWNER.user_name, "created_by": OWNER.user_name, "updated_by": OWNER.user_name,
        "securable_type": "TABLE",
        "securable_kind": "TABLE_DELTA" if table.folder else "TABLE_SYSTEM",
        "data_source_format": "DELTA" if table.folder else "UNKNOWN_DATA_SOURCE_FORMAT",
    }  # fmt: skip
    if table.folder:
        view |= {
            "table_id": table.table_id, "storage_location": table.folder.as_uri(),
            "created_at": table.created_ms, "updated_at": table.updated_ms,
        }  # fmt: skip
    if table.comment:
        view["comment"] = table.comment
    if columns:
        view["columns"] = [_column_view(column) for column in table.columns]
    if properties:
        view["properties"] = _properties(table)
    return view


def _properties(table: TableInfo) -> dict[str, str]:
    if not table.folder:
        return {}
    return (table.properties or {}) | {
        "delta.lastUpdateVersion": str(table.version),
        "delta.lastCommitTimestamp": str(table.updated_ms),
    }


def _column_view(column: Column) -> dict:
    facts = type_facts(column.type_text)
    decimal = facts.name == "DECIMAL"
    view = {
        "name": column.name, "type_text": column.type_text, "type_name": facts.name,
        "type_json": json.dumps(column.field, separators=(",", ":")),
        "type_precision": facts.size if decimal else 0,
        "type_scale": facts.digits if decimal else 0, "position": column.position,
        "nullable": column.nullable,
    }  # fmt: skip
    if column.comment:
        view["comment"] = column.comment
    if column.partition_index is not None:
        view["partition_index"] = column.partition_index
    return view
