"""Odoo 19's own ``upgrade_code``, kept to one folder.

The command of that name works on every addons path Odoo knows, its own and those of the user's
configuration included. Its function ``migrate`` takes the paths it is given, so that is called.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

_CALL = """
import sys
from odoo.cli.upgrade_code import migrate
from odoo.tools import parse_version
folder, addon = sys.argv[1:]
migrate([folder], addon + "/**/*", parse_version("17.0"), parse_version("19.0"))
"""


class UpgradeCodeError(Exception):
    """``upgrade_code`` could not be run; the message has its output."""


@dataclass(frozen=True)
class Odoo19:
    """An Odoo 19: its Python, and the folder that holds the package ``odoo``."""

    python: Path
    pythonpath: Path

    def environment(self) -> dict[str, str]:
        """Environment of a child process; no configuration file of the user is read."""
        return {**os.environ, "PYTHONPATH": str(self.pythonpath), "ODOO_RC": os.devnull}


def upgrade_code(odoo: Odoo19, folder: Path, addon: str, seconds: int = 120) -> None:
    """Rewrite ``folder/addon`` in place.

    Raises UpgradeCodeError when Odoo cannot be run or a script of it fails.
    """
    command = [str(odoo.python), "-c", _CALL, str(folder), addon]
    try:
        done = subprocess.run(
            command,
            env=odoo.environment(),
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UpgradeCodeError(f"upgrade_code of Odoo 19 did not run: {error}") from error
    if done.returncode != 0:
        raise UpgradeCodeError(f"upgrade_code of Odoo 19 failed:\n{done.stderr.strip()}")
