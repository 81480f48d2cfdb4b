from odoo import api, fields, models

from .databricks_tools import MANAGER

TASK_STATES = [
    ("waiting", "Waiting"),
    ("running", "Running"),
    ("succeeded", "Succeeded"),
    ("failed", "Failed"),
    ("canceled", "Canceled"),
    ("skipped", "Skipped"),
]
_BY_RESULT = {
    "SUCCESS": "succeeded",
    "SUCCESS_WITH_FAILURES": "succeeded",
    "CANCELED": "canceled",
    "UPSTREAM_CANCELED": "canceled",
    "UPSTREAM_FAILED": "skipped",
    "EXCLUDED": "skipped",
    "DISABLED": "skipped",
}
_OUTPUT_FIELDS = ("error", "error_trace", "log_tail", "output_read")


class DatabricksPipelineRunTask(models.Model):
    """The latest attempt of one task of a run; of a pipeline's update, one of its datasets.

    What the code of a task wrote may hold anything, so only managers read it.
    """

    _name = "databricks.pipeline.run.task"
    _description = "Task of a Databricks pipeline run"
    _order = "run_id desc, sequence, id"
    _rec_name = "key"
    _sql_constraints = [("key_uniq", "unique (run_id, key)", "A run has each task once.")]

    run_id = fields.Many2one(
        "databricks.pipeline.run", required=True, index=True, readonly=True, ondelete="cascade"
    )
    company_id = fields.Many2one(related="run_id.company_id", store=True, index=True)
    sequence = fields.Integer(readonly=True)
    key = fields.Char("Task", required=True, readonly=True)
    state = fields.Selection(TASK_STATES, required=True, readonly=True, default="waiting")
    result = fields.Char(readonly=True, help="The word of the workspace.")
    attempt = fields.Integer(readonly=True)
    remote_run_id = fields.Char("Task run id", readonly=True)
    started_at = fields.Datetime("Started", readonly=True)
    finished_at = fields.Datetime("Ended", readonly=True)
    duration = fields.Float(compute="_compute_duration", help="Minutes and seconds.")
    error = fields.Text(readonly=True, groups=MANAGER)
    error_trace = fields.Text("Trace", readonly=True, groups=MANAGER)
    log_tail = fields.Text("End of the log", readonly=True, groups=MANAGER)
    page_url = fields.Char(readonly=True, groups=MANAGER)
    output_read = fields.Boolean(readonly=True)

    @api.depends("started_at", "finished_at", "state")
    def _compute_duration(self):
        now = fields.Datetime.now()
        for task in self:
            end = task.finished_at or (now if task.state == "running" else task.started_at)
            seconds = (end - task.started_at).total_seconds() if task.started_at else 0
            task.duration = max(0.0, seconds) / 60

    def action_open_page(self):
        self.ensure_one()
        return {"type": "ir.actions.act_url", "url": self.page_url, "target": "new"}

    def _lacks_output(self, remote):
        """Whether the output of this attempt (a lib.jobs.TaskRun) is still to be asked for."""
        known = self.filtered(
            lambda task: task.key == remote.key and task.remote_run_id == str(remote.run_id)
        )
        return not known.output_read

    def _sync(self, run, remote_tasks, outputs):
        """Make the tasks of the run those of the workspace; only what changed is written."""
        known = {task.key: task for task in run.task_ids}
        told = {output.task_key: output for output in outputs}
        new = []
        for sequence, remote in enumerate(remote_tasks):
            values = self._values(sequence, remote, told.get(remote.key))
            task = known.get(remote.key)
            if not task:
                new.append({"run_id": run.id, "key": remote.key, **values})
                continue
            if task.remote_run_id != values["remote_run_id"]:
                # another attempt: what the one before left behind is not its output
                values = {**dict.fromkeys(_OUTPUT_FIELDS, False), **values}
            changed = {name: value for name, value in values.items() if task[name] != value}
            if changed:
                task.write(changed)
        self.create(new)

    @api.model
    def _values(self, sequence, remote, output):
        values = {
            "sequence": sequence,
            "state": self._state_of(remote),
            "result": remote.result or remote.life_cycle,
            "attempt": remote.attempt,
            "remote_run_id": str(remote.run_id),
            "started_at": remote.started and remote.started.replace(microsecond=0) or False,
            "finished_at": remote.ended and remote.ended.replace(microsecond=0) or False,
            "page_url": remote.page_url or False,
        }
        if output:
            values.update(
                error=output.error or False,
                error_trace=output.trace or False,
                log_tail=output.logs or False,
                output_read=True,
            )
        return values

    @api.model
    def _state_of(self, remote):
        if not remote.is_terminal:
            return "running" if remote.life_cycle in ("RUNNING", "TERMINATING") else "waiting"
        if remote.life_cycle == "SKIPPED":
            return "skipped"
        return _BY_RESULT.get(remote.result, "failed")
