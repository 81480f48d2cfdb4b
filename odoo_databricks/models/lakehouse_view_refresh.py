"""The refresh of a view: one statement on the warehouse, its rows brought into the snapshot."""

import logging
import time
from datetime import timedelta

from odoo import _, api, fields, models
from odoo.exceptions import UserError
from odoo.tools import SQL

from ..lib.errors import WorkspaceError
from .databricks_tools import checkpoint, claim_one, explain
from .lakehouse_snapshot_loader import BigDrop
from .lakehouse_view_source import NeedsPerson

_logger = logging.getLogger(__name__)

# a refresh that has not ended by then was interrupted, and another one may start
LEASE = timedelta(minutes=30)
FIRST_RETRY = timedelta(minutes=5)
LOOK_AGAIN = timedelta(seconds=30)
# a refresh that Odoo's end interrupted is taken up again so many times
TAKEN_UP = 3


class LakehouseView(models.Model):
    _inherit = "lakehouse.view"

    # -- refresh --------------------------------------------------------------------------------
    @api.model
    def _cron_refresh_due(self, limit=50):
        """Refresh the views that are due, one transaction each; locked ones are left to others."""
        for __ in range(limit):
            due = SQL(
                "active AND model_id IS NOT NULL AND workspace_id IS NOT NULL "
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
        """The run whose statement is still under way, also after Odoo's end, else a new one."""
        now = fields.Datetime.now()
        run = self.last_run_id
        if run.state == "running" and run.statement_id and run.attempts < TAKEN_UP:
            # a look at a slow statement is no new attempt
            run.attempts += not self.resume_at
            self.lease_until = now + LEASE
            return run
        interrupted = run.search([("view_id", "=", self.id), ("state", "=", "running")])
        interrupted.write(
            {"state": "failed", "finished_at": now, "error": _("Interrupted: Odoo was stopped.")}
        )
        run = run.create(
            {
                "view_id": self.id,
                "reason": reason,
                "data_as_of": now,
                "complete": not self._reads_changes(now),
            }
        )
        self.write({"lease_until": now + LEASE, "resume_at": False, "last_run_id": run.id})
        return run

    def _advance(self, run):
        counts = None
        message = needs_person = False
        resumed, clock = bool(run.statement_id), time.monotonic()
        try:
            with self.workspace_id.client(self) as client:
                statement = self._statement(client, run)
                run.statement_id = statement.statement_id
                # known before the rows come: Odoo may be stopped while they do
                checkpoint(self.env)
                if not statement.is_running:
                    with self.env.cr.savepoint():
                        counts = self._load(client, run, statement)
        except BigDrop as drop:
            message, needs_person = self._refuse_drop(drop), True
        except WorkspaceError as error:
            message = explain(error)
        except UserError as error:
            message, needs_person = str(error), isinstance(error, NeedsPerson)
        except Exception as error:  # the scheduled action goes on with the next view
            _logger.exception("Refresh of %s failed", self.model_name)
            # the text of an unknown error may hold anything: it stays in the server's log
            message = _(
                "Unexpected error (%(kind)s); the server's log has the details.",
                kind=type(error).__name__,
            )
        now = fields.Datetime.now()
        if not message and not counts:
            self.write({"lease_until": False, "resume_at": now + LOOK_AGAIN})
            return
        values = {
            "state": "failed" if message else "done",
            "finished_at": now,
            "duration": (now - run.started_at).total_seconds()
            if resumed
            else time.monotonic() - clock,
            "error": message,
        }
        if message:
            run.write(values)
            self._record_failure(run)
            if needs_person:
                self._ask_person(message)
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
        self._record_success(run, counts)

    def _record_success(self, run, counts):
        if self.state == "failed":
            self.message_post(
                body=_("Refreshed again. %(summary)s", summary=self._run_summary(run))
            )
        newest = run.source_updated_at
        values = {}
        if run.complete:
            values = {"last_full_at": run.data_as_of, "rejected_count": run.rows_rejected}
        elif not newest or newest < self.last_watermark:
            newest = self.last_watermark
        self.write(
            {
                **values,
                "state": "ok",
                "data_as_of": run.data_as_of,
                "source_updated_at": newest,
                "last_watermark": newest,
                "row_count": counts.total,
                "drop_accepted": False,
                "drop_refused": False,
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
