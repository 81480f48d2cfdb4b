"""One update as a child process: what it is given, and what it says while it runs."""

from __future__ import annotations

import json
import logging
import os
import shutil
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

from ..engine.sail_names import engine_catalog
from ..errors import ApiError
from ..runs.task_inputs import local_file, task_values
from ..runs.task_process import (
    TaskOutcome,
    TaskProcess,
    TaskStartError,
    task_environment,
    unpack_wheels,
)
from .pipeline_spec import default_schema, sources, wheels

log = logging.getLogger("local_workspace.pipelines")
HOST_FILE = Path(__file__).parents[1] / "children" / "pipeline_host.py"
LINE_LIMIT = 4 * 1024 * 1024
_END = b"\nnull\n"
_SOURCES = (".py", ".sql")


class UpdateProcess:
    """The process of one update and the pipe on which it reports.

    ``listener`` gets each message, a dictionary, in order, on a thread of its own.
    Raises TaskStartError when a source file or wheel is missing.
    """

    def __init__(
        self, services, update: dict, folder: Path, token: str, listener: Callable[[dict], None]
    ) -> None:
        settings = services.settings
        catalog = services.engine.catalog
        config = json.loads(update["config"])
        request = json.loads(update["request"])
        folder.mkdir(parents=True, exist_ok=True)
        wheel_folders = unpack_wheels(wheels(config), folder, partial(local_file, services))
        root = config.get("root_path")
        spec = {
            "pipeline_id": update["pipeline_id"],
            "update_id": update["update_id"],
            "catalog": (config.get("catalog") or catalog.default).lower(),
            "schema": default_schema(config).lower(),
            "engine_catalogs": {name: engine_catalog(name) for name in catalog.catalogs()},
            "configuration": config.get("configuration") or {},
            "sources": _source_files(services, config, wheel_folders),
            "root": str(_place(services, root, wheel_folders)) if root else None,
            "tables_root": str(settings.tables),
            "volumes_root": str(settings.volumes),
            "scratch": str(folder / "scratch"),
        } | {name: request.get(name) for name in _REQUEST}
        spec_file = folder / "update.json"
        spec_file.write_text(json.dumps(spec))
        pipe = folder / "messages"
        os.mkfifo(pipe, 0o600)
        # Open at both ends, so that neither side waits for the other and a child that is killed
        # does not end the reading: the end is written here, after the child's last word.
        self._pipe = os.open(pipe, os.O_RDWR | os.O_CLOEXEC)
        self._reader = threading.Thread(target=self._read, args=(listener,), daemon=True)
        try:
            self._process = TaskProcess(
                {"kind": "file", "python_file": str(HOST_FILE), "wheels": wheel_folders,
                 "arguments": [str(spec_file), str(pipe)]},
                folder, settings.job_python,
                task_environment(task_values(services, token), wheel_folders), settings.log_cap,
            )  # fmt: skip
        except BaseException:
            os.close(self._pipe)
            raise
        self._reader.start()

    def wait(self, grace: float) -> TaskOutcome:
        """Wait for the end of the process and of what it said."""
        try:
            return self._process.wait(None, grace)
        finally:
            os.write(self._pipe, _END)
            self._reader.join(30)
            os.close(self._pipe)

    def stop(self, reason: str, grace: float) -> None:
        """SIGTERM, then SIGKILL to the whole group. The first reason is kept."""
        self._process.stop(reason, grace)

    def _read(self, listener: Callable[[dict], None]) -> None:
        with open(self._pipe, "rb", closefd=False) as stream:
            while line := stream.readline(LINE_LIMIT):
                try:
                    message = json.loads(line)
                except ValueError:
                    # The empty line before the end, or one that a kill cut off.
                    continue
                if message is None:
                    return
                try:
                    listener(message)
                except Exception:
                    log.exception("a message of an update could not be kept")


_REQUEST = ("full_refresh", "refresh_selection", "full_refresh_selection", "validate_only")


def clear(folder: Path) -> None:
    """Remove what only a running update needs; its logs stay."""
    for name in ("scratch", "wheels"):
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / "messages").unlink(missing_ok=True)


def _source_files(services, config: dict, wheel_folders: list[str]) -> list[dict]:
    """The source files as {path: as the spec names it, place: on disk}, globs in name order."""
    found: dict[str, str] = {}
    for kind, path in sources(config):
        base = path.removesuffix("/**") if kind == "glob" else path
        place = _place(services, base, wheel_folders)
        if base != path and place.is_dir():
            for entry in sorted(place.rglob("*")):
                if entry.suffix in _SOURCES and "__pycache__" not in entry.parts:
                    found.setdefault(f"{base}/{entry.relative_to(place)}", str(entry))
        elif base == path and place.is_file() and place.suffix in _SOURCES:
            found.setdefault(path, str(place))
        else:
            text = f"{path} names no source file here; notebooks are not computed."
            raise TaskStartError("RESOURCE_NOT_FOUND", text)
    if not found:
        raise TaskStartError("RESOURCE_NOT_FOUND", "The libraries name no source file.")
    return [{"path": path, "place": place} for path, place in found.items()]


def _place(services, path: str, wheel_folders: list[str]) -> Path:
    """A relative path lies in one of the wheels; others are looked up in the workspace."""
    if path.startswith("/Volumes/"):
        try:
            return services.volumes.locate(path)[0]
        except ApiError as error:
            raise TaskStartError("RESOURCE_NOT_FOUND", error.message) from error
    if path.startswith("/"):
        return local_file(services, path)
    for folder in wheel_folders:
        place = Path(folder, path)
        if place.exists() and place.resolve().is_relative_to(Path(folder).resolve()):
            return place
    raise TaskStartError("RESOURCE_NOT_FOUND", f"{path} is in none of the pipeline's wheels.")
