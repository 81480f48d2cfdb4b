"""Registered models, read from MLflow's own database: no server is started to look something up.

Only reads: every write goes through MLflow itself. Importing MLflow here would cost this process
200 MB.
"""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ..errors import not_found
from ..settings import Settings

_DELETED = "Deleted_Internal"
_LOGGED_MODEL = re.compile(r"models:/(m-[0-9a-f]+)$")


class ModelRegistry:
    """Rows as dictionaries of MLflow's columns; times in milliseconds since the epoch."""

    def __init__(self, settings: Settings) -> None:
        self._database = settings.data / "mlflow.db"
        self._artifacts = settings.artifacts

    def models(self, catalog: str | None = None, schema: str | None = None) -> list[dict]:
        """Registered models by name; only three-part names belong to a catalog and schema."""
        rows = self.all_models()
        wanted = [catalog, schema]
        found = []
        for row in rows:
            parts = row["name"].split(".")
            fits = zip(wanted, parts, strict=False)
            if len(parts) == 3 and all(want in (None, part) for want, part in fits):
                found.append(row)
        return found

    def all_models(self) -> list[dict]:
        """Registered models by name, also those that are in no schema."""
        return self._rows("SELECT * FROM registered_models ORDER BY name")

    def model(self, name: str) -> dict:
        """Raises ApiError 404 for an unknown name."""
        rows = self._rows("SELECT * FROM registered_models WHERE name = ?", name)
        if not rows:
            raise not_found(f"Registered model '{name}' does not exist.")
        return rows[0]

    def versions(self, name: str) -> list[dict]:
        """Versions of a model, oldest first. Raises ApiError 404 for an unknown name."""
        self.model(name)
        return self._rows(
            "SELECT * FROM model_versions WHERE name = ? AND current_stage != ? ORDER BY version",
            name, _DELETED,
        )  # fmt: skip

    def version(self, name: str, number: int) -> dict:
        """Raises ApiError 404 when there is no such version."""
        rows = self._rows(
            "SELECT * FROM model_versions WHERE name = ? AND version = ? AND current_stage != ?",
            name, number, _DELETED,
        )  # fmt: skip
        if not rows:
            raise not_found(f"Registered model '{name}' has no version {number}.")
        return rows[0]

    def aliases(self, name: str) -> dict[str, int]:
        """Version numbers by alias."""
        rows = self._rows(
            "SELECT alias, version FROM registered_model_aliases WHERE name = ? ORDER BY alias",
            name,
        )
        return {row["alias"]: row["version"] for row in rows}

    def folder(self, name: str, number: int) -> Path:
        """Where the files of a version are. Raises ApiError 404 when there is none here."""
        row = self.version(name, number)
        place = row["storage_location"] or row["source"] or ""
        logged = _LOGGED_MODEL.match(place)
        if logged:
            found = self._rows(
                "SELECT artifact_location FROM logged_models WHERE model_id = ?", logged[1]
            )
            place = found[0]["artifact_location"] if found else ""
        folder = Path(unquote(urlsplit(place).path)).resolve()
        if urlsplit(place).scheme != "file" or not folder.is_relative_to(self._artifacts):
            raise not_found(f"Version {number} of '{name}' has no files in this workspace.")
        return folder

    def _rows(self, sql: str, *values: object) -> list[dict]:
        if not self._database.exists():
            return []
        address = f"{self._database.as_uri()}?mode=ro"
        with closing(sqlite3.connect(address, uri=True, timeout=10)) as db:
            db.row_factory = sqlite3.Row
            return [dict(row) for row in db.execute(sql, values)]
