from datetime import timedelta

from odoo import api, fields, models
from odoo.tools import SQL

KEPT_DAYS = 30


class DatabricksCallLog(models.Model):
    """One row per HTTP exchange with a workspace.

    Rows are written by their own cursor, so they survive a rollback of the work that called. That
    is why nothing here is a foreign key: one to a row that the caller has locked, or not committed
    yet, would make the second connection wait for the first, for ever. Ids are plain integers with
    the names of that time beside them, and 0 stands for none.
    """

    _name = "databricks.call.log"
    _description = "Databricks call"
    _order = "id desc"
    _rec_name = "endpoint"
    _log_access = False  # create_uid would be a foreign key

    created_at = fields.Datetime("Time", required=True, index=True)
    workspace_ref = fields.Integer("Workspace id", index=True)
    workspace_name = fields.Char("Workspace")
    company_ref = fields.Integer("Company id", index=True, help="0: the workspace is shared.")
    user_ref = fields.Integer("User id")
    user_login = fields.Char("User")
    res_model = fields.Char("Model")
    res_id = fields.Many2oneReference("Record id", model_field="res_model")
    verb = fields.Char()
    endpoint = fields.Char(help="Path of the request, without host and query.")
    status = fields.Integer("HTTP status", group_operator=None, help="0: no answer came.")
    latency_ms = fields.Integer("Milliseconds", group_operator="avg")
    attempt = fields.Integer(group_operator=None)
    request_id = fields.Char("Request id")
    sent_bytes = fields.Integer()
    received_bytes = fields.Integer()
    error_class = fields.Char("Error")
    message = fields.Text()

    @api.model
    def _recorder(self, workspace, record=None):
        """A function that writes one lib.transport.CallRecord; it uses no cursor of the caller."""
        registry = self.env.registry
        user = self.env.user
        context = {
            "workspace_ref": workspace.id,
            "workspace_name": workspace.name,
            "company_ref": workspace.company_id.id or 0,
            "user_ref": user.id,
            "user_login": user.login,
            "res_model": record._name if record else None,
            "res_id": record[:1].id if record else None,
        }

        def write(call):
            values = {
                **context,
                "created_at": fields.Datetime.now(),
                "verb": call.verb,
                "endpoint": call.endpoint,
                "status": call.status or 0,
                "latency_ms": call.latency_ms,
                "attempt": call.attempt,
                "request_id": call.request_id,
                "sent_bytes": call.sent_bytes,
                "received_bytes": call.received_bytes,
                "error_class": call.error_class,
                "message": call.message,
            }
            query = SQL(
                "INSERT INTO databricks_call_log (%s) VALUES (%s)",
                SQL(", ").join(map(SQL.identifier, values)),
                SQL(", ").join(SQL("%s", value) for value in values.values()),
            )
            with registry.cursor() as cr:
                cr.execute(query)

        return write

    def action_open_record(self):
        """The record that made the call, if it is still there."""
        self.ensure_one()
        return {
            "type": "ir.actions.act_window",
            "res_model": self.res_model,
            "res_id": self.res_id,
            "view_mode": "form",
        }

    @api.autovacuum
    def _gc_call_log(self):
        limit = fields.Datetime.now() - timedelta(days=KEPT_DAYS)
        self.search([("created_at", "<", limit)], limit=50000).unlink()
