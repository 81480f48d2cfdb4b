"""Which catalogs, schemas and tables exist: the tables folder is the only truth.

A schema is a folder ``<tables>/<catalog>/<schema>``; a table is a folder in it with a commit in
its Delta log. Names are lower case, as Unity Catalog stores them.
"""

from __future__ import annotations

import re
import shutil
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from .delta_log import is_table
from .folder_names import FolderNames

SYSTEM = "system"
INFORMATION_SCHEMA = "information_schema"
_DROPPED = ".dropped-"
_NAME = re.compile(r"[a-z0-9_][a-z0-9_\- ]{0,254}")


class CatalogError(Exception):
    """A name that cannot be used or does not exist; carries the SQL error class and SQLSTATE."""

    def __init__(self, error_class: str, sql_state: str, message: str) -> None:
        super().__init__(f"[{error_class}] {message} SQLSTATE: {sql_state}")
        self.error_class = error_class
        self.sql_state = sql_state


class Catalog:
    """Names and places below one tables folder."""

    def __init__(self, root: Path, default: str) -> None:
        self.root = root
        self.default = default
        self._folders = FolderNames(lambda name: _NAME.fullmatch(name) is not None)

    def catalogs(self) -> list[str]:
        return sorted(self._folders.of(self.root))

    def schemas(self, catalog: str) -> list[str]:
        return sorted(self._folders.of(self.catalog_folder(catalog)))

    def tables(self, catalog: str, schema: str) -> list[str]:
        folder = self.schema_folder(catalog, schema)
        return sorted(name for name in self._folders.of(folder) if is_table(folder / name))

    def has_table(self, catalog: str, schema: str, table: str) -> bool:
        """Whether a table of these lower-case names exists; no error for what is no name."""
        key = (catalog, schema, table)
        return all(map(_NAME.fullmatch, key)) and is_table(self.root.joinpath(*key))

    def find(self, names: set[str]) -> dict[tuple[str, str, str], Path]:
        """The tables, in any schema, whose own lower-case name is one of ``names``."""
        found = {}
        for catalog, schema in self.all_schemas():
            folder = self.root / catalog / schema
            with suppress(FileNotFoundError):  # a schema may be dropped at any moment
                for name in names & self._folders.of(folder):
                    if is_table(folder / name):
                        found[catalog, schema, name] = folder / name
        return found

    def all_tables(self) -> dict[tuple[str, str, str], Path]:
        """Every table as (catalog, schema, table) -> its Delta folder."""
        found = {}
        for catalog, schema in self.all_schemas():
            with suppress(CatalogError):  # a schema may be dropped at any moment
                for table in self.tables(catalog, schema):
                    found[catalog, schema, table] = self.root / catalog / schema / table
        return found

    def all_schemas(self) -> list[tuple[str, str]]:
        return [(name, schema) for name in self.catalogs() for schema in self.schemas(name)]

    def catalog_folder(self, catalog: str) -> Path:
        folder = self.root / checked(catalog)
        if not folder.is_dir():
            text = f"Catalog '{catalog}' was not found."
            raise CatalogError("NO_SUCH_CATALOG_EXCEPTION", "42704", text)
        return folder

    def schema_folder(self, catalog: str, schema: str) -> Path:
        folder = self.catalog_folder(catalog) / checked(schema)
        if not folder.is_dir():
            raise CatalogError(
                "SCHEMA_NOT_FOUND", "42704", f"The schema `{catalog}`.`{schema}` cannot be found."
            )
        return folder

    def table_folder(self, catalog: str, schema: str, table: str) -> Path:
        folder = self.schema_folder(catalog, schema) / checked(table)
        if not is_table(folder):
            raise CatalogError(
                "TABLE_OR_VIEW_NOT_FOUND",
                "42P01",
                f"The table or view `{catalog}`.`{schema}`.`{table}` cannot be found.",
            )
        return folder

    def create_schema(self, catalog: str, schema: str, if_not_exists: bool) -> None:
        folder = self.catalog_folder(catalog) / checked(schema)
        try:
            folder.mkdir()
        except FileExistsError as error:
            if not if_not_exists:
                text = f"Cannot create schema `{schema}` because it already exists."
                raise CatalogError("SCHEMA_ALREADY_EXISTS", "42P06", text) from error

    def drop_schema(self, catalog: str, schema: str, cascade: bool) -> None:
        if not cascade and self.tables(catalog, schema):
            text = f"Cannot drop schema `{schema}`: it contains tables; use CASCADE."
            raise CatalogError("SCHEMA_NOT_EMPTY", "2BP01", text)
        remove(lambda: self.schema_folder(catalog, schema), self.root)

    def drop_table(self, catalog: str, schema: str, table: str) -> None:
        remove(lambda: self.table_folder(catalog, schema, table), self.root)


def remove(find: Callable[[], Path], root: Path) -> None:
    """Remove the folder that ``find`` names; it raises CatalogError when there is none (any more).

    Renamed first: the name is free at once, and what a crash leaves is removed by clear_dropped.
    """
    gone = root / f"{_DROPPED}{uuid.uuid4().hex}"
    while True:
        with suppress(FileNotFoundError):  # somebody else was faster
            find().rename(gone)
            break
    shutil.rmtree(gone, ignore_errors=True)


def clear_dropped(root: Path) -> None:
    """Remove what an earlier process had dropped but not yet deleted when it ended."""
    for entry in root.glob(_DROPPED + "*"):
        shutil.rmtree(entry, ignore_errors=True)


def checked(name: str) -> str:
    """Return the folder name for an identifier; refuse what could leave the tables folder."""
    lowered = name.lower()
    if not _NAME.fullmatch(lowered):
        raise CatalogError("INVALID_IDENTIFIER", "42602", f"The name `{name}` cannot be used.")
    return lowered
