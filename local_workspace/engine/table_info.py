"""What a table says of itself in its Delta log: columns, comment, properties, times.

Read by delta-rs, not by the engine, and kept until the table has a newer version.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from pathlib import Path

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from .catalog import Catalog
from .delta_log import LOG, commit_file, commit_ms, newest_version
from .table_types import sql_type

KEEP = 2000
TRIES = 5


@dataclass(frozen=True)
class Column:
    """One column. ``position`` counts from 0, ``partition_index`` too where it is a partition's.

    ``type_text`` is Spark's, e.g. ``decimal(18,2)``; ``field`` the column in the log's JSON.
    """

    name: str
    position: int
    type_text: str
    nullable: bool
    field: dict
    comment: str | None = None
    partition_index: int | None = None

    @property
    def default(self) -> str | None:
        """SQL text of the default value."""
        return self.field["metadata"].get("CURRENT_DEFAULT")

    @property
    def generation(self) -> str | None:
        """SQL text that a generated column is computed by."""
        return self.field["metadata"].get("delta.generationExpression")

    @property
    def identity(self) -> tuple[int, int] | None:
        """(start, increment) of an identity column."""
        known = self.field["metadata"]
        start = known.get("delta.identity.start")
        return None if start is None else (int(start), int(known["delta.identity.step"]))


@dataclass(frozen=True, eq=False)
class TableInfo:
    """One table or view; times in milliseconds since the epoch. A view has no folder.

    Two are equal when they are the same object, so that what is made of one can be kept beside it.
    """

    catalog: str
    schema: str
    name: str
    columns: tuple[Column, ...]
    kind: str = "MANAGED"
    comment: str | None = None
    properties: dict[str, str] | None = None
    table_id: str = ""
    created_ms: int = 0
    updated_ms: int = 0
    version: int = 0
    folder: Path | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        return self.catalog, self.schema, self.name

    @property
    def full_name(self) -> str:
        return ".".join(self.key)

    @property
    def partition_columns(self) -> list[Column]:
        parts = [column for column in self.columns if column.partition_index is not None]
        return sorted(parts, key=lambda column: column.partition_index)


class Tables:
    """Facts of tables by name; those of a version that was read before are not read again."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._lock = threading.Lock()
        self._known: dict[Path, tuple[tuple[int, int], TableInfo]] = {}

    def info(self, catalog: str, schema: str, table: str) -> TableInfo:
        """Facts of a table. Raises CatalogError when there is no such table."""
        for _ in range(TRIES):
            folder = self._catalog.table_folder(catalog, schema, table)
            try:
                return self._info(folder)
            except (DeltaError, FileNotFoundError) as error:
                # It may have been dropped, or made anew, while it was read: look again.
                failure = error
        raise failure

    def _info(self, folder: Path) -> TableInfo:
        mark = _mark(folder)
        with self._lock:
            known = self._known.get(folder)
        if known is not None and known[0] == mark:
            return known[1]
        found = _read(folder)
        with self._lock:
            while len(self._known) >= KEEP:
                del self._known[next(iter(self._known))]
            self._known[folder] = (mark, found)
        return found


def _mark(folder: Path) -> tuple[int, ...]:
    """Changes with every commit, and when the table is dropped and made again."""
    version = newest_version(folder)
    try:
        newest = commit_file(folder, version).stat()
    except FileNotFoundError:  # cleaned up after a checkpoint
        newest = (folder / LOG).stat()
    return version, newest.st_ino, newest.st_mtime_ns, newest.st_size


def _read(folder: Path) -> TableInfo:
    table = DeltaTable(folder, without_files=True)
    metadata = table.metadata()
    version = table.version()
    updated = commit_ms(folder, version) or metadata.created_time or 0
    fields = json.loads(table.schema().to_json())["fields"]
    partitions = metadata.partition_columns
    return TableInfo(
        *folder.parts[-3:],
        columns=tuple(_column(field, at, partitions) for at, field in enumerate(fields)),
        comment=metadata.description,
        properties=dict(metadata.configuration),
        table_id=str(metadata.id),
        created_ms=metadata.created_time or updated,
        updated_ms=updated,
        version=version,
        folder=folder,
    )


def _column(field: dict, at: int, partitions: list[str]) -> Column:
    field = field | {"metadata": field.get("metadata") or {}}
    name = field["name"]
    return Column(
        name, at, sql_type(field["type"]), field["nullable"], field,
        field["metadata"].get("comment"),
        partitions.index(name) if name in partitions else None,
    )  # fmt: skip
