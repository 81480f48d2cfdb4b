import json
import re
from datetime import timedelta

from odoo import _, api, fields, models
from odoo.exceptions import UserError, ValidationError

from .databricks_pipeline_run import ACTIVE_STATES, RUN_STATES
from .databricks_tools import MANAGER, checkpoint, require_group

KINDS = [("job", "Job"), ("pipeline", "Pipeline")]


class DatabricksPipeline(models.Model):
    """A job or a pipeline of the workspace that Odoo may run, now or by schedule."""

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
    kind = fields.Selection(
        KINDS,
        default="job",
        required=True,
        tracking=True,
        help="Job: a workflow of tasks. Pipeline: declared tables, which an update renews.",
    )
    job_name = fields.Char(
        tracking=True, help="Name of the job on the workspace; must be unique there."
    )
    job_id = fields.Char(
        "Job id", tracking=True, help="Wins over the name. A 64-bit number, hence kept as text."
    )
    remote_pipeline_id = fields.Char("Pipeline id", tracking=True)
    full_refresh = fields.Boolean(
        tracking=True, help="Each run computes the tables anew instead of what has changed."
    )
    parameters = fields.Text(
        default="{}",
        tracking=True,
        help='Job parameters as a JSON object of texts, e.g. {"month": "2025-09"}.',
    )
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

    @api.constrains("kind", "job_id", "job_name", "remote_pipeline_id")
    def _check_remote(self):
        for pipeline in self:
            if pipeline.kind == "pipeline":
                if not re.fullmatch(r"[0-9A-Za-z-]{1,64}", pipeline.remote_pipeline_id or ""):
                    raise ValidationError(
                        _("A pipeline needs its id, as the last part of its address shows it.")
                    )
            elif not pipeline.job_id and not pipeline.job_name:
                raise ValidationError(_("A pipeline needs the name or the id of its job."))
            elif pipeline.job_id and not pipeline.job_id.isdecimal():
                raise ValidationError(_("A job id is a whole number."))

    @api.constrains("parameters")
    def _check_parameters(self):
        for pipeline in self:
            pipeline._job_parameters()

    @api.constrains("max_minutes")
    def _check_max_minutes(self):
        if any(pipeline.max_minutes < 1 for pipeline in self):
            raise ValidationError(_("The longest run must be at least 1 minute."))

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
        return self._run("manual")

    def _run(self, reason, **values):
        """Queue a run, send it at once, and open it. Refused while another one is under way."""
        self._check_idle()
        run = self.sudo()._queue_run(reason, **values)
        checkpoint(self.env)
        run._advance()
        return {
            "type": "ir.actions.act_window",
            "res_model": "databricks.pipeline.run",
            "res_id": run.id,
            "view_mode": "form",
        }

    def _check_idle(self):
        if self.sudo()._has_active_run():
            raise UserError(
                _(
                    "'%(pipeline)s' is running already. Wait for it to end, or cancel it.",
                    pipeline=self.name,
                )
            )

    def action_view_runs(self):
        self.ensure_one()
        action = self.env["ir.actions.actions"]._for_xml_id(
            "odoo_databricks.databricks_pipeline_run_action"
        )
        action["domain"] = [("pipeline_id", "=", self.id)]
        action["context"] = {}
        return action

    # -- runs ---------------------------------------------------------------------------------
    def _has_active_run(self):
        domain = [("pipeline_id", "=", self.id), ("state", "in", ACTIVE_STATES)]
        return bool(self.env["databricks.pipeline.run"].search_count(domain, limit=1))

    def _queue_run(self, reason, **values):
        return self.env["databricks.pipeline.run"].create(
            {
                "pipeline_id": self.id,
                "reason": reason,
                "parameters": json.dumps(self._job_parameters()),
                "deadline_at": self._deadline(),
                **values,
            }
        )

    def _deadline(self):
        return fields.Datetime.now() + timedelta(minutes=self.max_minutes)
