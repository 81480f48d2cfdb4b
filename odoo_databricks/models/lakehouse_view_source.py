"""What a refresh reads: the statement, and whether the table still is what the view expects."""

from datetime import timedelta

import pytz
from dateutil.relativedelta import relativedelta

from odoo import _, api, fields, models
from odoo.exceptions import UserError, ValidationError

from ..lib import sql, table_read
from ..lib.errors import StatementFailed
from .databricks_tools import MANAGER, quote_table, require_group

BOTH = "odoo_databricks.group_lakehouse_manager,base.group_system"
MANILA = pytz.timezone("Asia/Manila")
# the warehouse is given this many seconds to answer at once, and is looked at later if it does not
SERVER_WAIT = 20
# seconds for the questions about a table that has just been read
LOOK_SECONDS = 20
# first part of the advisory lock's key; the second is the view's id
ADVISORY_CLASS = 0x4C4B56


class NeedsPerson(UserError):
    """A refresh that no repetition will mend: somebody must look at the table or the view."""


class LakehouseViewSource(models.AbstractModel):
    """The part of lakehouse.view that speaks of the table in the lakehouse."""

    _name = "lakehouse.view.source"
    _description = "Source of a lakehouse view"

    last_watermark = fields.Datetime("Read up to", readonly=True, copy=False, groups=BOTH)
    last_full_at = fields.Datetime("Last whole read", readonly=True, copy=False, groups=BOTH)
    full_every_days = fields.Integer(
        "Whole table every",
        default=1,
        required=True,
        groups=BOTH,
        help="Days. Rows that were deleted in the lakehouse only go when the whole table is read.",
    )
    window_column = fields.Char(
        "Only recent rows by",
        groups=BOTH,
        help="Date column of the table; empty: rows of all times are copied.",
    )
    window_months = fields.Integer(
        "Months copied",
        default=12,
        groups=BOTH,
        help="The present month and those before it, by business dates (Manila).",
    )
    max_drop_percent = fields.Integer(
        "Largest drop (%)",
        default=50,
        required=True,
        groups=BOTH,
        help="A refresh that would take away more of the rows than this share is not applied.",
    )
    drop_accepted = fields.Boolean(readonly=True, copy=False, groups=BOTH)
    drop_refused = fields.Boolean(readonly=True, copy=False, groups=BOTH)
    responsible_id = fields.Many2one(
        "res.users",
        default=lambda self: self.env.user,
        groups=BOTH,
        help="Gets an activity when the table has changed so that it cannot be refreshed.",
    )
    known_columns = fields.Char(readonly=True, copy=False, groups=BOTH)

    @api.constrains("full_every_days", "max_drop_percent", "window_column", "window_months")
    def _check_refresh_bounds(self):
        for view in self:
            if view.window_column and not view.window_column.isidentifier():
                raise ValidationError(
                    _(
                        "'%(column)s' is no column name: letters, digits and underscores only.",
                        column=view.window_column,
                    )
                )
            if view.window_column and view.window_months < 1:
                raise ValidationError(_("1 or more months are copied."))
            if view.full_every_days < 1:
                raise ValidationError(_("The whole table is read every 1 or more days."))
            if not 1 <= view.max_drop_percent <= 100:
                raise ValidationError(_("The share of rows that may go is 1 to 100 percent."))

    def action_accept_drop(self):
        """Refresh once more, whatever share of the rows goes: a person has looked."""
        self.ensure_one()
        require_group(self.env, MANAGER, _("Only a lakehouse manager refreshes views."))
        self.sudo().drop_accepted = True
        self.message_post(body=_("The next refresh may take away any share of the rows."))
        return self.action_refresh()

    # -- what is read ---------------------------------------------------------------------------
    def _reads_changes(self, now):
        """Whether the rows that changed are enough this time."""
        return bool(
            self.refresh_mode == "watermark"
            and self._watermark_name()
            and self.last_watermark
            and self.last_full_at
            and now < self.last_full_at + timedelta(days=self.full_every_days)
        )

    def _watermark_name(self):
        updated = self.env[self.model_name]._snapshot_loader().updated
        return self.watermark_column or (updated and updated.name)

    def _statement(self, client, run):
        """Send the statement, or look at the one sent before; cancel one that takes too long."""
        workspace = self.workspace_id
        warehouse = workspace.warehouse_id
        if not run.statement_id:
            text, parameters = self._source_statement(run)
            wait = max(5, min(SERVER_WAIT, workspace.read_timeout - 5))
            try:
                return sql.submit(
                    client, warehouse, text, parameters, arrow=True, wait_seconds=wait
                )
            except StatementFailed:
                # a column that is gone is said by its name, and is nothing to try again
                self._check_shape(self._columns_there(client))
                raise
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

    def _source_statement(self, run):
        """Text and parameters of the statement that reads this run's rows."""
        names = [column.name for column in self.env[self.model_name]._snapshot_columns]
        changed = None
        if not run.complete:
            since = self.last_watermark - timedelta(minutes=self.overlap_minutes)
            changed = (self._watermark_name(), since)
            run.changed_since = since
        table = quote_table(self.source_table)
        return table_read.select(table, names, changed=changed, window=self._window())

    def _window(self):
        """Column and first business date of the rows that are copied; None: all rows are."""
        if not self.window_column:
            return None
        today = pytz.utc.localize(fields.Datetime.now()).astimezone(MANILA).date()
        return (
            self.window_column,
            today.replace(day=1) - relativedelta(months=self.window_months - 1),
        )

    def _columns_there(self, client):
        text = f"SELECT * FROM {quote_table(self.source_table)} LIMIT 0"
        warehouse = self.workspace_id.warehouse_id
        return sql.execute(client, warehouse, text, timeout=LOOK_SECONDS).columns

    def _check_shape(self, columns):
        """Raise UserError if columns that the view reads are gone or of another type."""
        expected = [(c.name, c.sql_type) for c in self.env[self.model_name]._snapshot_columns]
        wrong = table_read.misfits(expected, columns)
        if not wrong:
            return
        lines = [
            _("'%(column)s' is of type %(found)s now", column=item.name, found=item.found)
            if item.found
            else _("'%(column)s' is gone", column=item.name)
            for item in wrong
        ]
        raise NeedsPerson(
            _(
                "The table has changed: %(changes)s. The rows of before are kept. Have the column "
                "brought back, or publish the view again with the new columns.",
                changes="; ".join(lines),
            )
        )

    def _tell_new_columns(self, columns):
        """Say once that the table has columns which the view does not show."""
        shown = {column.name for column in self.env[self.model_name]._snapshot_columns}
        names = sorted(column.name for column in columns if column.name not in shown)
        known = set((self.known_columns or "").split(","))
        new = [name for name in names if name not in known]
        if new and self.last_full_at:
            self.message_post(
                body=_(
                    "The table has new columns that the view does not show: %(names)s.",
                    names=", ".join(new),
                )
            )
        self.known_columns = ",".join(names)

    def _delta_version(self, client):
        """Version of the table as its history says, or False: a view of the lakehouse has none."""
        text = f"DESCRIBE HISTORY {quote_table(self.source_table)} LIMIT 1"
        warehouse = self.workspace_id.warehouse_id
        try:
            rows = sql.query(client, warehouse, text, timeout=LOOK_SECONDS, row_limit=1)
        except StatementFailed:
            return False
        return str(rows[0]["version"]) if rows else False

    def _load(self, client, run, statement):
        # held until the transaction ends, so that two refreshes never apply at once
        self.env.cr.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", (ADVISORY_CLASS, self.id))
        if not self.env.cr.fetchone()[0]:
            raise UserError(_("Another refresh of this view is under way."))
        if statement.row_count > self.row_cap:
            raise NeedsPerson(
                _(
                    "The table has %(rows)s rows; this view copies at most %(cap)s. Show an "
                    "aggregate or the last months only, or raise the limit of the view.",
                    rows=statement.row_count,
                    cap=self.row_cap,
                )
            )
        self._check_shape(statement.columns)
        # asked before anything is written: no row stays locked while the workspace is asked
        columns, version = self._columns_there(client), self._delta_version(client)
        report = self.env[self.model_name]
        counts = report._snapshot_loader().load(
            sql.fetch_arrow(client, statement),
            complete=run.complete,
            max_drop=None if self.drop_accepted else self.max_drop_percent,
        )
        report.invalidate_model()
        self._tell_new_columns(columns)
        run.delta_version = version
        return counts

    def _ask_person(self, message):
        """One open activity a view, however often the refresh meets the same table."""
        user = self.responsible_id
        if not user.active:
            user = self.env.ref("base.user_admin", raise_if_not_found=False)
        kind = self.env.ref("mail.mail_activity_data_warning")
        if user and user.active and kind not in self.activity_ids.activity_type_id:
            self.activity_schedule(
                "mail.mail_activity_data_warning",
                user_id=user.id,
                summary=_("The view cannot be refreshed"),
                note=message,
            )

    def _refuse_drop(self, drop):
        self.drop_refused = True
        return _(
            "The table would shrink from %(before)s to %(after)s rows, which is more than the "
            "%(percent)s %% that this view allows. Look at the table; if it is right, choose "
            "'Apply Anyway'.",
            before=drop.before,
            after=drop.after,
            percent=self.max_drop_percent,
        )
