"""Command line: ``python -m local_workspace init|serve``."""

from __future__ import annotations

import argparse
import fcntl
import json
import logging
import os
import secrets
import signal
import sys
from functools import partial
from pathlib import Path

from .access.tokens import Identity
from .settings import Settings
from .store import Store


def init(data: Path) -> int:
    """Create a workspace and print its token, once. Refuses a folder that has one already."""
    settings = Settings(data)
    if settings.database.exists():
        print(f"There is a workspace in {data} already; its token was shown then.", file=sys.stderr)
        return 1
    settings.data.mkdir(parents=True, exist_ok=True)
    settings.data.chmod(0o700)
    settings.make_folders()
    store = Store(settings.database)
    with store.transaction() as db:
        values = {
            "org_id": str(10**15 + secrets.randbelow(10**15)),
            "link_secret": secrets.token_hex(32),
        }
        db.executemany("INSERT INTO meta (key, value) VALUES (?, ?)", values.items())
    identity = Identity(store)
    principal, secret = identity.service_principals.create("made at init")
    shown = {"token": identity.create_token("made at init")[1]}
    print(json.dumps(shown | {"client_id": principal.user_name, "client_secret": secret}))
    return 0


def serve(data: Path, port: int, job_python: str, record: Path | None) -> int:
    """Serve a workspace on loopback until SIGTERM; print one JSON line when it is ready."""
    import uvicorn

    from .app import Services, create_app
    from .connections import BoundedConnection

    settings = Settings(data, port=port, job_python=job_python, record=record)
    if not settings.database.exists():
        print(f"There is no workspace in {data}: run init first.", file=sys.stderr)
        return 1
    lock = (settings.data / "serve.lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"Another process serves the workspace in {data}.", file=sys.stderr)
        return 1
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    services = Services(settings)

    class Server(uvicorn.Server):
        """Says that the workspace is ready once its socket listens."""

        async def startup(self, sockets=None) -> None:
            await super().startup(sockets)
            if self.started:
                print(json.dumps({"host": settings.host, "pid": os.getpid()}), flush=True)

    config = uvicorn.Config(
        create_app(services), host="127.0.0.1", port=port, access_log=False, log_level="warning",
        log_config=None, timeout_graceful_shutdown=5, http=partial(BoundedConnection, settings),
    )  # fmt: skip
    # uvicorn raises the signal that ended it once more: what is below must still be done.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    try:
        services.start()
        Server(config).run()
    finally:
        services.stop()
        lock.close()
    return 0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m local_workspace", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    init_command = commands.add_parser("init", help="create a workspace and print its token once")
    serve_command = commands.add_parser("serve", help="serve a workspace on 127.0.0.1")
    for command in (init_command, serve_command):
        command.add_argument("--data", type=Path, required=True, help="folder of the workspace")
    serve_command.add_argument("--port", type=int, required=True)
    serve_command.add_argument(
        "--job-python", default=sys.executable, help="interpreter of job and model processes"
    )
    serve_command.add_argument(
        "--record", type=Path, help="file that gets a count of answered calls for each route"
    )
    given = parser.parse_args(arguments)
    if given.command == "init":
        return init(given.data)
    return serve(given.data, given.port, given.job_python, given.record)


if __name__ == "__main__":
    sys.exit(main())
