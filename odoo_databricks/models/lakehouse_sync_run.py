from datetime import timedelta

from odoo import api, fields, models

KEPT_DAYS = 90


class LakehouseSyncRun(models.Model):
    _name = "lakehouse.sync.run"
    _description = "Refresh of a lakehouse view"
    _order = "id desc"
    _rec_name = "view_id"

    view_id = fields.Many2one("lakehouse.view", required=True, index=True, ondelete="cascade")
    company_id = fields.Many2one(related="view_id.company_id", store=True, index=True)
    state = fields.Selection(
        [("running", "Running"), ("done", "Done"), ("failed", "Failed")],
        default="running",
        required=True,
    )
    reason = fields.Selection(
        [("manual", "Asked by a person"), ("schedule", "Scheduled")],
        string="Started",
        default="manual",
        required=True,
    )
    started_at = fields.Datetime(default=fields.Datetime.now, required=True)
    finished_at = fields.Datetime()
    duration = fields.Float("Seconds", digits=(12, 2))
    statement_id = fields.Char(help="Id of the SQL statement on the workspace.")
    attempts = fields.Integer(help="How often it was taken up after Odoo had been stopped.")
    complete = fields.Boolean("Whole table", default=True)
    changed_since = fields.Datetime(help="Rows written in the lakehouse since then were read.")
    delta_version = fields.Char(help="Version of the table when its rows were read.")
    rows_read = fields.Integer()
    rows_inserted = fields.Integer()
    rows_updated = fields.Integer()
    rows_deleted = fields.Integer()
    rows_rejected = fields.Integer()
    rejects = fields.Text("Rejected rows", help="Reason, company code, number and first row keys.")
    data_as_of = fields.Datetime(help="When the statement was sent.")
    source_updated_at = fields.Datetime(help="Newest time of writing among the rows read.")
    error = fields.Text()

    @api.autovacuum
    def _gc_sync_runs(self):
        """Old runs go, but never the last of a view: it tells where the shown rows come from."""
        limit = fields.Datetime.now() - timedelta(days=KEPT_DAYS)
        old = self.search([("started_at", "<", limit)], limit=10000)
        (old - old.view_id.last_run_id).unlink()
