"""``serve``: the workspace in the foreground, until SIGTERM."""

from __future__ import annotations

import argparse
import ipaddress
import json
import os
import signal
import sys
from functools import partial
from pathlib import Path

from .. import logs
from ..access import certificates
from ..settings import Settings
from .problems import Problem
from .process import PidFile, opened

DEFAULT_PORT = 8765


def add_options(command: argparse.ArgumentParser) -> None:
    """What ``serve`` and ``start`` have in common."""
    command.add_argument("--port", type=_port, default=DEFAULT_PORT)
    command.add_argument(
        "--listen", default="127.0.0.1", metavar="ADDRESS",
        help="IP address of the socket; another one than loopback needs --tls",
    )  # fmt: skip
    command.add_argument("--name", default="", help="host name by which clients reach it")
    command.add_argument(
        "--tls", action="store_true", help="https, with a certificate made in the folder's tls/"
    )
    command.add_argument(
        "--faults", action="store_true",
        help="answer POST /_local/faults, clock and the other controls for tests of clients",
    )  # fmt: skip
    command.add_argument(
        "--job-python", default=sys.executable, help="interpreter of job and model processes"
    )
    command.add_argument(
        "--record", type=Path, help="file that gets a count of answered calls for each route"
    )


def add_commands(commands, common: argparse.ArgumentParser) -> None:
    command = commands.add_parser("serve", parents=[common], help="serve in the foreground")
    add_options(command)
    command.set_defaults(run=serve)


def _port(text: str) -> int:
    if not 0 < (number := int(text)) < 65536:
        raise argparse.ArgumentTypeError("must be between 1 and 65535")
    return number


def settings_of(given: argparse.Namespace) -> Settings:
    """Raises Problem for an address that would send tokens in clear over a network."""
    try:
        ipaddress.ip_address(given.listen)
    except ValueError:
        raise Problem(f"--listen: {given.listen!r} is no IP address.") from None
    settings = Settings(
        given.data, port=given.port, listen=given.listen, name=given.name, tls=given.tls,
        faults=given.faults, job_python=given.job_python, record=given.record,
    )  # fmt: skip
    if not settings.loopback and not settings.tls:
        raise Problem(
            f"--listen {given.listen}: other machines could read the tokens on their way."
            " Add --tls, or leave --listen out."
        )
    if ipaddress.ip_address(given.listen).is_unspecified and not given.name:
        raise Problem(
            f"--listen {given.listen} means every address of this machine: say with --name"
            " by which host name or address clients reach it."
        )
    return settings


def serve(given: argparse.Namespace) -> int:
    return run(settings_of(given))


def run(settings: Settings) -> int:
    """Print one JSON line (host, pid, with TLS also ca) when the workspace is ready."""
    import uvicorn

    from ..app import create_app
    from ..connections import BoundedConnection
    from ..services import Services

    opened(settings.data)
    pid_file = PidFile(settings.data)
    pid_file.hold(settings.host)
    ready = {"host": settings.host, "pid": os.getpid()}
    tls = {}
    if settings.tls:
        files = certificates.ensure(settings.tls_folder, settings.names)
        ready["ca"] = str(files.authority)
        tls = {"ssl_certfile": files.leaf, "ssl_keyfile": files.leaf_key}
    settings.make_folders()
    logs.configure(settings)
    services = Services(settings)

    class Server(uvicorn.Server):
        """Says that the workspace is ready once its socket listens."""

        async def startup(self, sockets=None) -> None:
            await super().startup(sockets)
            if self.started:
                print(json.dumps(ready), flush=True)

    config = uvicorn.Config(
        create_app(services), host=settings.listen, port=settings.port, access_log=False,
        log_config=None, log_level="warning", timeout_graceful_shutdown=5, proxy_headers=False,
        timeout_keep_alive=60, ws="none", http=partial(BoundedConnection, settings), **tls,
    )  # fmt: skip
    server = Server(config)
    # uvicorn raises the signal that ended it once more: what is below must still be done. One
    # that comes before the socket listens is heeded too.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: setattr(server, "should_exit", True))
    try:
        services.start()
        if not server.should_exit:
            server.run()
    finally:
        services.stop()
        pid_file.release()
    return 0
