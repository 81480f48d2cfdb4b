"""A private PostgreSQL cluster of one site. The machine's own clusters are never touched."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tools import debian, paths, processes
from tools.steps import StepFailed, run, step

SERVER_USER = "postgres"  # Debian's; initdb and the server refuse root
BIN = Path("/usr/lib/postgresql/15/bin")
FALLBACK_HOME = Path("/var/lib/odoo_databricks/postgres")
PREFERRED_PORT = 54329
ROLE = "odoo"
# speed for throw-away data only
NOT_DURABLE = ["fsync=off", "synchronous_commit=off", "full_page_writes=off"]


@dataclass
class Cluster:
    """Cluster `name` of this checkout. `durable=False` gives up crash safety: tests only."""

    name: str
    password: str
    durable: bool = True

    @property
    def home(self) -> Path:
        return _walkable_home() / f"{self.name}-{paths.checkout_id()}"

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def log(self) -> Path:
        return self.home / "server.log"

    def start(self, port: int | None = None) -> int:
        """Make the cluster if need be and start it; return its port."""
        debian.install("postgresql-15")
        if not (self.data / "PG_VERSION").exists():
            self._create()
        if self.running():
            return int((self.data / "postmaster.pid").read_text().splitlines()[3])
        port = processes.free_port(port or PREFERRED_PORT)
        options = ["listen_addresses=127.0.0.1", f"unix_socket_directories={self.home}", "jit=off"]
        options += [] if self.durable else NOT_DURABLE
        flags = " ".join([f"-p {port}", *(f"-c {option}" for option in options)])
        with step(f"PostgreSQL 15 on port {port}"):
            start = ["pg_ctl", "-D", self.data, "-l", self.log, "-w", "-s", "-o", flags, "start"]
            self._as_server(start, log=f"postgres-{self.name}-start")
            self._ensure_role(port)
        return port

    def running(self) -> bool:
        return (self.data / "postmaster.pid").exists() and not self._status()

    def stop(self) -> None:
        if self.data.exists() and self.running():
            command = ["pg_ctl", "-D", self.data, "-m", "fast", "-w", "-s", "stop"]
            self._as_server(command, log=f"postgres-{self.name}-stop")

    def destroy(self) -> None:
        self.stop()
        shutil.rmtree(self.home, ignore_errors=True)

    def query(self, sql: str, port: int, database: str = "postgres", user: str = ROLE) -> str:
        """Run one statement over TCP; rows as text, columns separated by `|`."""
        url = f"postgresql://{user}@127.0.0.1:{port}/{database}"
        env = {**os.environ, "PGPASSWORD": self.password}
        command = [BIN / "psql", "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", url, "-f", "-"]
        # by standard input: a command line can be read by everybody on the machine
        answer = subprocess.run(
            command, input=sql, capture_output=True, text=True, env=env, check=False
        )
        if answer.returncode:
            raise StepFailed(answer.stderr.strip(), self.log)
        return answer.stdout.strip()

    def _create(self) -> None:
        with step(f"PostgreSQL cluster '{self.name}'"):
            shutil.rmtree(self.home, ignore_errors=True)
            self.home.mkdir(parents=True)
            shutil.chown(self.home, SERVER_USER)
            password_file = self.home / "password"
            password_file.touch(mode=0o600)
            password_file.write_text(self.password)
            shutil.chown(password_file, SERVER_USER)
            command = ["initdb", "-D", self.data, "-U", SERVER_USER, "--pwfile", password_file]
            command += ["--auth=scram-sha-256", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
            try:
                self._as_server(command, log=f"postgres-{self.name}-create")
            finally:
                password_file.unlink()

    def _ensure_role(self, port: int) -> None:
        found = self.query(
            f"select 1 from pg_roles where rolname = '{ROLE}'", port, user=SERVER_USER
        )
        if not found:
            self.query(
                f"create role {ROLE} login createdb password '{self.password}'",
                port,
                user=SERVER_USER,
            )

    def _status(self) -> int:
        command = ["pg_ctl", "-D", self.data, "status"]
        return subprocess.run(
            self._server_command(command), capture_output=True, check=False, cwd="/"
        ).returncode

    def _as_server(self, command: list[str | Path], log: str) -> None:
        run(self._server_command(command), log=log, cwd=Path("/"))

    def _server_command(self, command: list[str | Path]) -> list[str | Path]:
        """The command as the server's user: PostgreSQL refuses to run as root."""
        program, *arguments = command
        switch = ["setpriv", f"--reuid={SERVER_USER}", f"--regid={SERVER_USER}", "--init-groups"]
        return [*(switch if os.geteuid() == 0 else []), BIN / program, *arguments]


def _walkable_home() -> Path:
    """Folder of the clusters, one that the server's user can walk into."""
    home = paths.setup_home() / "postgres"
    if os.geteuid() == 0 and not all(f.stat().st_mode & 0o001 for f in home.parents):
        home = FALLBACK_HOME  # SETUP_HOME lies in a private folder, root's home for one
    home.mkdir(parents=True, exist_ok=True)
    return home


def new_password() -> str:
    return secrets.token_urlsafe(18)
