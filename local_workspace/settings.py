"""Where a workspace keeps its things, and how it was started."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

CATALOG = "main"
SCHEMAS = ("landing", "bronze", "silver", "gold", "ml")
VOLUMES = (("landing", "finance_exports"), ("landing", "wheels"))


@dataclass(frozen=True)
class Settings:
    """Paths of one data folder and the limits of one server process (sizes in bytes)."""

    data: Path
    port: int = 0
    job_python: str = sys.executable
    record: Path | None = None
    max_body: int = 512 * 1024 * 1024
    log_cap: int = 5 * 1024 * 1024
    task_slots: int = 4
    stop_grace_seconds: float = 5.0
    invocation_seconds: float = 60.0
    mlflow_idle_seconds: float = 600.0
    host: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "data", self.data.resolve())
        object.__setattr__(self, "host", f"http://127.0.0.1:{self.port}")

    @property
    def database(self) -> Path:
        return self.data / "workspace.db"

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
    def spool(self) -> Path:
        """Results of statements and uploads under way; emptied at each start."""
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
        for schema, volume in VOLUMES:
            (self.volumes / CATALOG / schema / volume).mkdir(parents=True, exist_ok=True)
