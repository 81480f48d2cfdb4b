import json
import logging
import random
import uuid
from datetime import timedelta

from odoo import _, api, fields, models
from odoo.exceptions import UserError
from odoo.tools import SQL

from ..lib import jobs
from ..lib.errors import NotFound, WorkspaceError, WrongToken
from .databricks_tools import MANAGER, checkpoint, claim_one, explain, require_group

_logger = logging.getLogger(__name__)

RUN_STATES = [
    ("queued", "Queued"),
    ("submitted", "Submitted"),
    ("running", "Running"),
    ("succeeded", "Succeeded"),
    ("failed", "Failed"),
    ("canceled", "Canceled"),
]
ACTIVE_STATES = ("queued", "submitted", "running")
WAITING = ("QUEUED", "PENDING", "BLOCKED")
# seconds between two looks at a run: 5, 10, 20, 40, then 60, each less a random part
FIRST_DELAY, LONGEST_DELAY = 5, 60
# the same after faults of the workspace, so that an outage is not met by a call each minute
LONGEST_FAULT_DELAY = 600
# while a worker handles a run nobody else takes it up; longer than the calls of one step may last
LEASE = timedelta(minutes=5)
KEPT_DAYS = 180


class DatabricksPipelineRun(models.Model):
    """One run of a job, from before it is sent until it has ended.

    The record and its idempotency token are committed before the workspace is called. If the
    answer is lost, the same token is sent again, and the workspace answers with the run that it had
    started.
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
    state = fields.Selection(
        RUN_STATES,
        default="queued",
        required=True,
        readonly=True,
        index=True,
        help="Queued: not confirmed by the workspace yet. Submitted: the workspace has it.",
    )
    reason = fields.Selection(
        [("manual", "Asked by a person"), ("schedule", "Scheduled")],
        string="Started",
        default="manual",
        required=True,
        readonly=True,
    )
    scheduled_for = fields.Datetime(readonly=True)
    parameters = fields.Text(readonly=True, default="{}")
    idempotency_token = fields.Char(
        required=True, readonly=True, copy=False, default=lambda self: uuid.uuid4().hex
    )
    remote_run_id = fields.Char("Run id", readonly=True, copy=False, index=True)
    run_page_url = fields.Char(readonly=True, copy=False)
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
    task_status = fields.Text("Tasks", readonly=True, copy=False)
    state_message = fields.Char(readonly=True, copy=False)
    error = fields.Text(readonly=True, copy=False)
    error_trace = fields.Text(readonly=True, copy=False)

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

    def action_open_run_page(self):
        self.ensure_one()
        if not self.run_page_url:
            raise UserError(_("The workspace has not given this run a page yet."))
        return {"type": "ir.actions.act_url", "url": self.run_page_url, "target": "new"}

    # -- state machine --------------------------------------------------------------------------
    @api.model
    def _cron_advance(self, limit=200):
        """Take each active run that is due one step further; locked ones are left to others."""
        due = SQL("next_poll_at <= %s", fields.Datetime.now())
        for __ in range(limit):
            if not self.browse()._claim_and_advance(due):
                break

    def _claim_and_advance(self, condition):
        """Claim one active run of self (all, if empty) that meets the condition, and advance it."""
        run = claim_one(
            self,
            SQL(
                "state IN %s AND (lease_until IS NULL OR lease_until < %s) AND %s",
                ACTIVE_STATES,
                fields.Datetime.now(),
                condition,
            ),
            SQL("next_poll_at, id"),
        )
        if run:
            run._advance()
        return run

    def _advance(self):
        """Send the run, look at it, or cancel it. No row is locked while the workspace is asked."""
        self.ensure_one()
        now = fields.Datetime.now()
        values = {"lease_until": now + LEASE}
        if not self.remote_run_id:
            values["submit_attempts"] = self.submit_attempts + 1
        if now > self.deadline_at and not self.cancel_reason:
            values["cancel_reason"] = _("Took longer than the longest run allowed.")
        self.write(values)
        checkpoint(self.env)
        try:
            with self.workspace_id.client(self) as client:
                answer = self._ask(client)
        except WorkspaceError as error:
            self._record_fault(error)
        else:
            self._record_answer(answer)
        self.lease_until = False
        checkpoint(self.env)

    def _ask(self, client):
        """The calls of one step; writes nothing. Returns (jobs.Run, its task failures)."""
        if self.remote_run_id:
            run_id = int(self.remote_run_id)
        else:
            job_id = self.pipeline_id.job_id or jobs.find_job(client, self.pipeline_id.job_name)
            parameters = json.loads(self.parameters or "{}")
            run_id = jobs.run_now(client, int(job_id), self.idempotency_token, parameters)
        run = jobs.get_run(client, run_id)
        if self.cancel_reason and not run.is_terminal:
            jobs.cancel(client, run_id)
            run = jobs.get_run(client, run_id)
        failed = run.is_terminal and not run.is_success
        return run, jobs.failures(client, run) if failed else []

    def _record_answer(self, answer):
        remote, failures = answer
        values = {
            "remote_run_id": str(remote.run_id),
            "run_page_url": remote.page_url,
            "task_status": self._task_text(remote.tasks),
            "state_message": remote.message or False,
            "error": False,
            "fault_count": 0,
            "poll_count": self.poll_count + 1,
        }
        if not self.remote_run_id:
            values["submitted_at"] = fields.Datetime.now()
        state = self._state_of(remote)
        if state == "failed":
            errors = [f"{failure.task_key}: {failure.error}" for failure in failures]
            values["error"] = "\n".join(errors) or remote.message or remote.result
            values["error_trace"] = "\n\n".join(f.trace for f in failures if f.trace) or False
        self._transition(state, **values)

    @api.model
    def _state_of(self, remote):
        if remote.is_terminal:
            if remote.is_success:
                return "succeeded"
            return "canceled" if remote.result in ("CANCELED", "UPSTREAM_CANCELED") else "failed"
        return "submitted" if remote.life_cycle in WAITING else "running"

    def _record_fault(self, error):
        """The workspace could not be asked, or refused; only a refusal ends the run."""
        message = explain(error)
        values = {"fault_count": self.fault_count + 1, "error": message}
        unsure = self.submit_attempts > 1 and isinstance(error, WrongToken)
        if self.remote_run_id:
            # a token may be renewed; a run that is gone does not come back
            ended = isinstance(error, NotFound)
        else:
            ended = not (error.retryable or unsure)
            if self.cancel_reason and not ended:
                ended = fields.Datetime.now() > self.deadline_at
                message = _(
                    "The workspace never confirmed the run. If it started, it carries the "
                    "idempotency token %(token)s. Last fault: %(fault)s",
                    token=self.idempotency_token,
                    fault=message,
                )
        if ended:
            self._transition("failed", **{**values, "error": message})
        else:
            self._transition(self.state, **values)

    def _transition(self, state, **values):
        """Write the state; the chatter hears of changes only, a person of failures."""
        self.ensure_one()
        changed = state != self.state
        values["state"] = state
        if state in ACTIVE_STATES:
            values["next_poll_at"] = fields.Datetime.now() + self._delay(values)
        else:
            values.update(finished_at=fields.Datetime.now(), next_poll_at=False)
        if state == "canceled" and not values.get("error"):
            values["error"] = self.cancel_reason
        self.write(values)
        if not changed:
            return
        label = dict(self._fields["state"]._description_selection(self.env))[state]
        self.message_post(body=f"{label}. {self.error}" if self.error else f"{label}.")
        overdue = state == "canceled" and self.finished_at > self.deadline_at
        if state == "failed" or overdue:
            self._schedule_failure_activity()

    def _delay(self, values):
        """Exponential backoff with jitter, longer while the workspace does not answer."""
        faults = values.get("fault_count", self.fault_count)
        count, longest = self.poll_count, LONGEST_DELAY
        if faults:
            count, longest = faults, LONGEST_FAULT_DELAY
        delay = min(longest, FIRST_DELAY * 2 ** min(count, 10))
        return timedelta(seconds=delay * random.uniform(0.5, 1))

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

    @api.model
    def _task_text(self, tasks):
        """One line a task: key, state, and its message if it has one."""
        return (
            "\n".join(
                f"{task.key}: {task.result or task.life_cycle}"
                + (f" ({task.message})" if task.message else "")
                for task in tasks
            )
            or False
        )

    @api.autovacuum
    def _gc_pipeline_runs(self):
        limit = fields.Datetime.now() - timedelta(days=KEPT_DAYS)
        self.search(
            [("finished_at", "<", limit), ("state", "not in", ACTIVE_STATES)], limit=10000
        ).unlink()
