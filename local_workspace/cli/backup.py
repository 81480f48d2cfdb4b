"""``backup`` and ``restore``: a workspace in one tar file.

A workspace may go on serving while it is copied. Databases are copied by SQLite itself, each at
one moment; a Delta table is copied by its log first, so that the copy is the table as it stood
then. To have one moment for all of it, stop the workspace before.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import shutil
import sqlite3
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from .. import __version__
from ..mlflow_server.relocate import relocate
from ..settings import Settings
from .problems import Problem
from .process import opened

FORMAT = 1
MANIFEST = "MANIFEST.json"
DELTA_LOG = "_delta_log"
LAST_CHECKPOINT = "_last_checkpoint"
# Of this process and no part of the workspace's state.
LEFT_OUT = {"spool", "logs", "workspace.pid"}
SIDE_FILES = (".db-wal", ".db-shm", ".db-journal", ".lock")
SPARE_BYTES = 64 * 1024 * 1024


def add_commands(commands, common: argparse.ArgumentParser) -> None:
    command = commands.add_parser(
        "backup", parents=[common], help="copy a workspace, also a running one, into a new tar"
    )
    command.add_argument("file", type=Path)
    command.set_defaults(run=backup)
    command = commands.add_parser(
        "restore", parents=[common], help="bring a backup into a new or empty folder"
    )
    command.add_argument("file", type=Path)
    command.set_defaults(run=restore)


def backup(given: argparse.Namespace) -> int:
    """Write the tar aside and give it its name when it is whole. Prints file, files, bytes."""
    settings, _ = opened(given.data)
    target = given.file.resolve()
    if target.exists():
        raise Problem(f"{target} exists already: a backup replaces no file.")
    if target.is_relative_to(settings.data):
        raise Problem(f"{target} is inside the workspace: choose a place outside.")
    aside = target.with_name(target.name + ".part")
    try:
        # Readable by its owner alone: it holds keys, though no token in clear.
        handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as out:
            with tarfile.open(fileobj=out, mode="w") as tar:
                files = _write(tar, settings)
            out.flush()
            os.fsync(out.fileno())
        aside.replace(target)
    except OSError as error:
        raise Problem(f"The backup could not be written: {error}.") from error
    finally:
        aside.unlink(missing_ok=True)
    print(json.dumps({"file": str(target), "files": files, "bytes": target.stat().st_size}))
    return 0


def restore(given: argparse.Namespace) -> int:
    """Unpack aside, check every file's hash, then put the folder in place in one step."""
    data = given.data.resolve()
    if data.exists() and (not data.is_dir() or any(data.iterdir())):
        raise Problem(f"{data} is not empty: restore into a new folder.")
    data.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(dir=data.parent, prefix=f".{data.name}.restore-"))
    try:
        manifest = _unpack(given.file, aside)
        # Before the folder moves: a workspace is found at its place complete or not at all.
        relocate(aside / "mlflow.db", manifest["data"], str(data))
        aside.replace(data)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    print(json.dumps({"data": str(data), "files": len(manifest["files"])}))
    return 0


# --- writing


def _write(tar: tarfile.TarFile, settings: Settings) -> int:
    """Databases first: every file that one of them names is copied after it."""
    hashes: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="workspace-backup-") as folder:
        for database in sorted(settings.data.glob("*.db")):
            copy = Path(folder) / database.name
            _copy_database(database, copy)
            _add(tar, copy, database.name, hashes)
    for path in _entries(settings.data):
        _add(tar, path, path.relative_to(settings.data).as_posix(), hashes)
    manifest = {
        "format": FORMAT,
        "version": __version__,
        "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "data": str(settings.data),
        "files": hashes,
    }
    content = json.dumps(manifest, indent=1).encode()
    entry = tarfile.TarInfo(MANIFEST)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))
    return len(hashes)


def _copy_database(source: Path, target: Path) -> None:
    reader = sqlite3.connect(f"{source.as_uri()}?mode=ro", uri=True, timeout=30)
    writer = sqlite3.connect(target)
    try:
        reader.backup(writer)
        writer.execute("PRAGMA journal_mode=DELETE")
    finally:
        writer.close()
        reader.close()


def _entries(folder: Path, top: bool = True) -> Iterator[Path]:
    """Folders and regular files below a folder; of a Delta table its log before its data.

    The pointer to the last checkpoint comes first of all, so that what it points to is there.
    Folders count: an empty one may be a schema or a volume.
    """

    def order(entry: os.DirEntry) -> tuple:
        return (entry.name != DELTA_LOG, entry.name != LAST_CHECKPOINT, entry.name)

    try:
        entries = sorted(os.scandir(folder), key=order)
    except FileNotFoundError:
        return  # gone since its parent was read
    for entry in entries:
        if top and (entry.name in LEFT_OUT or entry.name.endswith((".db", *SIDE_FILES))):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield Path(entry.path)
            yield from _entries(Path(entry.path), top=False)
        elif entry.is_file(follow_symlinks=False):
            yield Path(entry.path)


class _HashedReader:
    """A file of which exactly ``size`` bytes are read, hashed on the way."""

    def __init__(self, file, size: int) -> None:
        self._file, self._left = file, size
        self.hash = hashlib.sha256()

    def read(self, wanted: int) -> bytes:
        piece = self._file.read(min(wanted, self._left))
        self._left -= len(piece)
        self.hash.update(piece)
        return piece


def _add(tar: tarfile.TarFile, path: Path, name: str, hashes: dict[str, str]) -> None:
    if path.is_dir():
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode = tarfile.DIRTYPE, 0o700
        tar.addfile(entry)
        return
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return  # deleted since its folder was read
    with file:
        entry = tarfile.TarInfo(name)
        found = os.fstat(file.fileno())
        # What a log grows by from now on is not in the copy.
        entry.size, entry.mtime, entry.mode = found.st_size, found.st_mtime, 0o600
        reader = _HashedReader(file, entry.size)
        try:
            tar.addfile(entry, reader)
        except OSError as error:
            raise Problem(f"{path} could not be copied ({error}): run backup again.") from error
    hashes[name] = reader.hash.hexdigest()


# --- reading


def _unpack(file: Path, folder: Path) -> dict:
    """Unpack and return the manifest. Raises Problem for anything that backup does not write."""
    hashes: dict[str, str] = {}
    manifest = None
    try:
        with tarfile.open(file, mode="r:") as tar:
            for entry in tar:
                name = _safe_name(entry)
                if entry.isdir():
                    (folder / name).mkdir(parents=True, exist_ok=True)
                    continue
                free = shutil.disk_usage(folder).free
                if entry.size + SPARE_BYTES > free:
                    raise Problem(f"The disk is too full for {name} ({entry.size} bytes).")
                source = tar.extractfile(entry)
                if name == MANIFEST:
                    manifest = json.load(source)
                    break
                hashes[name] = _copy(source, folder / name)
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise Problem(f"{file} is no backup, or not a whole one: {error}.") from error
    except OSError as error:
        raise Problem(f"{file} could not be restored: {error}.") from error
    if not _understood(manifest):
        raise Problem(f"{file} is no backup, or not a whole one: it has no manifest.")
    wrong = sorted(set(manifest["files"].items()) ^ set(hashes.items()))
    if wrong:
        raise Problem(f"{file} is damaged: {wrong[0][0]} is not as it was written.")
    if not (folder / "workspace.db").exists():
        raise Problem(f"{file} holds no workspace.")
    return manifest


def _understood(manifest: object) -> bool:
    return (
        isinstance(manifest, dict)
        and manifest.get("format") == FORMAT
        and isinstance(manifest.get("files"), dict)
        and isinstance(manifest.get("data"), str)
    )


def _safe_name(entry: tarfile.TarInfo) -> str:
    """The entry's name. Raises Problem unless it is a plain file or folder inside the folder."""
    path = PurePosixPath(entry.name)
    inside = not path.is_absolute() and ".." not in path.parts and path.name
    plain = path.as_posix() == entry.name and "\0" not in entry.name
    if not (entry.isreg() or entry.isdir()) or not inside or not plain:
        raise Problem(f"The backup holds {entry.name!r}, which is no file of a workspace.")
    return entry.name


def _copy(source, target: Path) -> str:
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with target.open("xb") as out:
        while piece := source.read(1024 * 1024):
            digest.update(piece)
            out.write(piece)
        os.fchmod(out.fileno(), 0o600)
    return digest.hexdigest()
