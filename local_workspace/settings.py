"""Where a workspace keeps its things, and how it was started."""

from __future__ import annotations

import ipaddress
import sys
from dataclasses import dataclass, field
from pathlib import Path

CATALOG = "main"
SYSTEM = "system"
SCHEMAS = ("default", "landing", "bronze", "silver", "gold", "ml")
SYSTEM_CATALOG = "system"
SYSTEM_SCHEMAS = ("billing", "lakeflow", "query")
VOLUMES = (("landing", "finance_exports"), ("landing", "wheels"))


@dataclass(frozen=True)
class Settings:
    """Paths of one data folder and the limits of one server process (sizes in bytes).

    ``listen`` is the address of the socket, ``name`` the host name that clients use if it is
    another one. ``faults`` switches the controls for tests of clients on.
    """

    data: Path
    port: int = 0
    listen: str = "127.0.0.1"
    name: str = ""
    tls: bool = False
    faults: bool = False
    job_python: str = sys.executable
    record: Path | None = None
    max_body: int = 512 * 1024 * 1024  # of an upload of a file
    max_call_body: int = 20 * 1024 * 1024  # of any other call
    max_calls: int = 256  # answered at the same time; one more gets a 503
    max_connections: int = 512  # below the usual limit of open files
    header_seconds: float = 10.0  # from the first byte of a call to the end of its header
    body_seconds: float = 15.0  # that a sender may let us wait, plus its bytes / min_rate
    min_rate: int = 1024  # bytes a second
    write_seconds: float = 60.0  # that a reader may take nothing of its answer
    log_cap: int = 5 * 1024 * 1024
    task_slots: int = 4
    update_slots: int = 2
    stop_grace_seconds: float = 5.0
    invocation_seconds: float = 60.0
    wake_seconds: float = 6.0
    scale_to_zero_seconds: float = 1800.0
    model_memory: int = 4 * 1024**3
    mlflow_idle_seconds: float = 600.0
    host: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "data", self.data.resolve())
        name = self.name or self.listen
        name = f"[{name}]" if ":" in name else name
        scheme = "https" if self.tls else "http"
        object.__setattr__(self, "host", f"{scheme}://{name}:{self.port}")

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the workspace."""
        return ipaddress.ip_address(self.listen).is_loopback

    @property
    def names(self) -> list[str]:
        """The addresses and host names for which a certificate is made."""
        wild = ipaddress.ip_address(self.listen).is_unspecified
        return [name for name in ("" if wild else self.listen, self.name) if name]

    @property
    def database(self) -> Path:
        return self.data / "workspace.db"

    @property
    def tls_folder(self) -> Path:
        return self.data / "tls"

    @property
    def trust(self) -> dict[str, str]:
        """Environment of children that call the workspace: the authorities they may believe."""
        if not self.tls:
            return {}
        bundle = str(self.tls_folder / "bundle.pem")
        return {"REQUESTS_CA_BUNDLE": bundle, "SSL_CERT_FILE": bundle}

    @property
    def tables(self) -> Path:
        return self.data / "tables"

    @property
    def volumes(self) -> Path:
        return self.data / "volumes"

    @property
    def workspace_files(self) -> Path:
        return self.data / "workspace"

    @property
    def runs(self) -> Path:
        return self.data / "runs"

    @property
    def pipelines(self) -> Path:
        return self.data / "pipelines"

    @property
    def spool(self) -> Path:
        """Results of statements, until they expire, and uploads under way."""
        return self.data / "spool"

    @property
    def logs(self) -> Path:
        return self.data / "logs"

    @property
    def artifacts(self) -> Path:
        return self.data / "mlartifacts"

    @property
    def mlflow_uri(self) -> str:
        return f"sqlite:///{self.data / 'mlflow.db'}"

    def make_folders(self) -> None:
        """Create the folder tree of a workspace; existing folders are left as they are."""
        for folder in (self.runs, self.spool, self.logs, self.artifacts):
            folder.mkdir(parents=True, exist_ok=True)
        for schema in SCHEMAS:
            (self.tables / CATALOG / schema).mkdir(parents=True, exist_ok=True)
        for schema in SYSTEM_SCHEMAS:
            (self.tables / SYSTEM_CATALOG / schema).mkdir(parents=True, exist_ok=True)
        (self.tables / SYSTEM).mkdir(exist_ok=True)
        for schema, volume in VOLUMES:
            (self.volumes / CATALOG / schema / volume).mkdir(parents=True, exist_ok=True)
