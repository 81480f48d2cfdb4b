import json
import logging
from datetime import timedelta

from dateutil.relativedelta import relativedelta

from odoo import _, api, fields, models
from odoo.exceptions import UserError, ValidationError
from odoo.tools import SQL

from .databricks_pipeline_run import ACTIVE_STATES, RUN_STATES
from .databricks_tools import MANAGER, checkpoint, claim_one, require_group

_logger = logging.getLogger(__name__)


class DatabricksPipeline(models.Model):
    """A job of the workspace that Odoo may run, now or by schedule."""

    _name = "databricks.pipeline"
    _description = "Databricks pipeline"
    _inherit = ["mail.thread"]
    _order = "name, id"

    name = fields.Char(required=True, tracking=True)
    active = fields.Boolean(default=True)
    workspace_id = fields.Many2one(
        "databricks.workspace", required=True, ondelete="restrict", tracking=True
    )
    company_id = fields.Many2one(
        related="workspace_id.company_id", store=True, index=True, related_sudo=True
    )
    job_name = fields.Char(
        tracking=True, help="Name of the job on the workspace; must be unique there."
    )
    job_id = fields.Char(
        "Job id", tracking=True, help="Wins over the name. A 64-bit number, hence kept as text."
    )
    parameters = fields.Text(
        default="{}",
        tracking=True,
        help='Job parameters as a JSON object of texts, e.g. {"month": "2025-09"}.',
    )
    scheduled = fields.Boolean("Run by schedule", tracking=True)
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
    next_run = fields.Datetime("Next run", default=fields.Datetime.now, copy=False)
    max_minutes = fields.Integer(
        "Longest run",
        default=120,
        required=True,
        help="Minutes; a run that takes longer is canceled.",
    )
    responsible_id = fields.Many2one(
        "res.users",
        default=lambda self: self.env.user,
        help="Gets an activity when a run fails.",
    )
    run_ids = fields.One2many("databricks.pipeline.run", "pipeline_id", "Runs")
    last_run_id = fields.Many2one("databricks.pipeline.run", compute="_compute_last_run")
    last_state = fields.Selection(RUN_STATES, "Last run", compute="_compute_last_run")

    @api.depends("run_ids.state")
    def _compute_last_run(self):
        groups = self.env["databricks.pipeline.run"]._read_group(
            [("pipeline_id", "in", self.ids)], ["pipeline_id"], ["id:max"]
        )
        newest = {pipeline.id: run_id for pipeline, run_id in groups}
        for pipeline in self:
            pipeline.last_run_id = newest.get(pipeline.id)
            pipeline.last_state = pipeline.last_run_id.state

    @api.constrains("job_id", "job_name")
    def _check_job(self):
        for pipeline in self:
            if not pipeline.job_id and not pipeline.job_name:
                raise ValidationError(_("A pipeline needs the name or the id of its job."))
            if pipeline.job_id and not pipeline.job_id.isdecimal():
                raise ValidationError(_("A job id is a whole number."))

    @api.constrains("parameters")
    def _check_parameters(self):
        for pipeline in self:
            pipeline._job_parameters()

    @api.constrains("interval_number", "max_minutes")
    def _check_durations(self):
        if any(pipeline.interval_number < 1 or pipeline.max_minutes < 1 for pipeline in self):
            raise ValidationError(_("The interval and the longest run must be at least 1."))

    def _job_parameters(self):
        """The parameters as dict of str to str. Raises ValidationError."""
        try:
            parameters = json.loads(self.parameters or "{}")
        except ValueError as error:
            raise ValidationError(
                _("The parameters are not JSON: %(error)s", error=error)
            ) from error
        if not isinstance(parameters, dict) or not all(
            isinstance(value, str) for value in parameters.values()
        ):
            raise ValidationError(
                _('The parameters must be a JSON object of texts, e.g. {"month": "2025-09"}.')
            )
        return parameters

    # -- actions --------------------------------------------------------------------------------
    def action_run_now(self):
        """Submit a run and open it; what becomes of it is looked at by the scheduled action."""
        self.ensure_one()
        require_group(self.env, MANAGER, _("Only a lakehouse manager runs pipelines."))
        if self.sudo()._has_active_run():
            raise UserError(
                _(
                    "'%(pipeline)s' is running already. Wait for it to end, or cancel it.",
                    pipeline=self.name,
                )
            )
        run = self.sudo()._queue_run("manual")
        checkpoint(self.env)
        run._advance()
        return {
            "type": "ir.actions.act_window",
            "res_model": "databricks.pipeline.run",
            "res_id": run.id,
            "view_mode": "form",
        }

    def action_view_runs(self):
        self.ensure_one()
        action = self.env["ir.actions.actions"]._for_xml_id(
            "odoo_databricks.databricks_pipeline_run_action"
        )
        action["domain"] = [("pipeline_id", "=", self.id)]
        action["context"] = {}
        return action

    # -- schedule -------------------------------------------------------------------------------
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
            pipeline._queue_run("schedule", scheduled_for)
        return True

    def _next_after(self, now):
        """The next time of the schedule's own rhythm that lies ahead: missed times run once."""
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

    def _has_active_run(self):
        domain = [("pipeline_id", "=", self.id), ("state", "in", ACTIVE_STATES)]
        return bool(self.env["databricks.pipeline.run"].search_count(domain, limit=1))

    def _queue_run(self, reason, scheduled_for=None):
        return self.env["databricks.pipeline.run"].create(
            {
                "pipeline_id": self.id,
                "reason": reason,
                "scheduled_for": scheduled_for,
                "parameters": json.dumps(self._job_parameters()),
                "deadline_at": fields.Datetime.now() + timedelta(minutes=self.max_minutes),
            }
        )
