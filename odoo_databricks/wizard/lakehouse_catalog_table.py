from odoo import api, fields, models

from ..lib import catalog


class LakehouseCatalogTable(models.TransientModel):
    """A table of a workspace's catalog, listed for as long as somebody chooses one."""

    _name = "lakehouse.catalog.table"
    _description = "Table of the lakehouse"
    _order = "name"

    name = fields.Char(required=True)
    workspace_id = fields.Many2one("databricks.workspace", required=True, ondelete="cascade")

    @api.model
    def _list(self, workspace):
        """List the tables of a workspace anew for this user. Raises WorkspaceError."""
        with workspace.client() as client:
            names = catalog.list_tables(client)
        mine = self.search([("workspace_id", "=", workspace.id), ("create_uid", "=", self.env.uid)])
        gone = mine.filtered(lambda table: table.name not in names)
        known = set((mine - gone).mapped("name"))
        gone.unlink()
        return self.create(
            [{"name": name, "workspace_id": workspace.id} for name in names if name not in known]
        )
