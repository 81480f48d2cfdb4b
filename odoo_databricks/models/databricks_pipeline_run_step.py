"""One step of a run: send it, look at it, repair it or cancel it, and note what came of it."""

import json
import random
import time
from datetime import timedelta
from typing import NamedTuple

from odoo import _, api, fields, models
from odoo.tools import SQL

from ..lib import jobs, pipelines
from ..lib.client import transport_of
from ..lib.errors import NotFound, WorkspaceError, WorkspacePaused, WrongToken
from .databricks_pipeline_run import ACTIVE_STATES
from .databricks_tools import checkpoint, claim_one, explain

WAITING = ("QUEUED", "PENDING", "BLOCKED")
# seconds between two looks at a run: 5, 10, 20, 40, then 60, each less a random part
FIRST_DELAY, LONGEST_DELAY = 5, 60
# the same after faults of the workspace, so that an outage is not met by a call each minute
LONGEST_FAULT_DELAY = 600
# while a worker handles a run nobody else takes it up; longer than the calls of one step may last
LEASE = timedelta(minutes=5)
# a worker of Odoo has 120 seconds: one step ends before, and so does a round of many steps
STEP_SECONDS, CRON_SECONDS = 60, 50
# most outputs of tasks that one step asks for
OUTPUTS_A_STEP = 20


class Look(NamedTuple):
    """What a step found out; `run` None means that the workspace never started the run."""

    run: jobs.Run | None
    outputs: list[jobs.TaskOutput] = []
    repairing: bool = False


class DatabricksPipelineRun(models.Model):
    _inherit = "databricks.pipeline.run"

    @api.model
    def _cron_advance(self, limit=200):
        """Take each active run that is due one step further; locked ones are left to others."""
        due = SQL("next_poll_at <= %s", fields.Datetime.now())
        end = time.monotonic() + CRON_SECONDS
        for __ in range(limit):
            if time.monotonic() > end or not self.browse()._claim_and_advance(due):
                break

    @api.model
    def _wake(self, workspace):
        """Have the runs that wait for the workspace looked at now."""
        waiting = self.search(
            [("workspace_id", "=", workspace.id), ("state", "in", ACTIVE_STATES)], limit=1000
        )
        if waiting:
            waiting.next_poll_at = fields.Datetime.now()
            self.env.ref("odoo_databricks.databricks_pipeline_cron")._trigger()

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
        """Take the run one step further. No row is locked while the workspace is asked."""
        self.ensure_one()
        now = fields.Datetime.now()
        values = {"lease_until": now + LEASE}
        if now > self.deadline_at and not self.cancel_reason:
            values["cancel_reason"] = _("Took longer than the longest run allowed.")
        sending = not self.remote_run_id
        never_sent = sending and not self.submit_attempts
        if never_sent and (self.cancel_reason or values.get("cancel_reason")):
            self.write(values)
            self._transition("canceled", error=self.error)
        else:
            if sending:
                values["submit_attempts"] = self.submit_attempts + 1
            self.write(values)
            checkpoint(self.env)
            self._ask_workspace()
        self.lease_until = False
        checkpoint(self.env)

    def _ask_workspace(self):
        ask = self._ask_pipeline if self.kind == "pipeline" else self._ask_job
        try:
            with (
                self.workspace_id.client(self) as client,
                transport_of(client).deadline(STEP_SECONDS),
            ):
                look = ask(client)
        except WorkspaceError as error:
            self._record_fault(error)
        else:
            self._record_answer(look)

    # -- calls: nothing is written here ---------------------------------------------------------
    def _ask_job(self, client):
        if self.remote_run_id:
            run_id = int(self.remote_run_id)
        else:
            job_id = self.pipeline_id.job_id or jobs.find_job(client, self.pipeline_id.job_name)
            parameters = json.loads(self.parameters or "{}")
            run_id = jobs.run_now(client, int(job_id), self.idempotency_token, parameters)
        run = jobs.get_run(client, run_id)
        if self.repair_wanted and not self.cancel_reason:
            if jobs.repair(client, run, self.repair_count):
                return Look(jobs.get_run(client, run_id), repairing=True)
        elif self.cancel_reason and not run.is_terminal:
            jobs.cancel(client, run_id)
            run = jobs.get_run(client, run_id)
        return Look(run, self._outputs(lambda: jobs.outputs(client, self._to_read(run))))

    def _ask_pipeline(self, client):
        pipeline = self.pipeline_id
        remote_id, update_id = pipeline.remote_pipeline_id, self.remote_run_id
        if not update_id and self.cancel_reason:
            known = self._known_updates()
            update_id = pipelines.find_update(client, remote_id, self.create_date, known)
            if not update_id:
                return Look(None)
        elif not update_id:
            update_id = pipelines.start_update(
                client,
                remote_id,
                since=self.create_date,
                known=self._known_updates(),
                first=self.submit_attempts == 1,
                full_refresh=pipeline.full_refresh,
            )
        run = pipelines.get_update(client, remote_id, update_id)
        if self.cancel_reason and not run.is_terminal:
            pipelines.stop(client, remote_id, update_id)
            run = pipelines.get_update(client, remote_id, update_id)
        if not run.is_terminal or run.is_success:
            return Look(run)
        failures = self._outputs(lambda: pipelines.failures(client, remote_id, update_id))
        return Look(run, failures)

    def _known_updates(self):
        """Updates of the same pipeline that belong to other runs."""
        runs = self.search(
            [
                ("workspace_id", "=", self.workspace_id.id),
                ("pipeline_id.remote_pipeline_id", "=", self.pipeline_id.remote_pipeline_id),
                ("remote_run_id", "!=", False),
                ("id", "!=", self.id),
            ],
            limit=100,
        )
        return set(runs.mapped("remote_run_id"))

    def _to_read(self, run):
        """The ended tasks whose output is not known yet, those that failed first."""
        ended = [
            task
            for task in run.tasks
            if task.is_terminal
            and task.life_cycle != "SKIPPED"
            and self.task_ids._lacks_output(task)
        ]
        return sorted(ended, key=lambda task: not task.has_failed)[:OUTPUTS_A_STEP]

    def _outputs(self, read):
        """What `read` gives. Past the deadline a run ends also without the texts of its tasks."""
        try:
            return read()
        except WorkspaceError:
            if fields.Datetime.now() <= self.deadline_at:
                raise
            return []

    # -- what came of it ------------------------------------------------------------------------
    def _record_answer(self, look):
        remote = look.run
        if remote is None:
            self._transition("canceled", fault_count=0, error=False)
            return
        values = {
            "remote_run_id": str(remote.run_id),
            "run_page_url": remote.page_url,
            "state_message": remote.message or False,
            "error": False,
            "fault_count": 0,
            "poll_count": self.poll_count + 1,
            "repair_wanted": False,
            "repair_count": len(remote.repairs),
        }
        if not self.remote_run_id:
            values["submitted_at"] = fields.Datetime.now()
        self.task_ids._sync(self, remote.tasks, look.outputs)
        # right after a repair the workspace may still show how the run ended before
        state = "submitted" if look.repairing else self._state_of(remote)
        if state == "failed":
            values["error"] = self._error_text(look) or remote.message or remote.result
        self._transition(state, **values)

    def _error_text(self, look):
        """One line a failed task, or what the workspace says of the whole update."""
        failed = self.task_ids.filtered(lambda task: task.state == "failed" and task.error)
        errors = {task.key: task.error for task in failed}
        for output in look.outputs:
            if output.error and output.task_key not in self.task_ids.mapped("key"):
                errors[output.task_key] = output.error
        return "\n".join(f"{key}: {text}" if key else text for key, text in errors.items())

    @api.model
    def _state_of(self, remote):
        if remote.is_terminal:
            if remote.is_success:
                return "succeeded"
            return "canceled" if remote.result in ("CANCELED", "UPSTREAM_CANCELED") else "failed"
        return "submitted" if remote.life_cycle in WAITING else "running"

    def _record_fault(self, error):
        """The workspace could not be asked, or refused; only a refusal ends the run."""
        if isinstance(error, WorkspacePaused):
            self._record_pause(error)
            return
        message = explain(error)
        values = {"fault_count": self.fault_count + 1, "error": message}
        unsure = self.submit_attempts > 1 and isinstance(error, WrongToken)
        if self.repair_wanted:
            ended = not (error.retryable or isinstance(error, WrongToken))
        elif self.remote_run_id:
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
            self._transition("failed", **{**values, "error": message, "repair_wanted": False})
            return
        retry_after = getattr(error, "retry_after", None)
        if retry_after:
            wait = min(max(retry_after, FIRST_DELAY), 3600) * random.uniform(1, 1.2)
            values["next_poll_at"] = fields.Datetime.now() + timedelta(seconds=wait)
        self._transition(self.state, **values)

    def _record_pause(self, error):
        """Nothing was sent: the run waits for the workspace, and this was no attempt."""
        now = fields.Datetime.now()
        until = max(error.until or now + timedelta(seconds=LONGEST_FAULT_DELAY), now)
        values = {
            "error": explain(error),
            "next_poll_at": until + timedelta(seconds=random.uniform(1, 15)),
        }
        if not self.remote_run_id:
            values["submit_attempts"] = self.submit_attempts - 1
        self._transition(self.state, **values)

    def _delay(self, values):
        """Exponential backoff with jitter, longer while the workspace does not answer."""
        faults = values.get("fault_count", self.fault_count)
        count, longest = self.poll_count, LONGEST_DELAY
        if faults:
            count, longest = faults, LONGEST_FAULT_DELAY
        delay = min(longest, FIRST_DELAY * 2 ** min(count, 10))
        return timedelta(seconds=delay * random.uniform(0.5, 1))
