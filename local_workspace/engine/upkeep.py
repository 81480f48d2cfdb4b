"""Care of Delta tables through delta-rs: history, details, restore, compaction, vacuum, columns.

What delta-rs says is turned into the rows that Databricks documents for each statement.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from deltalake import DeltaTable, Field
from deltalake.exceptions import CommitFailedError, DeltaError

from .delta_log import LOG, commit_file, commit_ms, newest_version
from .interface import EngineError
from .table_info import TableInfo

RETAIN_HOURS = 168


def history(table: TableInfo, limit: int | None) -> list[dict]:
    """The commits of a table, newest first, at most ``limit`` of them."""
    with _delta_errors():
        commits = DeltaTable(table.folder, without_files=True).history(limit)
    return [_commit(table.folder, commit) for commit in commits]


def _commit(folder: Path, commit: dict) -> dict:
    row = {key: commit.get(key) for key in ("version", "operation", "readVersion",
           "isolationLevel", "isBlindAppend", "userMetadata", "engineInfo", "userId",
           "userName")}  # fmt: skip
    row["timestamp"] = _moment(commit_ms(folder, commit["version"]) or commit.get("timestamp"))
    row["operationParameters"] = _as_text(commit.get("operationParameters") or {})
    row["operationMetrics"] = _as_text(commit.get("operationMetrics") or {})
    return row


def _as_text(values: dict) -> dict[str, str]:
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in
            values.items()}  # fmt: skip


def detail(table: TableInfo) -> dict:
    """Facts of a table: its files, versions and features."""
    with _delta_errors():
        delta = DeltaTable(table.folder)
        sizes = _live_sizes(delta)
        protocol = delta.protocol()
    features = {*(protocol.reader_features or []), *(protocol.writer_features or [])}
    return {
        "format": "delta", "id": table.table_id, "name": table.full_name,
        "description": table.comment, "location": table.folder.as_uri(),
        "createdAt": _moment(table.created_ms), "lastModified": _moment(table.updated_ms),
        "partitionColumns": [column.name for column in table.partition_columns],
        "clusteringColumns": [], "numFiles": len(sizes), "sizeInBytes": sum(sizes),
        "properties": table.properties, "minReaderVersion": protocol.min_reader_version,
        "minWriterVersion": protocol.min_writer_version, "tableFeatures": sorted(features),
        "statistics": {},
    }  # fmt: skip


def restore(table: TableInfo, target: int | dt.datetime) -> dict:
    """Make an earlier version the newest one. Returns what was removed and brought back."""
    with _delta_errors():
        delta = DeltaTable(table.folder)
        _check_restore(table, target)
        delta.restore(target)
        made = DeltaTable(table.folder)
    actions = _actions(table.folder, made.version())
    added = [action["add"]["size"] for action in actions if "add" in action]
    removed = [action["remove"].get("size") or 0 for action in actions if "remove" in action]
    sizes = _live_sizes(made)
    return {
        "table_size_after_restore": sum(sizes), "num_of_files_after_restore": len(sizes),
        "num_removed_files": len(removed), "num_restored_files": len(added),
        "removed_files_size": sum(removed), "restored_files_size": sum(added),
    }  # fmt: skip


def _check_restore(table: TableInfo, target: int | dt.datetime) -> None:
    newest = newest_version(table.folder)
    if isinstance(target, int):
        oldest = _oldest_version(table.folder)
        if not oldest <= target <= newest:
            raise _error(
                "DELTA_CANNOT_RESTORE_TABLE_VERSION", "22003",
                f"Cannot restore table to version {target}. Available versions: "
                f"[{oldest}, {newest}].",
            )  # fmt: skip
        return
    versions = range(_oldest_version(table.folder), newest + 1)
    times = [time for version in versions if (time := commit_ms(table.folder, version))]
    asked = int(target.timestamp() * 1000)
    if times and asked > max(times):
        raise _error(
            "DELTA_CANNOT_RESTORE_TIMESTAMP_GREATER", "22003",
            f"Cannot restore table to timestamp ({_shown(asked)}) as it is after the latest "
            f"version available. Please use a timestamp before ({_shown(max(times))}).",
        )  # fmt: skip
    if times and asked < min(times):
        raise _error(
            "DELTA_CANNOT_RESTORE_TIMESTAMP_EARLIER", "22003",
            f"Cannot restore table to timestamp ({_shown(asked)}) as it is before the earliest "
            f"version available. Please use a timestamp after ({_shown(min(times))}).",
        )  # fmt: skip


def optimize(table: TableInfo, zorder: list[str]) -> dict:
    """Write small files together, in z-order of some columns if asked. Returns path, metrics."""
    known = {column.name.lower(): column for column in table.columns}
    columns = []
    for name in zorder:
        column = known.get(name.lower())
        if column is None:
            raise _error("DELTA_ZORDERING_COLUMN_DOES_NOT_EXIST", "42703",
                         f"Z-Ordering column {name} does not exist in data schema.")  # fmt: skip
        if column.partition_index is not None:
            raise _error(
                "DELTA_ZORDERING_ON_PARTITION_COLUMN", "42P10",
                f"{name} is a partition column. Z-Ordering can only be performed on data columns.",
            )  # fmt: skip
        columns.append(column.name)
    with _delta_errors():
        optimizer = DeltaTable(table.folder).optimize
        metrics = optimizer.z_order(columns) if columns else optimizer.compact()
    added, removed = (_file_sizes(metrics[key]) for key in ("filesAdded", "filesRemoved"))
    return {
        "path": table.folder.as_uri(),
        "metrics": metrics | {"filesAdded": added, "filesRemoved": removed},
    }


def _file_sizes(given: str | dict) -> dict:
    sizes = json.loads(given) if isinstance(given, str) else given
    if not sizes.get("totalFiles"):
        return {"min": None, "max": None, "avg": 0.0, "totalFiles": 0, "totalSize": 0}
    return sizes


def vacuum(table: TableInfo, hours: int | None, dry_run: bool) -> list[str]:
    """Delete files that no version of the last ``hours`` needs. Returns their paths."""
    if hours is not None and hours < RETAIN_HOURS:
        raise EngineError(
            "Are you sure you would like to vacuum files with such a low retention period? If you "
            "have writers that are currently writing to this table, there is a risk that you may "
            f"corrupt the state of your Delta table. Retain {RETAIN_HOURS} hours or more."
        )
    with _delta_errors():
        gone = DeltaTable(table.folder).vacuum(hours, dry_run=dry_run, full=True)
    return sorted({(table.folder / path).as_uri() for path in gone})


def add_columns(table: TableInfo, fields: list[dict]) -> None:
    """Append columns, given as fields of a Delta schema. Rows that exist have null in them."""
    known = {column.name.lower() for column in table.columns}
    for field in fields:
        if field["name"].lower() in known:
            text = f"Cannot add column, because `{field['name']}` already exists."
            raise _error("FIELD_ALREADY_EXISTS", "42710", text)
        known.add(field["name"].lower())
    with _delta_errors():
        DeltaTable(table.folder).alter.add_columns(
            [Field.from_json(json.dumps(field)) for field in fields]
        )


def not_delta(table: TableInfo) -> EngineError:
    return _error("DELTA_TABLE_ONLY_OPERATION", "0AKDD",
                  f"{table.full_name} is not a Delta table.")  # fmt: skip


def _live_sizes(delta: DeltaTable) -> list[int]:
    return delta.get_add_actions(flatten=True).column("size_bytes").to_pylist()


def _actions(folder: Path, version: int) -> list[dict]:
    return [json.loads(line) for line in commit_file(folder, version).read_text().splitlines()]


def _oldest_version(folder: Path) -> int:
    names = (path.stem for path in (folder / LOG).glob("*.json"))
    return min((int(name) for name in names if name.isdigit()), default=0)


def _moment(millis: int | None) -> dt.datetime | None:
    return dt.datetime.fromtimestamp(millis / 1000, dt.UTC) if millis else None


def _shown(millis: int) -> str:
    return _moment(millis).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def _error(name: str, state: str, text: str) -> EngineError:
    return EngineError(f"[{name}] {text} SQLSTATE: {state}", name, state)


_KNOWN: list[tuple[str, Callable[[str], EngineError]]] = [
    ("Unsupported table features", lambda text: _error(
        "DELTA_UNSUPPORTED_FEATURES_FOR_WRITE", "56038", text)),
    ("Find missing file", lambda text: _error("DELTA_FILE_NOT_FOUND_DETAILED", "42K03", text)),
]  # fmt: skip


@contextmanager
def _delta_errors() -> Iterator[None]:
    """What delta-rs raises, as EngineError."""
    try:
        yield
    except CommitFailedError as error:
        raise _translated(str(error), "DELTA_CONCURRENT_WRITE", "2D521") from error
    except DeltaError as error:
        raise _translated(str(error), "INTERNAL_ERROR", "XX000") from error
    except BaseException as error:
        # A panic in Rust is no Exception for Python, and would end the thread without an answer.
        if type(error).__name__ != "PanicException":
            raise
        raise _translated(str(error), "INTERNAL_ERROR", "XX000") from error


def _translated(text: str, name: str, state: str) -> EngineError:
    for part, make in _KNOWN:
        if part in text:
            return make(text)
    return _error(name, state, text)
