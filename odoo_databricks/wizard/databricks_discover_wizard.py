import json

from odoo import _, api, fields, models
from odoo.exceptions import UserError

from ..lib import jobs, pipelines
from ..lib.client import transport_of
from ..lib.errors import WorkspaceError
from ..models.databricks_pipeline import KINDS
from ..models.databricks_tools import MANAGER, explain, require_group

MOST = 1000
# all pages of both lists come within this many seconds, less than a worker of Odoo may take
PATIENCE = 60


class DatabricksDiscoverWizard(models.TransientModel):
    """Lists the jobs and pipelines of a workspace and takes the chosen ones over."""

    _name = "databricks.discover.wizard"
    _description = "Find jobs and pipelines"

    workspace_id = fields.Many2one(
        "databricks.workspace",
        required=True,
        ondelete="cascade",
        default=lambda self: self.env["databricks.workspace"].search([], limit=1),
    )
    searched = fields.Boolean(readonly=True)
    note = fields.Text(readonly=True, help="What could not be listed, and why.")
    line_ids = fields.One2many("databricks.discover.wizard.line", "wizard_id", "Found")

    def action_search(self):
        """Ask the workspace; a kind that may not be listed is told, the other is shown."""
        self.ensure_one()
        require_group(self.env, MANAGER, _("Only a lakehouse manager looks for jobs."))
        found, notes = [], []
        for kind, read in (("job", self._jobs), ("pipeline", self._pipelines)):
            try:
                with self.workspace_id.client(self.workspace_id) as client:
                    with transport_of(client).deadline(PATIENCE / 2):
                        found += read(client)
            except WorkspaceError as error:
                notes.append(f"{dict(KINDS)[kind]}: {explain(error)}")
        if len(notes) == 2:
            raise UserError("\n".join(dict.fromkeys(notes)))
        if len(found) >= MOST:
            notes.append(_("Only the first %(most)s of a kind are shown.", most=MOST))
        self.write(
            {
                "searched": True,
                "note": "\n".join(notes) or False,
                "line_ids": [(5, 0, 0), *((0, 0, values) for values in self._mark_known(found))],
            }
        )
        return self._reopen()

    @api.model
    def _jobs(self, client):
        return [
            {"kind": "job", "name": job.name, "remote_id": str(job.job_id)}
            for job in jobs.list_jobs(client, MOST)
        ]

    @api.model
    def _pipelines(self, client):
        return [
            {"kind": "pipeline", "name": one.name, "remote_id": one.pipeline_id}
            for one in pipelines.list_pipelines(client, MOST)
        ]

    def _mark_known(self, found):
        """Each of `found` with the pipeline of Odoo that stands for it already, if there is one."""
        known = {}
        for pipeline in (
            self.env["databricks.pipeline"]
            .with_context(active_test=False)
            .search([("workspace_id", "=", self.workspace_id.id)])
        ):
            if pipeline.kind == "pipeline":
                known["pipeline", pipeline.remote_pipeline_id] = pipeline
            elif pipeline.job_id:
                known["job", pipeline.job_id] = pipeline
            else:
                known["job", pipeline.job_name] = pipeline
        for values in found:
            kind = values["kind"]
            pipeline = known.get((kind, values["remote_id"]))
            if not pipeline and kind == "job":
                pipeline = known.get((kind, values["name"]))
            yield {**values, "pipeline_id": pipeline.id if pipeline else False}

    def _reopen(self):
        return {
            "type": "ir.actions.act_window",
            "name": self._description,
            "res_model": self._name,
            "res_id": self.id,
            "view_mode": "form",
            "target": "new",
        }

    def action_create(self):
        """Make a pipeline of each chosen line; a job brings the defaults of its parameters."""
        self.ensure_one()
        require_group(self.env, MANAGER, _("Only a lakehouse manager makes pipelines."))
        chosen = self.line_ids.filtered(lambda line: line.selected and not line.pipeline_id)
        if not chosen:
            raise UserError(_("Choose at least one that is not known yet."))
        try:
            with self.workspace_id.client(self.workspace_id) as client:
                values = [line._pipeline_values(client) for line in chosen]
        except WorkspaceError as error:
            raise UserError(explain(error)) from error
        made = self.env["databricks.pipeline"].create(values)
        return {
            "type": "ir.actions.act_window",
            "name": _("Pipelines"),
            "res_model": "databricks.pipeline",
            "view_mode": "tree,form",
            "domain": [("id", "in", made.ids)],
        }


class DatabricksDiscoverWizardLine(models.TransientModel):
    _name = "databricks.discover.wizard.line"
    _description = "Job or pipeline that was found"
    _order = "kind, name, id"

    wizard_id = fields.Many2one("databricks.discover.wizard", required=True, ondelete="cascade")
    selected = fields.Boolean("Choose")
    kind = fields.Selection(KINDS, required=True, readonly=True)
    name = fields.Char(required=True, readonly=True)
    remote_id = fields.Char("Id", required=True, readonly=True)
    pipeline_id = fields.Many2one(
        "databricks.pipeline", "Known as", readonly=True, ondelete="cascade"
    )

    def _pipeline_values(self, client):
        values = {
            "name": self.name,
            "workspace_id": self.wizard_id.workspace_id.id,
            "kind": self.kind,
        }
        if self.kind == "pipeline":
            return {**values, "remote_pipeline_id": self.remote_id}
        defaults = jobs.default_parameters(client, int(self.remote_id))
        return {
            **values,
            "job_id": self.remote_id,
            "job_name": self.name,
            "parameters": json.dumps(defaults, indent=2),
        }
