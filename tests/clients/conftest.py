"""What the clients talk to: the embedded workspace, or a real one where the environment names it.

No test here may know which of the two it is, except by ``target.embedded``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "support")]

from workspace_process import init_workspace, serve_workspace, stop_workspace  # noqa: E402

TRAFFIC = ROOT / "build" / "traffic.json"


@dataclass(frozen=True)
class Target:
    """A workspace as a client sees it: address, credentials, a warehouse, a schema to write in."""

    host: str
    token: str = field(repr=False)
    warehouse_id: str
    catalog: str
    schema: str
    embedded: bool
    client_id: str | None = None
    client_secret: str | None = field(default=None, repr=False)

    @property
    def http_path(self) -> str:
        return f"/sql/1.0/warehouses/{self.warehouse_id}"

    def sdk(self, **options):
        """An unmodified databricks-sdk client with short time-outs."""
        from databricks.sdk import WorkspaceClient
        from databricks.sdk.config import Config

        options = options or {"token": self.token, "auth_type": "pat"}
        config = Config(host=self.host, config_file=os.devnull, retry_timeout_seconds=20,
                        http_timeout_seconds=60, **options)  # fmt: skip
        return WorkspaceClient(config=config)

    def service_principal(self) -> dict[str, str]:
        """Client id and secret for OAuth; a real workspace may have been given without."""
        if not self.client_id or not self.client_secret:
            pytest.skip("DATABRICKS_CLIENT_ID and DATABRICKS_CLIENT_SECRET are not set")
        return {"client_id": self.client_id, "client_secret": self.client_secret}


def _real() -> Target | None:
    names = ("HOST", "TOKEN", "WAREHOUSE_ID", "CATALOG", "SCHEMA")
    given = {name: os.environ.get(f"DATABRICKS_{name}") for name in names}
    if not given["HOST"]:
        return None
    missing = [f"DATABRICKS_{name}" for name, value in given.items() if not value]
    if missing:
        pytest.exit(f"DATABRICKS_HOST is set; also needed: {', '.join(missing)}", 2)
    return Target(given["HOST"], given["TOKEN"], given["WAREHOUSE_ID"], given["CATALOG"],
                  given["SCHEMA"], False, os.environ.get("DATABRICKS_CLIENT_ID"),
                  os.environ.get("DATABRICKS_CLIENT_SECRET"))  # fmt: skip


@pytest.fixture(scope="session")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """The workspace of the session; the embedded one records which routes were asked."""
    real = _real()
    if real is not None:
        yield real
        return
    data = tmp_path_factory.mktemp("workspace")
    TRAFFIC.parent.mkdir(exist_ok=True)
    TRAFFIC.unlink(missing_ok=True)
    made = init_workspace(data)
    running = serve_workspace(data, made, options=("--faults", "--record", str(TRAFFIC)))
    yield Target(running.host, made.token, "local", "main", "gold", True,
                 made.client_id, made.client_secret)  # fmt: skip
    stop_workspace(running)
