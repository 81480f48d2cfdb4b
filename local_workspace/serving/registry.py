"""Model versions, looked up in MLflow's own database: importing MLflow here would cost 200 MB."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit


def locate_version(mlflow_db: Path, model: str, version: str) -> str | None:
    """Where the artifacts of a model version are, or None when there is no such version.

    Returns a path, which loads without a tracking server; a ``models:/`` URI where the artifacts
    are not in files.
    """
    if not mlflow_db.exists():
        return None
    with closing(sqlite3.connect(f"{mlflow_db.as_uri()}?mode=ro", uri=True, timeout=10)) as db:
        try:
            found = db.execute(
                "SELECT coalesce(storage_location, source) FROM model_versions"
                " WHERE name = ? AND version = ? AND current_stage != 'Deleted_Internal'",
                (model, int(version)),
            ).fetchone()
        except sqlite3.OperationalError:
            return None  # MLflow has not made its tables yet
    if found is None:
        return None
    place = urlsplit(found[0])
    if place.scheme in ("", "file"):
        return unquote(place.path)
    return f"models:/{model}/{version}"


def missing(model: str, version: str) -> str:
    return f"Registered model {model} has no version {version}."
