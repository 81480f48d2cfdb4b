import base64
import csv
import io
from datetime import timedelta
from decimal import Decimal

from odoo import _, api, fields, models

# answers are asked for once in this time, whoever of the same companies looks
KEPT = timedelta(seconds=60)
# a spreadsheet would take a text that begins so for a formula
FORMULA = ("=", "+", "-", "@", "\t", "\r")
NUMBERS = ("integer", "float", "decimal")


class LakehouseDrillWizard(models.TransientModel):
    """The source rows that somebody looks at, as the warehouse gave them."""

    _name = "lakehouse.drill.wizard"
    _description = "Source rows"

    view_id = fields.Many2one("lakehouse.view", readonly=True, ondelete="cascade")
    key = fields.Char(index=True, readonly=True)
    fetched_at = fields.Datetime("Read at", readonly=True)
    answer = fields.Json(readonly=True)
    summary = fields.Char(compute="_compute_table")
    table = fields.Html(compute="_compute_table", sanitize=False)
    csv_file = fields.Binary(compute="_compute_csv_file")

    @api.depends("answer")
    def _compute_table(self):
        for wizard in self:
            rows = wizard.answer["rows"]
            wizard.summary = wizard._summary(len(rows), wizard.answer["truncated"])
            values = {
                "heads": wizard._heads(),
                "numbers": [kind in NUMBERS for kind in wizard._kinds()],
                "rows": [wizard._shown(row) for row in rows],
            }
            # a template escapes whatever a value holds
            wizard.table = self.env["ir.qweb"]._render(
                "odoo_databricks.lakehouse_drill_table", values
            )

    @api.model
    def _summary(self, count, truncated):
        moment = fields.Datetime.context_timestamp(self, self.fetched_at).strftime("%H:%M:%S")
        if truncated:
            return _(
                "The first %(count)s rows, read at %(moment)s. There are more: narrow the "
                "selection to see them.",
                count=count,
                moment=moment,
            )
        return _("%(count)s rows, read at %(moment)s.", count=count, moment=moment)

    def _heads(self):
        view = self.view_id.sudo()
        labels = {column.name: view._live_label(column) for column in view._live_columns()}
        names = [column["name"] for column in self.answer["columns"]]
        return [labels.get(name, name) for name in names]

    def _kinds(self):
        return [column["kind"] for column in self.answer["columns"]]

    def _shown(self, row):
        return [
            self._shown_value(kind, value)
            for kind, value in zip(self._kinds(), row)  # noqa: B905 (3.10 dialect)
        ]

    def _shown_value(self, kind, value):
        if value is None:
            return ""
        if isinstance(value, bool):
            return _("Yes") if value else _("No")
        if kind == "datetime":
            moment = fields.Datetime.context_timestamp(self, fields.Datetime.to_datetime(value))
            return moment.strftime("%Y-%m-%d %H:%M:%S")
        if kind in ("integer", "decimal"):
            return f"{Decimal(value):,}"
        return str(value)

    @api.depends("answer")
    def _compute_csv_file(self):
        for wizard in self:
            target = io.StringIO()
            writer = csv.writer(target)
            writer.writerow(column["name"] for column in wizard.answer["columns"])
            writer.writerows(map(self._csv_row, wizard.answer["rows"]))
            wizard.csv_file = base64.b64encode(target.getvalue().encode("utf-8-sig"))

    def _csv_row(self, row):
        return [
            f"'{value}" if kind == "text" and value and value.startswith(FORMULA) else value
            for kind, value in zip(self._kinds(), row)  # noqa: B905 (3.10 dialect)
        ]

    def action_export_csv(self):
        self.ensure_one()
        return {
            "type": "ir.actions.act_url",
            "url": f"/web/content/{self._name}/{self.id}/csv_file/source_rows.csv?download=true",
            "target": "new",
        }

    # -- for lakehouse.view ---------------------------------------------------------------------
    @api.model
    def _young(self, key):
        """The newest answer to the same statement (so: same view, domain, companies) or none.

        It may be another user's: the key holds the codes of the companies, so what he was shown is
        what this user may see.
        """
        since = fields.Datetime.now() - KEPT
        domain = [("key", "=", key), ("fetched_at", ">", since)]
        return self.sudo().search(domain, order="fetched_at desc, id desc", limit=1)

    def _open(self):
        return {
            "type": "ir.actions.act_window",
            "name": _("Source rows: %(view)s", view=self.view_id.name),
            "res_model": self._name,
            "res_id": self.id,
            "views": [(False, "form")],
            "target": "new",
            "context": {"dialog_size": "extra-large"},
        }
