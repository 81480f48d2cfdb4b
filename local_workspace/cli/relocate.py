"""MLflow's database names its artifacts by absolute place; a moved workspace needs new names."""

from __future__ import annotations

import sqlite3
from pathlib import Path


def relocate(database: Path, old: str, new: str) -> None:
    """Replace the folder ``old`` by ``new`` where a text begins with it, as path or file URI."""
    if old == new or not database.exists():
        return
    pairs = [(f"{old}/", f"{new}/"), (f"{Path(old).as_uri()}/", f"{Path(new).as_uri()}/")]
    db = sqlite3.connect(database)
    try:
        with db:
            for table, column in _text_columns(db):
                db.executemany(
                    f'UPDATE "{table}" SET "{column}" = ?2 || substr("{column}", length(?1) + 1)'
                    f' WHERE substr("{column}", 1, length(?1)) = ?1',
                    pairs,
                )
    finally:
        db.close()


def _text_columns(db: sqlite3.Connection) -> list[tuple[str, str]]:
    tables = db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    return [
        (table, column)
        for (table,) in tables
        for _, column, kind, *_ in db.execute(f'PRAGMA table_info("{table}")').fetchall()
        if "CHAR" in kind.upper() or "TEXT" in kind.upper()
    ]
