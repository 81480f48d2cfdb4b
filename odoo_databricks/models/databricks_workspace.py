import re

from odoo import _, api, fields, models
from odoo.exceptions import ValidationError

from ..lib import client as lib_client
from ..lib.errors import WrongHost
from .databricks_tools import explain


class DatabricksWorkspace(models.Model):
    """A workspace: where it is, whose it is, and what of it is used."""

    _name = "databricks.workspace"
    _description = "Databricks workspace"
    _inherit = ["mail.thread"]
    _order = "company_id, name, id"
    _sql_constraints = [
        ("code_uniq", "unique (code)", "Another workspace has this technical name."),
    ]

    name = fields.Char(required=True, tracking=True)
    code = fields.Char(
        "Technical name",
        compute="_compute_code",
        store=True,
        readonly=False,
        precompute=True,
        copy=False,
        help="Names the secrets in the environment: ODOO_DATABRICKS_<NAME>_TOKEN.",
    )
    active = fields.Boolean(default=True)
    company_id = fields.Many2one(
        "res.company", help="Empty: shared by all companies.", tracking=True
    )
    environment = fields.Selection(
        [("dev", "Development"), ("staging", "Staging"), ("prod", "Production")],
        default="dev",
        required=True,
        tracking=True,
    )
    host = fields.Char(
        "Workspace URL", required=True, tracking=True, help="https:// and the name of the workspace"
    )
    warehouse_id = fields.Char(
        "SQL warehouse", tracking=True, help="Last part of the HTTP path in its connection details."
    )
    auth_type = fields.Selection(
        [("pat", "Personal access token"), ("oauth-m2m", "Service principal (OAuth)")],
        "Authentication",
        default="pat",
        required=True,
        tracking=True,
    )
    client_id = fields.Char("Client ID", tracking=True)
    view_count = fields.Integer(compute="_compute_counts")
    pipeline_count = fields.Integer(compute="_compute_counts")

    @api.depends("name")
    def _compute_code(self):
        for workspace in self:
            if not workspace.code:
                slug = re.sub(r"[^a-z0-9]+", "_", (workspace.name or "").lower()).strip("_")
                workspace.code = slug or "workspace"

    def _compute_counts(self):
        for model, name in (
            ("lakehouse.view", "view_count"),
            ("databricks.pipeline", "pipeline_count"),
        ):
            groups = (
                self.env[model]
                .sudo()
                ._read_group([("workspace_id", "in", self.ids)], ["workspace_id"], ["__count"])
            )
            counts = {workspace.id: count for workspace, count in groups}
            for workspace in self:
                workspace[name] = counts.get(workspace.id, 0)

    @api.constrains("host", "environment")
    def _check_host(self):
        for workspace in self:
            try:
                workspace._host_url()
            except WrongHost as error:
                raise ValidationError(explain(error)) from error

    @api.constrains("code")
    def _check_code(self):
        for workspace in self:
            if not re.fullmatch(r"[a-z][a-z0-9_]*", workspace.code or ""):
                raise ValidationError(
                    _("A technical name begins with a letter and holds a-z, 0-9 and _ only.")
                )

    @api.model
    def _for_company(self, company):
        """The workspace of a company: its own, else the shared one; empty if there is none."""
        return self.sudo().search(
            [("company_id", "in", (company.id, False))], order="company_id, id", limit=1
        )

    def _host_url(self):
        # a development workspace may be a neighbour in the same network, without TLS
        return lib_client.normalise_host(
            self.host or "", allow_plain_http=self.environment == "dev"
        )

    # -- actions --------------------------------------------------------------------------------
    def action_discover(self):
        """Find the jobs and pipelines of this workspace that Odoo may run."""
        self.ensure_one()
        wizard = self.env["databricks.discover.wizard"].create({"workspace_id": self.id})
        return wizard.action_search()
