"""What a Delta log tells without an engine: its versions, and what a commit says of itself."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

LOG = "_delta_log"
_VERSIONED = re.compile(r"(\d{20})\.(?:json|checkpoint(?:\..+)?\.parquet)$")


def newest_version(folder: Path) -> int:
    """Number of the newest commit of a table's folder; -1 when nothing was ever committed."""
    try:
        names = os.listdir(folder / LOG)
    except (FileNotFoundError, NotADirectoryError):
        return -1
    return max((int(match.group(1)) for match in map(_VERSIONED.match, names) if match), default=-1)


def is_table(folder: Path) -> bool:
    """Whether a folder holds a Delta table: a log alone is what a broken CREATE leaves behind.

    The first commits go when the log is cleaned up, and then there is a checkpoint.
    """
    return commit_file(folder, 0).is_file() or (folder / LOG / "_last_checkpoint").is_file()


def commit_file(folder: Path, version: int) -> Path:
    return folder / LOG / f"{version:020}.json"


def commit_ms(folder: Path, version: int) -> int | None:
    """When a version was committed, in milliseconds since the epoch: the time of its file, which
    is what time travel goes by. None when the file was cleaned up."""
    try:
        return commit_file(folder, version).stat().st_mtime_ns // 1_000_000
    except FileNotFoundError:
        return None


def commit_info(folder: Path, version: int) -> dict:
    """The commitInfo of a version; empty when the commit has none or its file was cleaned up."""
    try:
        text = commit_file(folder, version).read_text()
    except FileNotFoundError:
        return {}
    for line in text.splitlines():
        if line.startswith('{"commitInfo"'):
            return json.loads(line)["commitInfo"]
    return {}
