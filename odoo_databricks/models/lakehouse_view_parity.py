"""Whether the copied rows still are those of the lakehouse: counts and checksums by company."""

import logging

from odoo import _, api, fields, models
from odoo.exceptions import UserError
from odoo.tools import SQL

from ..lib import sql, table_checksum, table_read
from ..lib.errors import WorkspaceError
from .databricks_tools import MANAGER, checkpoint, explain, quote_table, require_group

_logger = logging.getLogger(__name__)

BOTH = "odoo_databricks.group_lakehouse_manager,base.group_system"
# seconds for one comparison; it runs at night or while a manager waits
CHECK_SECONDS = 40
# differences listed by name
LISTED = 20


class LakehouseViewParity(models.AbstractModel):
    _name = "lakehouse.view.parity"
    _description = "Comparison of a view's rows with the lakehouse"

    parity_state = fields.Selection(
        [("same", "Same as the lakehouse"), ("different", "Differs"), ("failed", "Not compared")],
        "Comparison",
        readonly=True,
        copy=False,
        groups=BOTH,
    )
    parity_checked_at = fields.Datetime("Compared on", readonly=True, copy=False, groups=BOTH)
    parity_result = fields.Text("Result of the comparison", readonly=True, copy=False, groups=BOTH)

    def action_check_parity(self):
        """Compare now and show the result."""
        self.ensure_one()
        require_group(self.env, MANAGER, _("Only a lakehouse manager compares views."))
        view = self.sudo()
        if not (view.model_id and view.workspace_id and view.data_as_of):
            raise UserError(_("'%(view)s' has no rows yet: refresh it first.", view=self.name))
        view._check_parity()
        same = view.parity_state == "same"
        return {
            "type": "ir.actions.client",
            "tag": "display_notification",
            "params": {
                "type": "success" if same else "warning",
                "title": self.name,
                "message": view.parity_result,
                "sticky": not same,
                "next": {"type": "ir.actions.client", "tag": "soft_reload"},
            },
        }

    @api.model
    def _cron_check_parity(self):
        """Compare all views whose rows are up to date; one that fails does not stop the others."""
        for view in self.search(
            [("model_id", "!=", False), ("workspace_id", "!=", False), ("state", "=", "ok")]
        ):
            view._check_parity()
            checkpoint(self.env)

    def _check_parity(self):
        try:
            with self.workspace_id.client(self) as client:
                remote = self._remote_checksums(client)
        except WorkspaceError as error:
            state, result = "failed", explain(error)
        else:
            names = [column.name for column in self._compared_columns()]
            found = table_checksum.differences(names, remote, self._local_checksums())
            state = "different" if found else "same"
            result = self._parity_text(found, remote)
        if state == "different":
            if self.parity_state != "different":
                self.message_post(body=_("The rows differ from the lakehouse. %s", result))
            # the next refresh reads the whole table, which mends what was missed
            self.last_full_at = False
        self.write(
            {
                "parity_state": state,
                "parity_checked_at": fields.Datetime.now(),
                "parity_result": result,
            }
        )

    def _compared_columns(self):
        return self.env[self.model_name]._snapshot_loader().values

    def _company_codes(self):
        companies = self.env["res.company"].sudo().search([("lakehouse_company_code", "!=", False)])
        return [company.lakehouse_company_code.upper() for company in companies]

    def _remote_checksums(self, client):
        """{company code: (rows, count and sum of each column)} of the version that was read."""
        loader = self.env[self.model_name]._snapshot_loader()
        columns = [(column.name, column.sql_type) for column in self._compared_columns()]
        expressions = table_checksum.remote_expressions(columns)
        version = self.last_run_id.delta_version
        names = [f"c{index}" for index in range(len(expressions))]
        selected = "".join(
            f", {text} AS {name}" for text, name in zip(expressions, names, strict=True)
        )
        source = quote_table(self.source_table)
        if version and version.isdecimal():
            source += f" VERSION AS OF {version}"
        condition, parameters = f"coalesce(`{loader.key}`, '') <> ''", {}
        window = self._window()
        if window:
            inside, parameters = table_read.in_window(window)
            condition += f" AND {inside}"
        text = (
            f"SELECT upper(`{loader.company}`) AS company, count(*) AS row_count{selected} "
            f"FROM {source} WHERE {condition} GROUP BY 1"
        )
        rows = sql.query(
            client,
            self.workspace_id.warehouse_id,
            text,
            parameters,
            timeout=CHECK_SECONDS,
            row_limit=10000,
        )
        codes = set(self._company_codes())
        return {
            row["company"]: (row["row_count"], *(row[name] for name in names))
            for row in rows
            if row["company"] in codes
        }

    def _local_checksums(self):
        loader = self.env[self.model_name]._snapshot_loader()
        columns = [(column.name, column.sql_type) for column in self._compared_columns()]
        expressions = [SQL(text) for text in table_checksum.local_expressions(columns)]
        self.env.cr.execute(
            SQL(
                """SELECT upper(c.lakehouse_company_code), t.* FROM (
                       SELECT %s FROM %s GROUP BY company_id
                   ) t JOIN res_company c ON c.id = t.company_id""",
                SQL(", ").join([SQL("company_id"), SQL("count(*)"), *expressions]),
                SQL.identifier(loader.table),
            )
        )
        return {row[0]: row[2:] for row in self.env.cr.fetchall()}

    def _parity_text(self, found, remote):
        if not found:
            return _(
                "%(rows)s rows of %(companies)s companies: the same.",
                rows=sum(row[0] for row in remote.values()),
                companies=len(remote),
            )
        lines = []
        for item in found[:LISTED]:
            what = _("rows") if not item.what else item.what
            lines.append(
                _(
                    "%(company)s, %(what)s: %(remote)s in the lakehouse, %(local)s here",
                    company=item.company,
                    what=what,
                    remote=item.remote,
                    local=item.local,
                )
            )
        if len(found) > LISTED:
            lines.append(_("and %(count)s more", count=len(found) - LISTED))
        if self.rejected_count:
            lines.append(
                _("%(count)s rows were rejected, see the refresh.", count=self.rejected_count)
            )
        return "\n".join(lines)
