"""``token`` and ``service-principal``: who may call. A running workspace heeds a change at once.

A secret is printed once, when it is made; what is listed never holds one.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
from collections.abc import Callable

from ..access.tokens import Identity
from .problems import Problem
from .process import opened


def add_commands(commands, common: argparse.ArgumentParser) -> None:
    tokens = _group(commands, "token", "tokens of the workspace's owner")
    command = _add(tokens, "create", common, create_token)
    command.add_argument("--comment", default="")
    command.add_argument("--lifetime-seconds", type=_seconds, help="default: until it is revoked")
    _add(tokens, "list", common, list_tokens)
    _add(tokens, "revoke", common, revoke_token).add_argument("id", type=int)
    command = _add(tokens, "rotate", common, rotate_token)
    command.add_argument("id", type=int)
    _add_grace(command)

    principals = _group(commands, "service-principal", "programs that log in with OAuth")
    _add(principals, "create", common, create_principal).add_argument("name")
    _add(principals, "list", common, list_principals)
    command = _add(principals, "rotate-secret", common, rotate_secret)
    command.add_argument("client_id")
    _add_grace(command)
    _add(principals, "delete", common, delete_principal).add_argument("client_id")


def create_token(given: argparse.Namespace) -> int:
    made = _identity(given).create_token(given.comment, given.lifetime_seconds)
    return _show({"id": made[0], "token": made[1]})


def list_tokens(given: argparse.Namespace) -> int:
    return _show(*map(_readable, _identity(given).tokens()))


def revoke_token(given: argparse.Namespace) -> int:
    if not _identity(given).revoke(given.id):
        raise Problem(f"There is no token {given.id}: see token list.")
    return _show({"revoked": given.id})


def rotate_token(given: argparse.Namespace) -> int:
    made = _identity(given).rotate(given.id, given.grace_seconds)
    return _show({"id": made[0], "token": made[1]})


def create_principal(given: argparse.Namespace) -> int:
    principal, secret = _identity(given).service_principals.create(given.name)
    return _show({"client_id": principal.user_name, "client_secret": secret})


def list_principals(given: argparse.Namespace) -> int:
    return _show(*map(_readable, _identity(given).service_principals.all()))


def rotate_secret(given: argparse.Namespace) -> int:
    principals = _identity(given).service_principals
    secret = principals.rotate_secret(given.client_id, given.grace_seconds)
    return _show({"client_id": given.client_id, "client_secret": secret})


def delete_principal(given: argparse.Namespace) -> int:
    _identity(given).service_principals.delete(given.client_id)
    return _show({"deleted": given.client_id})


def _identity(given: argparse.Namespace) -> Identity:
    return Identity(opened(given.data)[1])


def _show(*lines: dict) -> int:
    for line in lines:
        print(json.dumps(line))
    return 0


def _readable(entry: dict) -> dict:
    """Times as people write them: ``created_ms`` becomes ``created``, in UTC."""
    shown = {}
    for key, value in entry.items():
        if key.endswith("_ms"):
            key = key.removesuffix("_ms")
            if value is not None:
                moment = dt.datetime.fromtimestamp(value // 1000, dt.UTC)
                value = moment.isoformat().replace("+00:00", "Z")
        shown[key] = value
    return shown


def _seconds(text: str) -> int:
    number = int(text)
    if not 0 < number < 10**9:
        raise argparse.ArgumentTypeError("must be between 1 and 999999999")
    return number


def _add_grace(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--grace-seconds", type=_seconds, default=0,
        help="how long the old one still works (default: not at all)",
    )  # fmt: skip


def _group(commands, name: str, help_text: str):
    group = commands.add_parser(name, help=help_text)
    return group.add_subparsers(dest="action", required=True)


def _add(
    group, name: str, common: argparse.ArgumentParser, run: Callable
) -> argparse.ArgumentParser:
    command = group.add_parser(name, parents=[common])
    command.set_defaults(run=run)
    return command
