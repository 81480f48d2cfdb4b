"""Where things are: the checkout, what set-up makes, what a site keeps."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ADDON = ROOT / "odoo_databricks"
BUILD = ROOT / "build"
REQUIREMENTS = ROOT / "requirements"


def setup_home() -> Path:
    """Folder of everything that set-up makes; `SETUP_HOME` moves it.

    The default is outside the checkout, so that a second clone need not download again.
    """
    home = Path(os.environ.get("SETUP_HOME") or "/var/cache/odoo_databricks").resolve()
    home.mkdir(parents=True, exist_ok=True)  # steps side by side may all be the first
    # PostgreSQL refuses to run as root: its user must be able to walk (not list) into this folder
    if home.stat().st_uid == os.geteuid() and not home.stat().st_mode & 0o001:
        home.chmod(home.stat().st_mode | 0o011)
    return home


def checkout_id() -> str:
    """Eight hex digits that tell this checkout from another one on the same machine."""
    return hashlib.sha256(str(ROOT).encode()).hexdigest()[:8]


def logs() -> Path:
    folder = setup_home() / "logs"
    folder.mkdir(exist_ok=True)
    return folder


def site_home(name: str) -> Path:
    """Folder of one site's state (credentials, workspace data, logs); ignored by git."""
    folder = ROOT / "var" / name
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    return folder


def fingerprint(*sources: Path) -> str:
    """One hash over the names and contents of files and folders (byte code left out)."""
    digest = hashlib.sha256()
    for source in sources:
        files = sorted(source.rglob("*")) if source.is_dir() else [source]
        for file in files:
            if file.is_file() and "__pycache__" not in file.parts:
                name = str(file.relative_to(source.parent))
                digest.update(name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def digest(document: object) -> str:
    """Hash of a JSON document."""
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
