"""A site: one PostgreSQL cluster, one embedded workspace and one Odoo that belong together.

`make demo` keeps a site named "demo", `make test` makes one named "test" and ends it.
"""

from __future__ import annotations

import base64
import configparser
import json
import os
import secrets
import shutil
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

from tools import environments, lakehouse, paths, postgres, processes
from tools.odoo import Odoo
from tools.steps import StepFailed, output, run, step

ODOO_PORT = 8069
WORKSPACE_PORT = 8765
START_SECONDS = 120


@dataclass
class Site:
    name: str
    odoo: Odoo | None  # None: enough to stop it
    durable: bool = True
    faults: bool = False  # the workspace plays faults for tests of its clients
    state: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.home = paths.site_home(self.name)
        self.state_file = self.home / "site.json"
        if self.state_file.exists():
            self.state = json.loads(self.state_file.read_text())
        # without its password a cluster of an earlier state is lost: it is made anew
        self.cluster_is_foreign = "postgres_password" not in self.state
        self.state.setdefault("postgres_password", postgres.new_password())
        self.state.setdefault("odoo_password", secrets.token_urlsafe(9))
        self.state.setdefault("ports", {})
        self.state.setdefault("encryption_key", base64.urlsafe_b64encode(os.urandom(32)).decode())
        self.save()
        # one database a series: a database of 17.0 cannot be opened by 19.0
        self.database = f"{self.name}_{self.odoo.series.split('.')[0]}" if self.odoo else ""
        password = self.state["postgres_password"]
        self.cluster = postgres.Cluster(self.name, password, self.durable)
        self.workspace_process = self._process("workspace")
        self.odoo_process = self._process("odoo")

    def _process(self, name: str) -> processes.Process:
        return processes.Process(self.home / f"{name}.pid", self.home / f"{name}.log")

    def save(self) -> None:
        """Keep ports and generated secrets in a file that only its owner can read."""
        self.state_file.touch(mode=0o600)
        self.state_file.chmod(0o600)
        self.state_file.write_text(json.dumps(self.state, indent=1))

    def _port(self, name: str, preferred: int) -> int:
        known = self.state["ports"].get(name)
        self.state["ports"][name] = processes.free_port(known or preferred)
        self.save()
        return self.state["ports"][name]

    # --- addresses

    @property
    def workspace_host(self) -> str:
        return f"http://127.0.0.1:{self.state['ports']['workspace']}"

    @property
    def workspace_token(self) -> str:
        return self.state["workspace_token"]

    @property
    def odoo_url(self) -> str:
        return f"http://127.0.0.1:{self.state['ports']['odoo']}"

    def workspace_env(self) -> dict[str, str]:
        """What a client of the workspace needs in its environment."""
        return {
            **lakehouse.python_env(),
            "DATABRICKS_HOST": self.workspace_host,
            "DATABRICKS_TOKEN": self.workspace_token,
        }

    def done(self, what: str) -> str | None:
        """Fingerprint of what `what` was last done with, for this site's database."""
        return self.state.get("done", {}).get(f"{self.database}:{what}")

    def mark_done(self, what: str, fingerprint: str) -> None:
        self.state.setdefault("done", {})[f"{self.database}:{what}"] = fingerprint
        self.save()

    # --- PostgreSQL (databases' files beside it, in Odoo's filestore)

    def start_postgres(self) -> None:
        if self.cluster_is_foreign:
            self.cluster.destroy()
        self.state["ports"]["postgres"] = self.cluster.start(self.state["ports"].get("postgres"))
        self.save()

    def sql(self, statement: str, database: str | None = None) -> str:
        port = self.state["ports"]["postgres"]
        return self.cluster.query(statement, port, database or self.database)

    def has_database(self, name: str) -> bool:
        found = self.sql(f"select 1 from pg_database where datname = '{name}'", "postgres")
        return bool(found)

    def copy_database(self, source: str, target: str) -> None:
        """Copy a database nobody is connected to, with its filestore: pages need its assets."""
        self.sql(f'drop database if exists "{target}"', "postgres")
        self.sql(f'create database "{target}" template "{source}"', "postgres")
        filestore = self.home / "odoo" / "filestore"
        shutil.rmtree(filestore / target, ignore_errors=True)
        if (filestore / source).exists():
            shutil.copytree(filestore / source, filestore / target)

    # --- workspace

    def start_workspace(self) -> None:
        data = self.home / "workspace"
        python = environments.LAKEHOUSE.python
        if "workspace_token" not in self.state or not data.exists():
            command = [python, "-m", "local_workspace", "init", "--data", data]
            answer = output(command, lakehouse.python_env(), "workspace init")
            self.state["workspace_token"] = json.loads(answer)["token"]
            self.save()
        if self.workspace_process.pid():
            return
        port = self._port("workspace", WORKSPACE_PORT)
        with step(f"embedded workspace on port {port}"):
            command = [python, "-m", "local_workspace", "serve", "--data", data, "--port", port]
            command += ["--faults"] * self.faults
            self.workspace_process.start(command, lakehouse.python_env(), paths.ROOT)
            self._wait(self.workspace_process, f"{self.workspace_host}/_local/health")

    # --- Odoo

    def odoo_config(self, name: str = "odoo.conf", **overrides: object) -> Path:
        """Write Odoo's configuration file (it holds secrets: mode 600) and return its path."""
        options = {
            "db_host": "127.0.0.1",
            "db_port": self.state["ports"]["postgres"],
            "db_user": postgres.ROLE,
            "db_password": self.state["postgres_password"],
            "db_name": self.database,
            "addons_path": ",".join(map(str, [*self.odoo.addons, self.odoo.addon_path()])),
            "data_dir": self.home / "odoo",
            "http_interface": "127.0.0.1",
            "http_port": self.state["ports"].get("odoo", ODOO_PORT),
            "list_db": "False",
            "admin_passwd": secrets.token_urlsafe(18),
            "workers": 0,
            "max_cron_threads": 1,
            "limit_time_real": 600,
            **self.odoo.options(),
            **overrides,
        }
        config = configparser.RawConfigParser()
        config["options"] = {key: str(value) for key, value in options.items()}
        config["odoo_databricks"] = {"encryption_key": self.state["encryption_key"]}
        target = self.home / name
        target.touch(mode=0o600)
        with target.open("w") as file:
            config.write(file)
        return target

    def run_odoo(
        self,
        *arguments: str | Path,
        log: str,
        stdin: Path | None = None,
        extra_env: dict[str, str] | None = None,
    ) -> None:
        """Run Odoo to its end, for an installation or a script given to its shell."""
        verb = [arguments[0]] if arguments[0] == "shell" else []
        config = ["-c", self.odoo_config(), "--no-http", "--log-level=warn"]
        command = [self.odoo.python, self.odoo.command, *verb, *config, *arguments[len(verb) :]]
        env = {**self.odoo.env(), "PYTHONDONTWRITEBYTECODE": "1", **(extra_env or {})}
        run(command, log=f"{self.name}-{log}", env=env, stdin=stdin, cwd=Path("/"))

    def start_odoo(self) -> None:
        if self.odoo_process.pid():
            return
        port = self._port("odoo", ODOO_PORT)
        with step(f"Odoo {self.odoo.series} on port {port}"):
            command = [self.odoo.python, self.odoo.command, "-c", self.odoo_config()]
            self.odoo_process.start(command, self.odoo.env(), Path("/"))
            # a static file first and alone: Python 3.11 may fail when threads list them at once
            self._wait(self.odoo_process, f"{self.odoo_url}/web/static/img/favicon.ico")
            self._wait(self.odoo_process, f"{self.odoo_url}/web/login")

    # --- all

    def running(self) -> list[str]:
        """Names of the parts that run."""
        parts = {
            "odoo": self.odoo_process.pid(),
            "workspace": self.workspace_process.pid(),
            "postgres": self.cluster.data.exists() and self.cluster.running(),
        }
        return [name for name, alive in parts.items() if alive]

    def stop(self) -> None:
        """End what this site started, in the order in which they lean on each other."""
        self.odoo_process.stop()
        self.workspace_process.stop()
        self.cluster.stop()

    def _wait(self, process: processes.Process, url: str) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if process.pid() is None:
                raise StepFailed("the process ended while starting", process.log)
            try:
                with urllib.request.urlopen(url, timeout=START_SECONDS):
                    return
            except urllib.error.HTTPError as error:
                raise StepFailed(f"{url} answers {error.code}", process.log) from None
            except OSError:
                time.sleep(0.2)  # not listening yet
        raise StepFailed(f"{url} does not answer after {START_SECONDS} s", process.log)
