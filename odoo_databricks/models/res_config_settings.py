from odoo import api, fields, models


class ResConfigSettings(models.TransientModel):
    _inherit = "res.config.settings"

    lakehouse_company_code = fields.Char(
        related="company_id.lakehouse_company_code", readonly=False
    )
    databricks_workspace_id = fields.Many2one(
        "databricks.workspace", "Workspace", compute="_compute_databricks_workspace"
    )
    databricks_secret_status = fields.Char(related="databricks_workspace_id.secret_status")
    databricks_check_state = fields.Selection(related="databricks_workspace_id.check_state")
    databricks_checked_at = fields.Datetime(related="databricks_workspace_id.checked_at")

    @api.depends("company_id")
    def _compute_databricks_workspace(self):
        for settings in self:
            workspace = self.env["databricks.workspace"]._for_company(settings.company_id)
            settings.databricks_workspace_id = workspace

    def action_databricks_workspace(self):
        """Open the company's workspace, or a new one."""
        self.ensure_one()
        return {
            "type": "ir.actions.act_window",
            "res_model": "databricks.workspace",
            "res_id": self.databricks_workspace_id.id,
            "view_mode": "form",
        }

    def action_databricks_test(self):
        self.ensure_one()
        return self.databricks_workspace_id.action_test_connection()
