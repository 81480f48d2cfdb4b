"""Catalogs, schemas and volumes: folders say which exist, rows what else is known of them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ..access.principals import OWNER
from ..engine.catalog import (
    INFORMATION_SCHEMA,
    SYSTEM,
    Catalog,
    CatalogError,
    checked,
    clear_dropped,
    remove,
)
from ..store import Store, now_ms

SCHEMA = """
CREATE TABLE IF NOT EXISTS catalog_objects (
    kind TEXT NOT NULL, full_name TEXT NOT NULL, object_id TEXT NOT NULL, owner TEXT NOT NULL,
    comment TEXT, properties TEXT NOT NULL, created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL, PRIMARY KEY (kind, full_name));
"""


@dataclass(frozen=True)
class Facts:
    """What a folder cannot say of its object; times in milliseconds since the epoch."""

    owner: str = OWNER.user_name
    comment: str | None = None
    properties: dict[str, str] = field(default_factory=dict)
    object_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    created_ms: int = field(default_factory=now_ms)
    updated_ms: int = field(default_factory=now_ms)


class Objects:
    """Objects above tables, by lower-case names. Raises CatalogError with SQL's error classes."""

    def __init__(self, store: Store, catalog: Catalog, volumes: Path) -> None:
        self._store = store
        self._catalog = catalog
        self._volumes = volumes
        store.declare(SCHEMA)
        clear_dropped(volumes)

    def catalogs(self) -> list[str]:
        return self._catalog.catalogs()

    def schemas(self, catalog: str) -> list[str]:
        """All schemas of a catalog, information_schema among them."""
        return sorted([*self._catalog.schemas(catalog), INFORMATION_SCHEMA])

    def volumes(self, catalog: str, schema: str) -> list[str]:
        self.require_schema(catalog, schema)
        folder = self._volumes / catalog / schema
        return sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []

    def require_schema(self, catalog: str, schema: str) -> None:
        if schema == INFORMATION_SCHEMA:
            self._catalog.schemas(catalog)
        else:
            self._catalog.schema_folder(catalog, schema)

    def catalog_facts(self, catalog: str) -> Facts:
        self._catalog.schemas(catalog)
        return self._facts("catalog", catalog, self._catalog.root / catalog)

    def schema_facts(self, catalog: str, schema: str) -> Facts:
        self.require_schema(catalog, schema)
        above = self._catalog.root / catalog
        folder = above if schema == INFORMATION_SCHEMA else above / schema
        return self._facts("schema", f"{catalog}.{schema}", folder)

    def volume_facts(self, catalog: str, schema: str, volume: str) -> Facts:
        folder = self.volume_folder(catalog, schema, volume)
        return self._facts("volume", f"{catalog}.{schema}.{volume}", folder)

    def volume_folder(self, catalog: str, schema: str, volume: str) -> Path:
        self.require_schema(catalog, schema)
        folder = self._volumes / catalog / schema / checked(volume)
        if not folder.is_dir():
            text = f"Volume '{catalog}.{schema}.{volume}' does not exist."
            raise CatalogError("VOLUME_DOES_NOT_EXIST", "42704", text)
        return folder

    def create_schema(
        self, catalog: str, schema: str, facts: Facts, if_not_exists: bool = False
    ) -> None:
        require_writable(catalog, schema)
        name = f"{catalog}.{schema}"
        self._create(
            "schema", name, facts, if_not_exists,
            lambda: self._catalog.create_schema(catalog, schema, if_not_exists=False),
            "SCHEMA_ALREADY_EXISTS",
        )  # fmt: skip

    def drop_schema(self, catalog: str, schema: str, cascade: bool) -> None:
        """Drop a schema; with ``cascade`` also its tables and volumes."""
        require_writable(catalog, schema)
        facts = self.schema_facts(catalog, schema)
        volumes = self.volumes(catalog, schema)
        if volumes and not cascade:
            text = f"Cannot drop a schema `{schema}` because it contains objects; use CASCADE."
            raise CatalogError("SCHEMA_NOT_EMPTY", "2BP01", text)
        for volume in volumes:
            self.drop_volume(catalog, schema, volume)
        self._catalog.drop_schema(catalog, schema, cascade)
        self._forget(facts)

    def create_volume(self, catalog: str, schema: str, volume: str, facts: Facts) -> None:
        require_writable(catalog, schema)
        folder = self._volumes / catalog / schema / checked(volume)
        self.require_schema(catalog, schema)

        def make() -> None:
            folder.parent.mkdir(parents=True, exist_ok=True)
            try:
                folder.mkdir()
            except FileExistsError as error:
                text = f"Volume '{catalog}.{schema}.{volume}' already exists"
                raise CatalogError("VOLUME_ALREADY_EXISTS", "42710", text) from error

        self._create("volume", f"{catalog}.{schema}.{volume}", facts, False, make)

    def drop_volume(self, catalog: str, schema: str, volume: str) -> None:
        facts = self.volume_facts(catalog, schema, volume)
        remove(lambda: self.volume_folder(catalog, schema, volume), self._volumes)
        self._forget(facts)

    def _create(
        self, kind: str, name: str, facts: Facts, optional: bool,
        make: Callable[[], None], exists: str = "",
    ) -> None:  # fmt: skip
        try:
            make()
        except CatalogError as error:
            if optional and error.error_class == exists:
                return
            raise
        with self._store.transaction() as db:
            db.execute("DELETE FROM catalog_objects WHERE kind = ? AND full_name = ?", (kind, name))
            db.execute(*_insert(kind, name, facts))

    def _facts(self, kind: str, name: str, folder: Path) -> Facts:
        """The row of an object; made on first sight of one that has a folder only."""
        row = self._row(kind, name)
        if row is None:
            since = _since(folder)
            made = Facts(created_ms=since, updated_ms=since)
            sql, values = _insert(kind, name, made)
            self._store.execute(sql, *values)
            row = self._row(kind, name)
        if row is None:  # dropped meanwhile
            return made
        return Facts(
            row["owner"], row["comment"], json.loads(row["properties"]), row["object_id"],
            row["created_ms"], row["updated_ms"],
        )  # fmt: skip

    def _row(self, kind: str, name: str):
        return self._store.row(
            "SELECT * FROM catalog_objects WHERE kind = ? AND full_name = ?", kind, name
        )

    def _forget(self, facts: Facts) -> None:
        # By its own id: an object of the same name may have been made since.
        self._store.execute("DELETE FROM catalog_objects WHERE object_id = ?", facts.object_id)


def require_writable(catalog: str, schema: str) -> None:
    """Raise CatalogError for what the workspace itself keeps."""
    if catalog == SYSTEM or schema == INFORMATION_SCHEMA:
        text = f"The schema `{catalog}`.`{schema}` is kept by the workspace and can only be read."
        raise CatalogError("INSUFFICIENT_PERMISSIONS", "42501", text)


def _since(folder: Path) -> int:
    with suppress(FileNotFoundError):  # dropped meanwhile
        return int(folder.stat().st_mtime * 1000)
    return now_ms()


def _insert(kind: str, name: str, facts: Facts) -> tuple[str, tuple]:
    return (
        "INSERT OR IGNORE INTO catalog_objects (kind, full_name, object_id, owner, comment,"
        " properties, created_ms, updated_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (kind, name, facts.object_id, facts.owner, facts.comment, json.dumps(facts.properties),
         facts.created_ms, facts.updated_ms),
    )  # fmt: skip
