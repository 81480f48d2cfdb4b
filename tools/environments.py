"""The Python environments: one a room, since their pins do not mix."""

from __future__ import annotations

import hashlib
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from tools import debian, paths
from tools.steps import run, step


@dataclass(frozen=True)
class Environment:
    """`name` and the pinned files of `requirements/` it is made of; all files constrain it."""

    name: str
    files: tuple[str, ...]

    @property
    def fingerprint(self) -> str:
        content = b"".join((paths.REQUIREMENTS / name).read_bytes() for name in self.files)
        version = ".".join(map(str, sys.version_info[:2])).encode()
        return hashlib.sha256(version + content).hexdigest()[:12]

    @property
    def folder(self) -> Path:
        return paths.setup_home() / "envs" / f"{self.name}-{self.fingerprint}"

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    def ensure(self) -> Path:
        """Make the environment unless it is there; return its Python."""
        folder = self.folder
        if (folder / "complete").exists():
            return self.python
        shutil.rmtree(folder, ignore_errors=True)
        with step(f"Python environment '{self.name}'"):
            if not _has_venv():
                debian.install("python3-venv")
            run([sys.executable, "-m", "venv", folder], log=f"venv-{self.name}")
            command: list[str | Path] = [folder / "bin" / "python", "-m", "pip", "install", "-q"]
            for name in self.files:
                command += ["-r", paths.REQUIREMENTS / name]
            run(command, log=f"pip-{self.name}", explain=_explain_pip)
            (folder / "complete").touch()
        return self.python


def _has_venv() -> bool:
    try:
        import ensurepip  # noqa: F401  (Debian leaves it out of its plain python3)
    except ImportError:
        return False
    return True


def _explain_pip(output: str) -> str | None:
    if "No matching distribution" in output or "Temporary failure" in output:
        return "pip found no package: is the package index reachable from this machine?"
    return None


def odoo(series: str) -> Environment:
    """Odoo's own pins, the addon's dependencies, and the test tools beside them."""
    major = series.split(".")[0]
    return Environment(f"odoo-{major}", (f"odoo-{major}.txt", "addon.txt", "test-odoo.txt"))


LAKEHOUSE = Environment("lakehouse", ("lakehouse.txt",))
CLIENTS = Environment("clients", ("clients.txt",))
JUDGE = Environment("judge", ("judge.txt",))
LINT = Environment("lint", ("lint.txt",))
E2E = Environment("e2e", ("e2e.txt",))
