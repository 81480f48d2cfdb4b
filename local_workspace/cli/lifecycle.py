"""``init``, ``start``, ``stop``, ``status``: a workspace from its making to its end."""

from __future__ import annotations

import argparse
import json
import secrets
import ssl
import subprocess
import sys
import threading
import urllib.request

from ..access import certificates
from ..access.links import LinkSigner
from ..access.tokens import Identity
from ..pages.sessions import enter_link
from ..settings import Settings
from ..store import Store
from .problems import Problem
from .process import PidFile, opened
from .serve import add_options, settings_of

START_SECONDS = 60
STOP_SECONDS = 30
NOT_RUNNING = 3  # the exit code that service managers expect


def add_commands(commands, common: argparse.ArgumentParser) -> None:
    command = commands.add_parser(
        "init", parents=[common], help="create a workspace; show its token and secret once"
    )
    command.set_defaults(run=init)
    command = commands.add_parser("start", parents=[common], help="serve in the background")
    add_options(command)
    command.set_defaults(run=start)
    command = commands.add_parser("stop", parents=[common], help="end the serving process")
    command.add_argument(
        "--grace-seconds", type=float, default=STOP_SECONDS,
        help=f"time to end by itself, then it is killed (default: {STOP_SECONDS})",
    )  # fmt: skip
    command.set_defaults(run=stop)
    command = commands.add_parser(
        "status", parents=[common], help=f"what runs; exit code {NOT_RUNNING} if nothing does"
    )
    command.set_defaults(run=status)


def init(given: argparse.Namespace) -> int:
    """Refuses a folder that has a workspace; one whose init was interrupted is made anew."""
    settings = Settings(given.data)
    settings.data.mkdir(parents=True, exist_ok=True)
    settings.data.chmod(0o700)
    pid_file = PidFile(settings.data)
    pid_file.hold("init")
    try:
        print(json.dumps(make_workspace(settings)))
    finally:
        pid_file.release()
    return 0


def make_workspace(settings: Settings) -> dict[str, str]:
    """The state of a new workspace. Returns token, client_id and client_secret."""
    store = Store(settings.database)
    if store.meta("org_id") is not None:
        raise Problem(f"There is a workspace in {settings.data} already; its token was shown then.")
    settings.make_folders()
    identity = Identity(store)
    for left in identity.tokens():
        identity.revoke(left["id"])
    for left in identity.service_principals.all():
        identity.service_principals.delete(left["client_id"])
    principal, secret = identity.service_principals.create("made at init")
    _, token = identity.create_token("made at init")
    values = {
        "link_secret": secrets.token_hex(32),
        # Last and all at once: with its id there is a workspace, without it there is none.
        "org_id": str(10**15 + secrets.randbelow(10**15)),
    }
    with store.transaction() as db:
        db.executemany("INSERT INTO meta (key, value) VALUES (?, ?)", values.items())
    return {"token": token, "client_id": principal.user_name, "client_secret": secret}


def start(given: argparse.Namespace) -> int:
    """Print the ready line of the process in the background; say why if it does not start."""
    settings = settings_of(given)
    opened(settings.data)
    holder = PidFile(settings.data).holder()
    if holder:
        raise Problem(f"The workspace in {settings.data} runs already: {json.dumps(holder)}.")
    settings.make_folders()
    output = settings.logs / "start.log"  # until the log is open; anew at each start
    command = [sys.executable, "-m", __package__.rpartition(".")[0], "serve"]
    command += ["--data", str(settings.data), "--port", str(settings.port)]
    command += ["--listen", settings.listen, "--name", settings.name]
    command += ["--job-python", settings.job_python]
    command += ["--tls"] * settings.tls + ["--faults"] * settings.faults
    command += ["--record", str(settings.record)] if settings.record else []
    with output.open("wb") as errors:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors,
            text=True, start_new_session=True,
        )  # fmt: skip
    timer = threading.Timer(START_SECONDS, process.kill)
    timer.start()
    line = process.stdout.readline()
    timer.cancel()
    if not line:
        process.wait(5)
        said = output.read_text(errors="replace").strip()[-2000:]
        raise Problem(f"The workspace did not start. {said or 'It said nothing.'}")
    print(line.strip())
    return 0


def stop(given: argparse.Namespace) -> int:
    settings, _ = opened(given.data)
    print(json.dumps({"state": PidFile(settings.data).stop(given.grace_seconds)}))
    return 0


def status(given: argparse.Namespace) -> int:
    """Print running, pid, host, what the workspace says of its health, and a way to its page."""
    settings, store = opened(given.data)
    holder = PidFile(settings.data).holder()
    if holder is None:
        print(json.dumps({"running": False}))
        return NOT_RUNNING
    told = {"running": True, **holder, "health": health(settings, holder["host"])}
    # Lets a browser in, once and within minutes.
    told["page"] = enter_link(LinkSigner(store.meta("link_secret")), holder["host"])
    print(json.dumps(told))
    return 0


def health(settings: Settings, host: str) -> dict:
    """The answer of ``/_local/health``, or ``status`` ``no answer`` with the reason."""
    context = None
    if host.startswith("https:"):
        authority = certificates.locate(settings.tls_folder).authority
        context = ssl.create_default_context(cafile=authority)
    # A proxy of the environment must not stand in between.
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )
    try:
        with opener.open(f"{host}/_local/health", timeout=10) as answer:
            return json.load(answer)
    except OSError as error:
        return {"status": "no answer", "reason": str(error)}
