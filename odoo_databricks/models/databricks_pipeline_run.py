import uuid
from datetime import timedelta

from odoo import _, api, fields, models
from odoo.exceptions import UserError
from odoo.tools import SQL

from .databricks_tools import MANAGER, require_group

RUN_STATES = [
    ("queued", "Queued"),
    ("submitted", "Submitted"),
    ("running", "Running"),
    ("succeeded", "Succeeded"),
    ("failed", "Failed"),
    ("canceled", "Canceled"),
]
ACTIVE_STATES = ("queued", "submitted", "running")
ENDED_BADLY = ("failed", "canceled")
# what a run that goes on once more forgets of its end
NOT_ENDED = {"finished_at": False, "error": False, "cancel_reason": False, "fault_count": 0}
KEPT_DAYS = 180


class DatabricksPipelineRun(models.Model):
    """One run of a job, or update of a pipeline, from before it is sent until it has ended.

    The record and its idempotency token are committed before the workspace is called. If the
    answer is lost, the same token is sent again, and the workspace answers with the run that it had
    started. What a task or the workspace wrote may hold anything, so only managers read it.
    """

    _name = "databricks.pipeline.run"
    _description = "Databricks pipeline run"
    _inherit = ["mail.thread", "mail.activity.mixin"]
    _order = "id desc"
    _sql_constraints = [
        ("token_uniq", "unique (idempotency_token)", "Each run has its own idempotency token."),
    ]

    pipeline_id = fields.Many2one(
        "databricks.pipeline", required=True, index=True, readonly=True, ondelete="cascade"
    )
    workspace_id = fields.Many2one(related="pipeline_id.workspace_id", store=True)
    company_id = fields.Many2one(related="pipeline_id.company_id", store=True, index=True)
    kind = fields.Selection(related="pipeline_id.kind")
    state = fields.Selection(
        RUN_STATES,
        default="queued",
        required=True,
        readonly=True,
        index=True,
        help="Queued: not confirmed by the workspace yet. Submitted: the workspace has it.",
    )
    reason = fields.Selection(
        [("manual", "Asked by a person"), ("schedule", "Scheduled"), ("retry", "Retry")],
        string="Started",
        default="manual",
        required=True,
        readonly=True,
    )
    scheduled_for = fields.Datetime(readonly=True)
    retry_of_id = fields.Many2one("databricks.pipeline.run", "Retry of", readonly=True)
    parameters = fields.Text(readonly=True, default="{}")
    idempotency_token = fields.Char(
        required=True, readonly=True, copy=False, default=lambda self: uuid.uuid4().hex
    )
    remote_run_id = fields.Char("Run id", readonly=True, copy=False, index=True)
    run_page_url = fields.Char(readonly=True, copy=False, groups=MANAGER)
    submit_attempts = fields.Integer(readonly=True, copy=False)
    submitted_at = fields.Datetime(readonly=True, copy=False)
    finished_at = fields.Datetime(readonly=True, copy=False)
    duration = fields.Float(
        compute="_compute_duration", help="Minutes and seconds since it was submitted."
    )
    deadline_at = fields.Datetime("Deadline", required=True, readonly=True)
    next_poll_at = fields.Datetime(default=fields.Datetime.now, readonly=True, index=True)
    lease_until = fields.Datetime(readonly=True, copy=False)
    poll_count = fields.Integer(readonly=True, copy=False)
    fault_count = fields.Integer("Faults in a row", readonly=True, copy=False)
    cancel_reason = fields.Char(readonly=True, copy=False)
    repair_wanted = fields.Boolean(readonly=True, copy=False)
    repair_count = fields.Integer("Repairs", readonly=True, copy=False)
    task_ids = fields.One2many("databricks.pipeline.run.task", "run_id", "Tasks", readonly=True)
    state_message = fields.Char(readonly=True, copy=False, groups=MANAGER)
    error = fields.Text(readonly=True, copy=False, groups=MANAGER)

    @api.depends("submitted_at", "finished_at")
    def _compute_duration(self):
        now = fields.Datetime.now()
        for run in self:
            start, end = run.submitted_at, run.finished_at or now
            run.duration = (end - start).total_seconds() / 60 if start else 0.0

    @api.depends("pipeline_id.name")
    def _compute_display_name(self):
        for run in self:
            run.display_name = f"{run.pipeline_id.name} #{run.id or ''}"

    # -- actions --------------------------------------------------------------------------------
    def _check_manager(self):
        require_group(self.env, MANAGER, _("Only a lakehouse manager handles pipeline runs."))

    def action_poll(self):
        """Ask the workspace now instead of waiting for the scheduled action."""
        self.ensure_one()
        self._check_manager()
        self.sudo()._claim_and_advance(SQL("true"))
        return True

    def action_cancel(self):
        self.ensure_one()
        self._check_manager()
        if self.state not in ACTIVE_STATES:
            raise UserError(_("This run has ended already."))
        run = self.sudo()
        run.cancel_reason = _("Canceled by %(user)s.", user=self.env.user.name)
        if not run.submit_attempts:
            run._transition("canceled")
            return True
        run._claim_and_advance(SQL("true"))
        return True

    def action_repair(self):
        """Run the failed tasks of this run again, in the same run of the workspace."""
        self.ensure_one()
        self._check_manager()
        run = self.sudo()
        if run.kind != "job" or not run.remote_run_id or run.state not in ENDED_BADLY:
            raise UserError(_("Only the run of a job that failed or was canceled is repaired."))
        run.pipeline_id._check_idle()
        run.write({"repair_wanted": True, "deadline_at": run.pipeline_id._deadline()})
        run._transition("submitted", **NOT_ENDED)
        run._claim_and_advance(SQL("true"))
        return True

    def action_retry(self):
        """A new run with the parameters of this one."""
        self.ensure_one()
        self._check_manager()
        if self.state in ACTIVE_STATES:
            raise UserError(_("This run has not ended yet."))
        return self.pipeline_id._run(
            "retry", parameters=self.sudo().parameters, retry_of_id=self.id
        )

    def action_open_run_page(self):
        self.ensure_one()
        if not self.run_page_url:
            raise UserError(_("The workspace has not given this run a page yet."))
        return {"type": "ir.actions.act_url", "url": self.run_page_url, "target": "new"}

    # -- transitions ----------------------------------------------------------------------------
    def _transition(self, state, **values):
        """Write the state; the chatter hears of changes only, a person of failures."""
        self.ensure_one()
        changed = state != self.state
        values["state"] = state
        if state in ACTIVE_STATES:
            values.setdefault("next_poll_at", fields.Datetime.now() + self._delay(values))
        else:
            values.update(finished_at=fields.Datetime.now(), next_poll_at=False)
        if state == "canceled" and not values.get("error"):
            values["error"] = self.cancel_reason
        self.write(values)
        if not changed:
            return
        self.message_post(body=self._transition_text())
        overdue = state == "canceled" and self.finished_at > self.deadline_at
        if state == "failed" or overdue:
            self._schedule_failure_activity()
        elif state == "succeeded":
            (self | self.retry_of_id)._close_failure_activities()

    def _transition_text(self):
        """For everybody who follows the run: no text of the workspace, which may hold anything."""
        text = dict(self._fields["state"]._description_selection(self.env))[self.state] + "."
        if self.state == "canceled" and self.cancel_reason:
            return f"{text} {self.cancel_reason}"
        failed = self.task_ids.filtered(lambda task: task.state == "failed")
        if self.state == "failed" and failed:
            return f"{text} " + _("Tasks: %(tasks)s.", tasks=", ".join(failed.mapped("key")))
        return text

    def _schedule_failure_activity(self):
        """One open activity a pipeline, however often it fails."""
        kind = self.env.ref("mail.mail_activity_data_warning")
        open_ones = self.search_count(
            [
                ("pipeline_id", "=", self.pipeline_id.id),
                ("activity_ids.activity_type_id", "=", kind.id),
            ],
            limit=1,
        )
        user = self.pipeline_id.responsible_id or self.create_uid
        if not open_ones and user.active:
            self.activity_schedule(
                "mail.mail_activity_data_warning",
                user_id=user.id,
                summary=_("Pipeline run failed"),
                note=self.error or "",
            )

    def _close_failure_activities(self):
        warning = "mail.mail_activity_data_warning"
        self.activity_feedback([warning], feedback=_("Succeeded after all."))

    @api.autovacuum
    def _gc_pipeline_runs(self):
        limit = fields.Datetime.now() - timedelta(days=KEPT_DAYS)
        self.search(
            [("finished_at", "<", limit), ("state", "not in", ACTIVE_STATES)], limit=10000
        ).unlink()
