import os

from ..lib import sql
from .common import LakehouseCase

SCHEMA = f"drill_probe_{os.getpid()}"


class WarehouseCase(LakehouseCase):
    """A workspace and a schema of this test on its warehouse, dropped afterwards."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.workspace = cls.make_workspace()
        cls.addClassCleanup(cls._forget, cls.workspace.id)
        cls._run(f"CREATE SCHEMA IF NOT EXISTS main.{SCHEMA}")
        cls.addClassCleanup(cls._run, f"DROP SCHEMA main.{SCHEMA} CASCADE")

    @classmethod
    def _run(cls, text, parameters=None):
        with cls.workspace.client() as client:
            return sql.query(client, "local", text, parameters, timeout=60)

    @classmethod
    def _forget(cls, workspace_id):
        with cls.registry.cursor() as cr:
            cr.execute("DELETE FROM databricks_call_log WHERE workspace_ref = %s", (workspace_id,))
