"""``doctor``: what is wrong with a workspace or its machine, and the way out."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import shutil
import socket
import sqlite3
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from ..access import certificates
from ..access.tokens import Identity
from ..clock import now_ms
from ..settings import CATALOG, Settings
from ..store import Store
from .lifecycle import health
from .process import PidFile, no_workspace
from .serve import DEFAULT_PORT

LOW_BYTES = 1024**3
WARN_DAYS = 14


@dataclass(frozen=True)
class Finding:
    """One thing looked at. ``way_out`` stands where ``ok`` is false."""

    name: str
    ok: bool
    text: str
    way_out: str = ""


def add_commands(commands, common: argparse.ArgumentParser) -> None:
    command = commands.add_parser(
        "doctor", parents=[common], help="look for trouble; exit code 1 if there is some"
    )
    command.add_argument("--port", type=int, default=DEFAULT_PORT, help="to be served on")
    command.add_argument("--json", action="store_true", help="one JSON object a line")
    command.set_defaults(run=doctor)


def doctor(given: argparse.Namespace) -> int:
    settings = Settings(given.data)
    if not settings.database.exists():
        raise no_workspace(settings)
    findings = list(examine(settings, given.port))
    for finding in findings:
        if given.json:
            print(json.dumps(asdict(finding)))
            continue
        print(f"{'ok  ' if finding.ok else 'BAD '} {finding.name}: {finding.text}")
        if not finding.ok:
            print(f"     -> {finding.way_out}")
    return 0 if all(finding.ok for finding in findings) else 1


def examine(settings: Settings, port: int) -> Iterator[Finding]:
    holder = PidFile(settings.data).holder()
    yield check_process(settings, holder, port)
    yield check_rights(settings)
    yield check_disk(settings)
    for database in sorted(settings.data.glob("*.db")):
        yield check_database(database)
    yield check_engine(settings, holder)
    yield check_left_over(settings, holder)
    yield check_tokens(settings)
    if settings.tls_folder.exists():
        yield check_certificate(settings)


def check_process(settings: Settings, holder: dict | None, port: int) -> Finding:
    """The one that serves answers; or, if none does, its port is free."""
    if holder:
        said = health(settings, holder["host"])
        where = f"process {holder['pid']} on {holder['host']}"
        if said.get("status") == "ok":
            return Finding("process", True, f"{where} answers")
        way_out = "stop it and start it again; its log is logs/workspace.log."
        return Finding("process", False, f"{where} does not answer: {said}", way_out)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            way_out = "start the workspace with another --port."
            return Finding("port", False, f"{port} cannot be had: {error.strerror}", way_out)
    return Finding("port", True, f"not running; port {port} is free")


def check_rights(settings: Settings) -> Finding:
    """The folder is ours alone, and everything in it that a workspace writes can be written."""
    mode = stat.S_IMODE(settings.data.stat().st_mode)
    if mode & 0o077:
        way_out = f"chmod 700 {settings.data}"
        return Finding("rights", False, f"others can look into the folder ({mode:03o})", way_out)
    places = [settings.data, *settings.data.iterdir()]
    wrong = [place for place in places if not _usable(place)]
    if wrong:
        names = ", ".join(str(place) for place in wrong[:5])
        way_out = f"chown -R {os.getuid()} {settings.data}; chmod -R u+rwX {settings.data}"
        return Finding("rights", False, f"not to be written by this user: {names}", way_out)
    return Finding("rights", True, "the folder is its owner's alone and can be written")


def _usable(place: Path) -> bool:
    wanted = os.R_OK | os.W_OK | (os.X_OK if place.is_dir() else 0)
    return os.access(place, wanted) and place.stat().st_uid == os.getuid()


def check_disk(settings: Settings) -> Finding:
    free = shutil.disk_usage(settings.data).free
    text = f"{free / 1024**3:.1f} GiB free"
    way_out = "make room, or move the workspace: backup, then restore on a larger disk."
    return Finding("disk", free >= LOW_BYTES, text, way_out if free < LOW_BYTES else "")


def check_database(database: Path) -> Finding:
    name = f"database {database.name}"
    try:
        db = sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=10)
        try:
            said = [row[0] for row in db.execute("PRAGMA integrity_check(5)")]
        finally:
            db.close()
    except sqlite3.DatabaseError as error:
        said = [str(error)]
    if said == ["ok"]:
        return Finding(name, True, "whole")
    way_out = "stop the workspace and restore the last backup into a new folder."
    return Finding(name, False, "; ".join(said), way_out)


def check_engine(settings: Settings, holder: dict | None) -> Finding:
    """The engine of the workspace that runs, or one started to see whether it does."""
    from ..engine.interface import EngineUnavailable
    from ..engine.sail_process import SailProcess

    if holder:
        up = health(settings, holder["host"]).get("engine") == "up"
        way_out = "it is started again by itself; if it stays down, see logs/engine.log."
        return Finding("engine", up, "up" if up else "down", "" if up else way_out)
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "engine.log"
        process = SailProcess(lambda: [CATALOG], CATALOG, log)
        try:
            process.wait_up()
        except EngineUnavailable:
            said = log.read_text(errors="replace").strip()[-500:] or "it said nothing"
            way_out = "install requirements/lakehouse.txt into this environment again."
            return Finding("engine", False, f"does not start: {said}", way_out)
        finally:
            process.stop()
    return Finding("engine", True, "starts")


def check_left_over(settings: Settings, holder: dict | None) -> Finding:
    """Processes that write into the folder and belong to no serving process."""
    known = {os.getpid()}
    if holder and psutil.pid_exists(holder["pid"]):
        server = psutil.Process(holder["pid"])
        known |= {server.pid, *(child.pid for child in server.children(recursive=True))}
    left = [pid for pid in _writers(settings.data) if pid not in known]
    if not left:
        return Finding("left-over processes", True, "none")
    text = ", ".join(f"{pid} ({_name(pid)})" for pid in left)
    return Finding("left-over processes", False, text, f"kill {' '.join(map(str, left))}")


def _writers(folder: Path) -> Iterator[int]:
    """Processes whose output goes to a file below ``folder``, as that of all children does."""
    for pid in psutil.pids():
        for what in ("fd/1", "fd/2"):
            try:
                place = os.readlink(f"/proc/{pid}/{what}")
            except OSError:
                continue  # ended, or somebody else's
            if Path(place).is_relative_to(folder):
                yield pid
                break


def _name(pid: int) -> str:
    try:
        return psutil.Process(pid).name()
    except psutil.Error:
        return "ended"


def check_tokens(settings: Settings) -> Finding:
    """At least one token of the owner will still be good in two weeks."""
    limit = now_ms() + WARN_DAYS * 24 * 3600 * 1000
    try:
        tokens = Identity(Store(settings.database)).tokens()
    except sqlite3.DatabaseError as error:
        return Finding("tokens", False, str(error), "see the database above.")
    good = [t for t in tokens if t["expires_ms"] is None or t["expires_ms"] > limit]
    if good:
        return Finding("tokens", True, f"{len(good)} of {len(tokens)} good for {WARN_DAYS} days")
    text = f"none of {len(tokens)} will be good in {WARN_DAYS} days"
    return Finding("tokens", False, text, "make one: token create")


def check_certificate(settings: Settings) -> Finding:
    files = certificates.locate(settings.tls_folder)
    try:
        ends = certificates.expiry(files.leaf)
    except (OSError, ValueError) as error:
        way_out = f"delete {files.leaf} and start with --tls: it is made anew."
        return Finding("certificate", False, str(error), way_out)
    good = ends - dt.datetime.now(dt.UTC) > dt.timedelta(days=WARN_DAYS)
    way_out = "start the workspace again: it is renewed at a start."
    return Finding("certificate", good, f"good until {ends:%Y-%m-%d}", "" if good else way_out)
