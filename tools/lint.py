"""`make lint`: ruff on everything, pylint-odoo and the OCA checks on the addon."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from tools import paths

ADDON = "odoo_databricks"


def checks(python_bin_dir: Path) -> dict[str, list[str]]:
    """Name and command of each check, to be run from the root of the checkout.

    The check of translations is there only when the addon has any: its command fails without
    a file.
    """

    def command(name: str) -> str:
        return str(python_bin_dir / name)

    found = {
        "ruff-check": [command("ruff"), "check", "--quiet", "."],
        "ruff-format": [command("ruff"), "format", "--check", "--quiet", "."],
        "pylint-odoo": [command("pylint"), "--rcfile=.pylintrc", ADDON],
        "oca-checks": [command("oca-checks-odoo-module"), f"{ADDON}/__manifest__.py"],
    }
    translations = sorted((paths.ROOT / ADDON / "i18n").glob("*.po*"))
    if translations:
        names = [str(path.relative_to(paths.ROOT)) for path in translations]
        found["oca-checks-po"] = [command("oca-checks-po"), *names]
    return found


def run(python_bin_dir: Path, only: list[str] | None = None) -> int:
    """Run every check (or those named in `only`) and print what each found.

    Returns 0 without findings, 1 with findings or when a tool is missing. ValueError for a name
    that is no check.
    """
    found = checks(Path(python_bin_dir))
    unknown = sorted(set(only or ()) - set(found) - {"oca-checks-po"})
    if unknown:
        raise ValueError(f"no such check: {', '.join(unknown)} (there are {', '.join(found)})")
    failed = []
    for name, command in found.items():
        if only and name not in only:
            continue
        try:
            done = subprocess.run(
                command, cwd=paths.ROOT, capture_output=True, text=True, check=False
            )
        except FileNotFoundError:
            print(f"{name}: FAILED, {command[0]} is not there")
            failed.append(name)
            continue
        if done.returncode:
            failed.append(name)
            print((done.stdout + done.stderr).strip())
        print(f"{name}: {'FAILED' if done.returncode else 'no findings'}", flush=True)
    return 1 if failed else 0


def main(arguments: list[str] | None = None) -> int:
    """Command line of the hooks: `python3 -m tools.lint [check ...]`; makes the environment."""
    from tools.environments import LINT

    parser = argparse.ArgumentParser(prog="python3 -m tools.lint", description=__doc__)
    parser.add_argument("--bin", type=Path, help="folder of the tools (default: set up)")
    parser.add_argument("check", nargs="*")
    options = parser.parse_args(arguments)
    return run(options.bin or LINT.ensure().parent, options.check)


if __name__ == "__main__":
    sys.exit(main())
