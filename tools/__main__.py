"""`python3 -m tools COMMAND`: what the Makefile's targets call."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from tools.steps import failures_explained


def setup(arguments: argparse.Namespace) -> int:
    from tools import setup as needs

    needs.for_tests() if arguments.tests else needs.for_demo()
    return 0


def demo(arguments: argparse.Namespace) -> int:
    from tools import demo as show

    return show.run()


def stop(arguments: argparse.Namespace) -> int:
    from tools import demo as show

    return show.stop()


def test(arguments: argparse.Namespace) -> int:
    from tools import testing

    return testing.run()


def lint(arguments: argparse.Namespace) -> int:
    from tools import lint as check
    from tools.environments import LINT

    return check.run(LINT.ensure().parent)


def bench(arguments: argparse.Namespace) -> int:
    from tools import bench as measure

    return measure.run(arguments.only)


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "setup": setup,
    "demo": demo,
    "stop": stop,
    "test": test,
    "lint": lint,
    "bench": bench,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 -m tools", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in COMMANDS:
        command = commands.add_parser(name)
        if name == "bench":
            command.add_argument("only", nargs="?", help="run this benchmark only")
        if name == "setup":
            command.add_argument("--tests", action="store_true", help="what the tests need too")
    arguments = parser.parse_args()
    with failures_explained():
        return COMMANDS[arguments.command](arguments)
    return 1


if __name__ == "__main__":
    sys.exit(main())
