"""A data folder that was moved: the places of artifacts in MLflow's database move with it."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing

from ..settings import Settings
from ..store import Store

log = logging.getLogger("local_workspace.mlflow")
_KEY = "artifact_root"
_PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
    ("logged_models", "artifact_location"),
)


def follow_folder(settings: Settings, store: Store) -> None:
    """Rename the places that lie under the root of the last start; before MLflow is used."""
    present = settings.artifacts.as_uri() + "/"
    before = store.meta(_KEY)
    database = settings.data / "mlflow.db"
    if before is not None and before != present and database.exists():
        with closing(sqlite3.connect(database, timeout=10)) as db, db:
            for table, column in _PLACES:
                db.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?)"
                    f" WHERE substr({column}, 1, ?) = ?",
                    (present, len(before) + 1, len(before), before),
                )
        log.info("places of artifacts were moved from %s to %s", before, present)
    store.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", _KEY, present)
