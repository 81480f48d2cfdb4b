"""The command line: ``python -m local_workspace COMMAND --data DIR``."""

from __future__ import annotations

import argparse
import os
import sqlite3
import sys
from pathlib import Path

from ..errors import ApiError
from . import backup, credentials, doctor, lifecycle, serve
from .problems import Problem

DATA = "LOCAL_WORKSPACE_DATA"


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="local-workspace", description="The embedded workspace on this machine."
    )
    commands = top.add_subparsers(dest="command", required=True)
    common = argparse.ArgumentParser(add_help=False)
    given = os.environ.get(DATA)
    common.add_argument(
        "--data", type=Path, default=given and Path(given), required=not given,
        help=f"folder of the workspace (default: ${DATA})",
    )  # fmt: skip
    for room in (lifecycle, serve, credentials, backup, doctor):
        room.add_commands(commands, common)
    return top


def main(arguments: list[str] | None = None) -> int:
    """Run one command. Returns its exit code: 0, or what the command's help says."""
    os.umask(0o077)  # what a workspace holds is its owner's alone
    given = parser().parse_args(arguments)
    try:
        return given.run(given)
    except Problem as problem:
        print(problem, file=sys.stderr)
    except ApiError as error:
        print(error.message, file=sys.stderr)
    except sqlite3.DatabaseError as error:
        print(f"A database of the workspace: {error}. Run doctor.", file=sys.stderr)
    return 1
