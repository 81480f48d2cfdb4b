"""MLflow's database names artifacts by absolute place; a moved workspace needs new names."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from pathlib import Path

from ..settings import Settings
from ..store import Store

log = logging.getLogger("local_workspace.mlflow")
_KEY = "data_folder"


def follow_folder(settings: Settings, store: Store) -> None:
    """At a start, before MLflow is used: rename what lies in the folder of the last start."""
    present, before = str(settings.data), store.meta(_KEY)
    if before is not None and before != present:
        relocate(settings.data / "mlflow.db", before, present)
        log.info("places of artifacts were moved from %s to %s", before, present)
    store.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", _KEY, present)


def relocate(database: Path, old: str, new: str) -> None:
    """Replace the folder ``old`` by ``new`` where a text begins with it, as path or file URI."""
    if old == new or not database.exists():
        return
    pairs = [(f"{old}/", f"{new}/"), (f"{Path(old).as_uri()}/", f"{Path(new).as_uri()}/")]
    with closing(sqlite3.connect(database, timeout=10)) as db, db:
        for table, column in _text_columns(db):
            db.executemany(
                f'UPDATE "{table}" SET "{column}" = ?2 || substr("{column}", length(?1) + 1)'
                f' WHERE substr("{column}", 1, length(?1)) = ?1',
                pairs,
            )


def _text_columns(db: sqlite3.Connection) -> list[tuple[str, str]]:
    tables = db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    return [
        (table, column)
        for (table,) in tables
        for _, column, kind, *_ in db.execute(f'PRAGMA table_info("{table}")').fetchall()
        if "CHAR" in kind.upper() or "TEXT" in kind.upper()
    ]
