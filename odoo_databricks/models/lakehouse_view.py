import logging
import time
from datetime import timedelta

from odoo import _, api, fields, models
from odoo.exceptions import UserError, ValidationError
from odoo.tools import SQL, format_datetime

from ..lib import sql
from ..lib.errors import WorkspaceError
from .databricks_tools import (
    MANAGER,
    MOMENT,
    checkpoint,
    claim_one,
    explain,
    quote_table,
    require_group,
)

_logger = logging.getLogger(__name__)

# first part of the advisory lock's key; the second is the view's id
ADVISORY_CLASS = 0x4C4B56
# a refresh that has not ended by then was interrupted, and another one may start
LEASE = timedelta(minutes=30)
FIRST_RETRY = timedelta(minutes=5)
# the warehouse is given this many seconds to answer at once, and is looked at later if it does not
SERVER_WAIT = 20
LOOK_AGAIN = timedelta(seconds=30)


class LakehouseView(models.Model):
    """One lakehouse table shown in Odoo: its source, its schedule, and how old its rows are."""

    _name = "lakehouse.view"
    _description = "Lakehouse view"
    _inherit = ["mail.thread"]
    _order = "name, id"
    _sql_constraints = [
        ("model_uniq", "unique (model_id)", "This report already has its lakehouse view."),
    ]

    name = fields.Char(required=True, translate=True)
    active = fields.Boolean(default=True)
    model_id = fields.Many2one(
        "ir.model",
        "Report",
        required=True,
        ondelete="cascade",
        readonly=True,
        help="Odoo model that shows the rows.",
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

    # -- refresh --------------------------------------------------------------------------------
    @api.model
    def _cron_refresh_due(self, limit=50):
        """Refresh the views that are due, one transaction each; locked ones are left to others."""
        for __ in range(limit):
            due = SQL(
                "active AND workspace_id IS NOT NULL "
                "AND coalesce(resume_at, CASE WHEN scheduled THEN next_run END) <= %s",
                fields.Datetime.now(),
            )
            if not self.browse()._refresh("schedule", due):
                break

    def _refresh(self, reason, condition=None):
        """Claim one view of self (all, if empty), take its refresh one step on, and return its run.

        A step sends the statement, or looks at the one sent before, and loads the rows if it has
        ended. No row is locked while the workspace is asked, and nothing waits for a slow
        warehouse: then the run stays 'running' and the scheduled action comes back to it.
        Returns an empty lakehouse.sync.run when there is nothing to claim.
        """
        free = SQL("(lease_until IS NULL OR lease_until < %s)", fields.Datetime.now())
        where = SQL("%s AND %s", condition, free) if condition else free
        view = claim_one(self, where, SQL("next_run, id"))
        if not view:
            return self.env["lakehouse.sync.run"]
        run = view._open_run(reason)
        checkpoint(self.env)
        view._advance(run)
        checkpoint(self.env)
        return run

    def _open_run(self, reason):
        """The run whose statement is still under way, else a new one."""
        now = fields.Datetime.now()
        run = self.last_run_id
        if self.resume_at and run.state == "running" and run.statement_id:
            self.lease_until = now + LEASE
            return run
        interrupted = run.search([("view_id", "=", self.id), ("state", "=", "running")])
        interrupted.write(
            {"state": "failed", "finished_at": now, "error": _("Interrupted: Odoo was stopped.")}
        )
        run = run.create({"view_id": self.id, "reason": reason, "data_as_of": now})
        self.write({"lease_until": now + LEASE, "resume_at": False, "last_run_id": run.id})
        return run

    def _advance(self, run):
        counts = statement_id = None
        message = False
        resumed, clock = bool(run.statement_id), time.monotonic()
        try:
            with self.env.cr.savepoint(), self.workspace_id.client(self) as client:
                statement = self._statement(client, run)
                statement_id = statement.statement_id
                if not statement.is_running:
                    counts = self._load(client, statement)
        except WorkspaceError as error:
            message = explain(error)
        except UserError as error:
            message = str(error)
        except Exception as error:  # the scheduled action goes on with the next view
            _logger.exception("Refresh of %s failed", self.model_name)
            # the text of an unknown error may hold anything: it stays in the server's log
            message = _(
                "Unexpected error (%(kind)s); the server's log has the details.",
                kind=type(error).__name__,
            )
        now = fields.Datetime.now()
        values = {"statement_id": statement_id or run.statement_id}
        if not message and not counts:
            run.write(values)
            self.write({"lease_until": False, "resume_at": now + LOOK_AGAIN})
            return
        values.update(
            state="failed" if message else "done",
            finished_at=now,
            duration=(now - run.started_at).total_seconds()
            if resumed
            else time.monotonic() - clock,
            error=message,
        )
        if message:
            run.write(values)
            self._record_failure(run)
            return
        run.write(
            {
                **values,
                "rows_read": counts.read,
                "rows_inserted": counts.inserted,
                "rows_updated": counts.updated,
                "rows_deleted": counts.deleted,
                "rows_rejected": counts.rejected,
                "rejects": self._rejects_text(counts.rejects),
                "source_updated_at": counts.source_updated_at,
            }
        )
        self._record_success(run)

    def _statement(self, client, run):
        """Send the statement, or look at the one sent before; cancel one that takes too long."""
        workspace = self.workspace_id
        warehouse = workspace.warehouse_id
        if not run.statement_id:
            columns = self.env[self.model_name]._snapshot_columns
            names = ", ".join(f"`{column.name}`" for column in columns)
            text = f"SELECT {names} FROM {quote_table(self.source_table)}"
            wait = max(5, min(SERVER_WAIT, workspace.read_timeout - 5))
            return sql.submit(client, warehouse, text, arrow=True, wait_seconds=wait)
        statement = sql.poll(client, run.statement_id, warehouse_id=warehouse, arrow=True)
        age = (fields.Datetime.now() - run.started_at).total_seconds()
        if statement.is_running and age > workspace.statement_timeout:
            sql.cancel(client, statement.statement_id)
            raise UserError(
                _(
                    "The warehouse did not finish the statement within %(seconds)s seconds; it was "
                    "canceled. Check that the warehouse runs, or raise the limit of the workspace.",
                    seconds=workspace.statement_timeout,
                )
            )
        return statement

    def _load(self, client, statement):
        # held until the transaction ends, so that two refreshes never apply at once
        self.env.cr.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", (ADVISORY_CLASS, self.id))
        if not self.env.cr.fetchone()[0]:
            raise UserError(_("Another refresh of this view is under way."))
        report = self.env[self.model_name]
        counts = report._snapshot_loader().load(sql.fetch_arrow(client, statement))
        report.invalidate_model()
        return counts

    def _record_success(self, run):
        if self.state == "failed":
            self.message_post(
                body=_("Refreshed again. %(summary)s", summary=self._run_summary(run))
            )
        self.write(
            {
                "state": "ok",
                "data_as_of": run.data_as_of,
                "source_updated_at": run.source_updated_at,
                "row_count": run.rows_read - run.rows_rejected,
                "rejected_count": run.rows_rejected,
                "failure_count": 0,
                "last_error": False,
                "lease_until": False,
                "resume_at": False,
                "next_run": run.started_at + self._interval(),
            }
        )

    def _record_failure(self, run):
        """Keep the rows and say why they are old; only the first failure in a row is posted."""
        if self.state != "failed":
            self.message_post(
                body=_(
                    "The refresh failed; the rows of before are kept. %(error)s", error=run.error
                )
            )
        # a view that is refreshed once a day should not wait a day after a stopped warehouse
        retry = min(self._interval(), FIRST_RETRY * 2 ** min(self.failure_count, 10))
        self.write(
            {
                "state": "failed",
                "failure_count": self.failure_count + 1,
                "last_error": run.error,
                "lease_until": False,
                "resume_at": False,
                "next_run": run.finished_at + retry,
            }
        )

    def _interval(self):
        return timedelta(**{self.interval_type: self.interval_number})

    @api.model
    def _rejects_text(self, rejects):
        labels = {
            "no_key": _("without a key"),
            "duplicate_key": _("key occurs twice"),
            "no_company": _("no company in Odoo has this lakehouse code"),
            "no_currency": _("unknown currency"),
            "not_a_number": _("amount is not a number"),
        }
        return (
            "\n".join(
                _(
                    "%(count)s x %(reason)s (company code %(code)s): %(keys)s",
                    count=count,
                    reason=labels[reason],
                    code=code or "-",
                    keys=", ".join(key or "-" for key in keys)
                    + (", ..." if count > len(keys) else ""),
                )
                for reason, code, count, keys in rejects
            )
            or False
        )
