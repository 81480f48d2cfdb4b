from odoo import _, api, fields, models
from odoo.exceptions import UserError, ValidationError
from odoo.tools import format_datetime

from .databricks_tools import MANAGER, MOMENT, quote_table, require_group


class LakehouseView(models.Model):
    """One lakehouse table shown in Odoo: its source, its schedule, and how old its rows are."""

    _name = "lakehouse.view"
    _description = "Lakehouse view"
    _inherit = [
        "mail.thread",
        "mail.activity.mixin",
        "lakehouse.view.live",
        "lakehouse.view.publisher",
        "lakehouse.view.designer",
        "lakehouse.view.source",
        "lakehouse.view.parity",
    ]
    _order = "name, id"
    _sql_constraints = [
        ("model_uniq", "unique (model_id)", "This report already has its lakehouse view."),
    ]

    name = fields.Char(required=True, translate=True)
    active = fields.Boolean(default=True)
    model_id = fields.Many2one(
        "ir.model",
        "Report",
        ondelete="cascade",
        readonly=True,
        copy=False,
        help="Odoo model that shows the rows; a draft has none.",
    )
    model_name = fields.Char(related="model_id.model", store=True, index=True)
    workspace_id = fields.Many2one(
        "databricks.workspace",
        tracking=True,
        ondelete="restrict",
        groups="odoo_databricks.group_lakehouse_manager,base.group_system",
    )
    company_id = fields.Many2one(
        related="workspace_id.company_id", store=True, index=True, related_sudo=True
    )
    source_table = fields.Char(
        required=True,
        tracking=True,
        groups="odoo_databricks.group_lakehouse_manager,base.group_system",
        help="catalog.schema.table on the workspace",
    )
    column_ids = fields.One2many(
        "lakehouse.view.column",
        "view_id",
        "Columns",
        copy=True,
        groups="odoo_databricks.group_lakehouse_manager,base.group_system",
    )
    scheduled = fields.Boolean("Refresh by schedule", default=True)
    interval_number = fields.Integer("Every", default=1, required=True)
    interval_type = fields.Selection(
        [("minutes", "Minutes"), ("hours", "Hours"), ("days", "Days")],
        default="hours",
        required=True,
    )
    next_run = fields.Datetime("Next refresh", default=fields.Datetime.now, copy=False)
    state = fields.Selection(
        [("new", "Never refreshed"), ("ok", "Up to date"), ("failed", "Last refresh failed")],
        default="new",
        required=True,
        copy=False,
    )
    data_as_of = fields.Datetime("Data as of", readonly=True, copy=False)
    source_updated_at = fields.Datetime("Written in the lakehouse at", readonly=True, copy=False)
    row_count = fields.Integer("Rows", readonly=True, copy=False)
    rejected_count = fields.Integer("Rejected rows", readonly=True, copy=False)
    failure_count = fields.Integer("Failures in a row", readonly=True, copy=False)
    last_error = fields.Text(readonly=True, copy=False)
    lease_until = fields.Datetime(readonly=True, copy=False)
    resume_at = fields.Datetime(readonly=True, copy=False)
    last_run_id = fields.Many2one("lakehouse.sync.run", readonly=True, copy=False)
    run_ids = fields.One2many("lakehouse.sync.run", "view_id", "Refreshes")

    @api.constrains("source_table")
    def _check_source_table(self):
        for view in self:
            try:
                quote_table(view.source_table)
            except ValueError as error:
                raise ValidationError(
                    _(
                        "%(table)s is no table name. Write catalog.schema.table; each part holds "
                        "letters, digits and underscores only.",
                        table=view.source_table,
                    )
                ) from error

    @api.constrains("interval_number")
    def _check_interval_number(self):
        if any(view.interval_number < 1 for view in self):
            raise ValidationError(_("A view is refreshed every 1 or more minutes, hours or days."))

    # -- freshness ------------------------------------------------------------------------------
    def _freshness_text(self):
        """'data as of ...' in the reader's time zone, with the reason when it is not the latest."""
        if not self:
            return ""
        if not self.data_as_of:
            return _("not refreshed yet")
        moment = format_datetime(self.env, self.data_as_of, dt_format=MOMENT)
        if self.state == "failed":
            return _("data as of %(moment)s, last refresh failed", moment=moment)
        return _("data as of %(moment)s", moment=moment)

    # -- actions --------------------------------------------------------------------------------
    def action_refresh(self):
        """Refresh now and say what came of it; a failure is kept on the record, not raised."""
        self.ensure_one()
        require_group(self.env, MANAGER, _("Only a lakehouse manager refreshes views."))
        if not self.model_id:
            raise UserError(_("'%(view)s' is a draft: publish it first.", view=self.name))
        if not self.workspace_id:
            raise UserError(
                _(
                    "Choose the workspace of '%(view)s' first (Lakehouse > Operations > Views).",
                    view=self.name,
                )
            )
        run = self.sudo()._refresh("manual")
        if not run:
            kind, message = "warning", _("Another refresh of this view is under way.")
        elif run.state == "failed":
            kind, message = "danger", run.error
        elif run.state == "running":
            kind, message = (
                "info",
                _("The warehouse is still at work; the rows follow by themselves."),
            )
        else:
            kind, message = "success", self._run_summary(run)
        return {
            "type": "ir.actions.client",
            "tag": "display_notification",
            "params": {
                "type": kind,
                "title": self.name,
                "message": message,
                "sticky": kind == "danger",
                "next": {"type": "ir.actions.client", "tag": "soft_reload"},
            },
        }

    def action_open_report(self):
        self.ensure_one()
        if self.action_id:
            return self._published_action(self)
        model = self.env[self.model_name]
        action = self.env["ir.actions.act_window"].search(
            [("res_model", "=", self.model_name)], limit=1
        )
        if action:
            return model.action_open_report(action.sudo()._get_external_ids()[action.id][0])
        return {
            "type": "ir.actions.act_window",
            "name": self.name,
            "res_model": self.model_name,
            "view_mode": "pivot,graph",
        }

    def action_view_runs(self):
        self.ensure_one()
        action = self.env["ir.actions.actions"]._for_xml_id(
            "odoo_databricks.lakehouse_sync_run_action"
        )
        action["domain"] = [("view_id", "=", self.id)]
        return action

    @api.model
    def _run_summary(self, run):
        text = _(
            "%(read)s rows read: %(inserted)s new, %(updated)s changed, %(deleted)s gone.",
            read=run.rows_read,
            inserted=run.rows_inserted,
            updated=run.rows_updated,
            deleted=run.rows_deleted,
        )
        if run.rows_rejected:
            text += " " + _("%(count)s rejected, see the refresh.", count=run.rows_rejected)
        return text
