from odoo import _, api, fields, models
from odoo.exceptions import UserError

from ..lib.errors import WorkspaceError
from ..models.databricks_tools import MANAGER, explain, require_group
from ..models.lakehouse_preview_html import html_table
from ..models.lakehouse_templates import template_for


class LakehouseViewWizard(models.TransientModel):
    """New view: choose a table, look at it, publish it."""

    _name = "lakehouse.view.wizard"
    _description = "New Lakehouse View"

    workspace_id = fields.Many2one(
        "databricks.workspace",
        required=True,
        ondelete="cascade",
        default=lambda self: self._default_workspace_id(),
    )
    table_id = fields.Many2one(
        "lakehouse.catalog.table",
        ondelete="cascade",
        help="Type a part of its name.",
    )
    name = fields.Char(compute="_compute_name", store=True, readonly=False)
    columns_html = fields.Html("Columns", compute="_compute_columns_html")
    preview_html = fields.Html("Preview", readonly=True)

    @api.model
    def _default_workspace_id(self):
        workspaces = self.env["databricks.workspace"].search([], limit=2)
        return workspaces if len(workspaces) == 1 else False

    @api.depends("table_id")
    def _compute_name(self):
        for wizard in self:
            table = wizard.table_id.name or ""
            label = table.rpartition(".")[2].replace("_", " ").capitalize()
            wizard.name = template_for(table).get("name") or label

    @api.depends("table_id")
    def _compute_columns_html(self):
        for wizard in self:
            wizard.columns_html = wizard._columns_html() if wizard.table_id else False

    @api.onchange("workspace_id")
    def _onchange_workspace_id(self):
        self.table_id = False
        if not self.workspace_id:
            return None
        try:
            self.env["lakehouse.catalog.table"]._list(self.workspace_id)
        except WorkspaceError as error:
            title = _("The tables cannot be listed")
            return {"warning": {"title": title, "message": explain(error)}}
        return None

    def _columns_html(self):
        try:
            values = self._design()
        except UserError as error:
            return html_table([_("The columns cannot be read")], [[str(error)]])
        selections = {
            name: dict(
                self.env["lakehouse.view.column"]._fields[name]._description_selection(self.env)
            )
            for name in ("ttype", "role", "aggregation")
        }
        heads = [_("Column"), _("Type"), _("Label"), _("Shown as"), _("Role"), _("In totals")]
        rows = [
            [
                item["name"],
                item["remote_type"],
                item["label"],
                selections["ttype"].get(item["ttype"], ""),
                selections["role"][item["role"]],
                ""
                if item["aggregation"] == "none"
                else selections["aggregation"][item["aggregation"]],
            ]
            for item in values
        ]
        return html_table(heads, rows)

    def _design(self):
        View = self.env["lakehouse.view"]
        remote = View._remote_columns(self.workspace_id, self.table_id.name)
        return View._design_columns(self.table_id.name, remote)

    def _make_view(self):
        self.ensure_one()
        require_group(self.env, MANAGER, _("Only a lakehouse manager designs views."))
        if not self.table_id:
            raise UserError(_("Choose a table first."))
        return self.env["lakehouse.view"].create(
            {
                "name": self.name,
                "workspace_id": self.workspace_id.id,
                "source_table": self.table_id.name,
                "column_ids": [fields.Command.create(item) for item in self._design()],
            }
        )

    # -- actions --------------------------------------------------------------------------------
    def action_preview(self):
        self.ensure_one()
        if not self.table_id:
            raise UserError(_("Choose a table first."))
        company = [item["name"] for item in self._design() if item["role"] == "company"]
        self.preview_html = self.env["lakehouse.view"]._preview_html(
            self.workspace_id, self.table_id.name, *company
        )
        return {
            "type": "ir.actions.act_window",
            "name": _("New View"),
            "res_model": self._name,
            "res_id": self.id,
            "view_mode": "form",
            "target": "new",
        }

    def action_design(self):
        """Keep a draft, of which columns, readers and schedule can be changed."""
        view = self._make_view()
        return {
            "type": "ir.actions.act_window",
            "res_model": view._name,
            "res_id": view.id,
            "view_mode": "form",
        }

    def action_publish(self):
        return self._make_view().action_publish()
