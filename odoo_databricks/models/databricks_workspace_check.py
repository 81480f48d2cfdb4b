"""Test connection: what of a workspace works for Odoo, and what is missing."""

from odoo import _, api, fields, models

from ..lib import health
from ..lib.errors import SecretError, WorkspaceError, WrongToken
from .databricks_circuit import Outcome
from .databricks_tools import MANAGER, require_group

# most tables, and most jobs, that one test looks at
MOST = 20


class DatabricksWorkspace(models.Model):
    _inherit = "databricks.workspace"

    check_state = fields.Selection(
        [("ok", "Works"), ("failed", "Does not work")], "Connection", readonly=True, copy=False
    )
    checked_at = fields.Datetime("Tested on", readonly=True, copy=False)
    check_result = fields.Text("Result", readonly=True, copy=False)

    def action_test_connection(self):
        """Check all that Odoo uses of the workspace, one by one; keep the result and show it."""
        self.ensure_one()
        self._check_system()
        workspace = self.sudo()
        checks = workspace._run_checks(self.warehouse_id or None, workspace._scope())
        works = all(check.ok for check in checks)
        lines = [self._check_line(check) for check in checks]
        if works and not self.warehouse_id:
            lines.append(_("No SQL warehouse is chosen: views cannot be refreshed."))
        workspace.write(
            {
                "check_state": "ok" if works else "failed",
                "checked_at": fields.Datetime.now(),
                "check_result": "\n".join(lines),
            }
        )
        return self._check_notification(works, lines)

    def action_try_now(self):
        """Ask a workspace that is paused whether it answers again; if it does, the pause ends."""
        self.ensure_one()
        require_group(self.env, MANAGER, _("Only a lakehouse manager tries a workspace."))
        checks = self.sudo()._run_checks(None, health.Scope())
        works = all(check.ok for check in checks)
        if works:
            self.env["databricks.pipeline.run"].sudo()._wake(self)
        return self._check_notification(works, [self._check_line(check) for check in checks])

    def _run_checks(self, warehouse_id, scope):
        """health.Checks; no circuit holds them back, and it hears what came of them."""
        try:
            mark = self._secret_mark()
        except SecretError as error:
            return [health.Check("secret", False, error.message, error.hint, error.kind)]
        outcome = Outcome()
        checks = health.test_connection(
            lambda: self._connect(note=outcome.note), warehouse_id, scope
        )
        failed = next((check for check in checks if check.ok is False), None)
        error = None
        if failed:
            kind = WrongToken if failed.kind == WrongToken.kind else WorkspaceError
            error = kind(failed.detail)
        self.env["databricks.circuit"]._record(self, outcome, error, mark)
        return checks

    def _scope(self):
        """What Odoo uses of this workspace."""
        mine = [("workspace_id", "=", self.id)]
        tables = self.env["lakehouse.view"].search(mine, limit=MOST).mapped("source_table")
        runs = self.env["databricks.pipeline"].search(mine, limit=MOST)
        jobs = runs.filtered(lambda pipeline: pipeline.kind == "job")
        updates = runs - jobs
        return health.Scope(
            tables=tuple(sorted(set(filter(None, tables)))),
            endpoints=tuple(self._endpoints()),
            jobs=tuple(job.job_id or job.job_name for job in jobs) if jobs else None,
            pipelines=tuple(updates.mapped("remote_pipeline_id")),
        )

    def _endpoints(self):
        """The serving endpoints of the companies that ask this workspace for proposals."""
        companies = self.company_id or self.env["res.company"].search([], limit=1000)
        usual = companies.default_get(["bir_endpoint"]).get("bir_endpoint")
        # every company has the name of an endpoint; one that was never asked is not missed
        asked = self.env["bir.prediction"]._read_group(
            [("company_id", "in", companies.ids)], ["company_id"]
        )
        using = companies.filtered(lambda company: company.bir_endpoint != usual)
        using |= companies.browse([company.id for (company,) in asked])
        mine = using.filtered(lambda company: self._for_company(company) == self)
        return sorted(set(mine.mapped("bir_endpoint")))

    @api.model
    def _check_notification(self, works, lines):
        return {
            "type": "ir.actions.client",
            "tag": "display_notification",
            "params": {
                "type": "success" if works else "danger",
                "title": _("The connection works") if works else _("The connection does not work"),
                "message": "\n".join(lines),
                "sticky": not works,
                "next": {"type": "ir.actions.client", "tag": "soft_reload"},
            },
        }

    @api.model
    def _check_line(self, check):
        labels = {
            "secret": _("Secret"),
            "host": _("Host"),
            "identity": _("Identity"),
            "warehouse": _("Warehouse"),
            "statement": _("Statement"),
            "schema": _("Schema"),
            "table": _("Table"),
            "endpoint": _("Serving endpoint"),
            "jobs": _("Jobs"),
            "job": _("Job"),
            "pipeline": _("Pipeline"),
        }
        mark = {True: "✓", False: "✗", None: "–"}[check.ok]
        label = " ".join(filter(None, [labels[check.name], check.subject]))
        text = f"{mark} {label}: {check.detail.rstrip('.')}"
        return f"{text}. {check.hint}" if check.hint else text
