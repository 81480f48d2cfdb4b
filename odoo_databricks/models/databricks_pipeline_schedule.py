"""When a pipeline runs by itself: by interval, after month ends, or before BIR deadlines."""

import logging
from datetime import timedelta

from dateutil.relativedelta import relativedelta

from odoo import _, api, fields, models
from odoo.exceptions import ValidationError
from odoo.tools import SQL

from ..lib import schedule
from .databricks_tools import checkpoint, claim_one

_logger = logging.getLogger(__name__)

MOST_DAYS = 60


class DatabricksPipeline(models.Model):
    _inherit = "databricks.pipeline"

    scheduled = fields.Boolean("Run by schedule", tracking=True)
    schedule_kind = fields.Selection(
        [
            ("interval", "Interval"),
            ("month_end", "Month end"),
            ("bir_deadline", "BIR deadline"),
        ],
        "Rhythm",
        default="interval",
        required=True,
        tracking=True,
    )
    interval_number = fields.Integer("Every", default=1, required=True)
    interval_type = fields.Selection(
        [
            ("minutes", "Minutes"),
            ("hours", "Hours"),
            ("days", "Days"),
            ("weeks", "Weeks"),
            ("months", "Months"),
        ],
        default="days",
        required=True,
    )
    schedule_days = fields.Integer(
        "Days",
        default=1,
        help="Days after the last day of each month, or before each deadline. A deadline that "
        "falls on a holiday is not moved.",
    )
    schedule_hour = fields.Float("Hour in Manila", default=6.0)
    bir_form = fields.Selection(selection=lambda self: self._bir_forms(), string="BIR form")
    next_run = fields.Datetime(
        compute="_compute_next_run", store=True, readonly=False, precompute=True, copy=False
    )

    @api.model
    def _bir_forms(self):
        return [(code, f"{code} {title}") for code, title in schedule.deadline_forms()]

    @api.depends("scheduled", "schedule_kind", "schedule_days", "schedule_hour", "bir_form")
    def _compute_next_run(self):
        now = fields.Datetime.now()
        for pipeline in self:
            if pipeline.schedule_kind == "interval":
                pipeline.next_run = pipeline.next_run or now
            elif pipeline.schedule_kind == "bir_deadline" and not pipeline.bir_form:
                pipeline.next_run = False
            else:
                pipeline.next_run = pipeline._next_after(now)

    @api.constrains(
        "interval_number", "schedule_kind", "schedule_days", "schedule_hour", "bir_form"
    )
    def _check_schedule(self):
        for pipeline in self:
            if pipeline.interval_number < 1:
                raise ValidationError(_("The interval must be at least 1."))
            if not 0 <= pipeline.schedule_days <= MOST_DAYS:
                raise ValidationError(_("The days must be 0 to %(most)s.", most=MOST_DAYS))
            if not 0 <= pipeline.schedule_hour < 24:
                raise ValidationError(_("The hour in Manila must be 0:00 to 23:59."))
            if pipeline.schedule_kind == "bir_deadline" and not pipeline.bir_form:
                raise ValidationError(_("A BIR deadline needs the form that is due."))

    @api.model
    def _cron_run_and_poll(self):
        """Queue a run for each pipeline that is due, then take each active run one step further."""
        while self._queue_due():
            checkpoint(self.env)
        self.env["databricks.pipeline.run"]._cron_advance()

    def _queue_due(self):
        now = fields.Datetime.now()
        pipeline = claim_one(
            self.browse(), SQL("active AND scheduled AND next_run <= %s", now), SQL("next_run, id")
        )
        if not pipeline:
            return False
        scheduled_for = pipeline.next_run
        pipeline.next_run = pipeline._next_after(now)
        if pipeline._has_active_run():
            _logger.info("%s is still running; this time is left out", pipeline.name)
        else:
            pipeline._queue_run("schedule", scheduled_for=scheduled_for)
        return True

    def _next_after(self, now):
        """The next time of the schedule's own rhythm that lies ahead: missed times run once."""
        if self.schedule_kind == "month_end":
            return schedule.after_month_end(now, self.schedule_days, self.schedule_hour)
        if self.schedule_kind == "bir_deadline":
            return schedule.before_deadline(
                now, self.bir_form, self.schedule_days, self.schedule_hour
            )
        step = relativedelta(**{self.interval_type: self.interval_number})
        if self.interval_type in ("minutes", "hours", "days", "weeks"):
            length = timedelta(**{self.interval_type: self.interval_number})
            return self.next_run + length * ((now - self.next_run) // length + 1)
        moment, steps = self.next_run, 1
        while moment <= now:
            # counted from the start: the 31st stays the last day, it does not slip to the 28th
            moment = self.next_run + step * steps
            steps += 1
        return moment
