"""The page of one table: its versions and columns, read from its Delta log."""

from __future__ import annotations

import json
from pathlib import Path

from ..engine.catalog import Catalog
from ..engine.delta_log import commit_file, commit_info, newest_version
from .html import Html, facts, join, section, size, table, tag, time

MOST_VERSIONS = 50


def last_change(folder: Path, version: int) -> tuple[int | None, str]:
    """When the newest version was made (milliseconds), and by which operation."""
    info = commit_info(folder, version)
    moment = info.get("timestamp")
    if moment is None:
        try:
            moment = int(commit_file(folder, version).stat().st_mtime * 1000)
        except FileNotFoundError:
            return None, ""
    return int(moment), str(info.get("operation", ""))


def render(catalog: Catalog, name: tuple[str, str, str]) -> Html:
    """Raises CatalogError for a table that does not exist."""
    folder = catalog.table_folder(*name)
    newest = newest_version(folder)
    files = [path.stat().st_size for path in folder.rglob("*.parquet") if path.is_file()]
    oldest = max(newest - MOST_VERSIONS + 1, 0)
    return join(
        (
            tag("h2", ".".join(name)),
            facts(
                [
                    ("Newest version", newest),
                    ("Data files on disk", f"{len(files)}, {size(sum(files))}"),
                ]
            ),
            section("columns", "Columns", _columns(folder, newest)),
            section("versions", "Versions", _versions(folder, newest, oldest)),
        )
    )


def _versions(folder: Path, newest: int, oldest: int) -> Html:
    rows = []
    for version in range(newest, oldest - 1, -1):
        info = commit_info(folder, version)
        moment, operation = last_change(folder, version)
        metrics = info.get("operationMetrics") or {}
        shown = ", ".join(f"{key} {value}" for key, value in list(metrics.items())[:4])
        rows.append([version, time(moment), operation, shown, info.get("engineInfo") or ""])
    columns = [("Version", "figure"), ("Made", "time"), ("Operation", ""), ("Figures", "wide"),
               ("Engine", "wide")]  # fmt: skip
    return table(columns, rows)


def _columns(folder: Path, newest: int) -> Html:
    """The schema of the newest commit that still has one as text."""
    for version in range(newest, -1, -1):
        try:
            lines = commit_file(folder, version).read_text().splitlines()
        except FileNotFoundError:
            break
        for line in lines:
            if line.startswith('{"metaData"'):
                schema = json.loads(json.loads(line)["metaData"]["schemaString"])
                rows = [[f["name"], _type(f["type"]), "" if f["nullable"] else "not null"]
                        for f in schema["fields"]]  # fmt: skip
                return table([("Column", ""), ("Type", ""), ("", "wide")], rows)
    return tag("p", "They are in a checkpoint: ask DESCRIBE TABLE.", class_="none")


def _type(kind: str | dict) -> str:
    if isinstance(kind, str):
        return kind
    if kind["type"] == "array":
        return f"array<{_type(kind['elementType'])}>"
    if kind["type"] == "map":
        return f"map<{_type(kind['keyType'])}, {_type(kind['valueType'])}>"
    inner = ", ".join(f"{field['name']}: {_type(field['type'])}" for field in kind["fields"])
    return f"struct<{inner}>"
