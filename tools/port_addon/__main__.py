"""Command line: ``python3 -m tools.port_addon --python P --odoo-home DIR``."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from .port import port
from .text import PortError
from .upgrade_code import Odoo19, UpgradeCodeError

ROOT = Path(__file__).resolve().parents[2]


def main(arguments: list[str] | None = None) -> int:
    """Port the addon; 0 when done, 1 with a message when it cannot be ported."""
    parser = argparse.ArgumentParser(
        prog="python3 -m tools.port_addon", description="Make the 19.0 build of the addon."
    )
    parser.add_argument(
        "--python",
        type=Path,
        default=os.environ.get("ODOO_19_PYTHON"),
        help="Python of the environment of Odoo 19 (default: $ODOO_19_PYTHON)",
    )
    parser.add_argument(
        "--odoo-home",
        type=Path,
        default=os.environ.get("ODOO_19_PYTHONPATH"),
        help="folder that holds the package odoo of 19.0 (default: $ODOO_19_PYTHONPATH)",
    )
    parser.add_argument("--source", type=Path, default=ROOT / "odoo_databricks")
    parser.add_argument("--target", type=Path, default=ROOT / "build/19.0/odoo_databricks")
    options = parser.parse_args(arguments)
    if not options.python or not options.odoo_home:
        parser.error("Odoo 19 is not known: give --python and --odoo-home")
    try:
        done = port(options.source, options.target, Odoo19(options.python, options.odoo_home))
    except (PortError, UpgradeCodeError, FileNotFoundError) as error:
        print(f"port to 19.0: {error}", file=sys.stderr)
        return 1
    print(f"port to 19.0: {done.files} files, {len(done.rewritten)} rewritten, in {done.target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
