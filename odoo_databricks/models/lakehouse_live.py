"""Rows asked of the warehouse while somebody waits: the preview of a view, and drill to source.

Whatever is asked, the statement holds the codes of the companies that the user works in, values
travel as typed parameters, and the warehouse itself ends a statement that takes too long.
"""

import hashlib
import json
import re
from datetime import date, datetime
from decimal import Decimal

from odoo import _, fields, models
from odoo.exceptions import AccessError, UserError

from ..lib import sql
from ..lib.domain import DomainError, conjunction
from ..lib.domain_sql import Field, limit, order_by, where
from ..lib.errors import WorkspaceError
from .databricks_tools import MANAGER, explain, quote_table, require_group

PREVIEW_ROWS = 100
MOST_ROWS = 1000
# seconds; the API takes none below 5
LONGEST_WAIT, SHORTEST_WAIT = 20, 5
KINDS = {
    "varchar": "text",
    "text": "text",
    "integer": "integer",
    "int4": "integer",
    "int8": "integer",
    "bigint": "integer",
    "smallint": "integer",
    "double precision": "float",
    "float8": "float",
    "boolean": "boolean",
    "bool": "boolean",
    "date": "date",
    "timestamp": "datetime",
}
# role of a column -> field that holds the record found by its code, in shipped and designed views
RECORDS = {
    "company": ("company_id",),
    "currency": ("currency_id", "x_currency_id"),
    "partner_tin": ("partner_id", "x_partner_id"),
}


class LakehouseViewLive(models.AbstractModel):
    """The part of lakehouse.view that asks the warehouse while somebody waits."""

    _name = "lakehouse.view.live"
    _description = "Live rows of a lakehouse view"

    # -- what may be asked ----------------------------------------------------------------------
    def _live_columns(self):
        """Columns (lakehouse_snapshot_loader.Column) of the table that live tools read."""
        return self.env[self.model_name]._snapshot_columns

    def _live_shown(self):
        """The same columns as they are shown: the key, often a long hash, comes last."""
        return sorted(self._live_columns(), key=lambda column: column.role == "key")

    def _live_by_role(self, role):
        return next((column for column in self._live_columns() if column.role == role), None)

    def _live_field_name(self, column):
        """The field of the report that shows the column, or None."""
        if column.role == "key":
            return "remote_key"
        known = self.env[self.model_name]._fields
        names = (column.name, f"x_{column.name.lower()}")
        return next((name for name in names if name in known), None)

    def _live_label(self, column):
        """What the report calls the column, else the column's own name."""
        name = self._live_field_name(column)
        if not name and column.role in RECORDS:
            name = self._live_record_field(column.role)
        field = self.env[self.model_name]._fields.get(name)
        return field._description_string(self.env) if field else column.name

    def _live_record_field(self, role):
        """The many2one of the report that the column of this role was resolved to, or None."""
        known = self.env[self.model_name]._fields
        return next((name for name in RECORDS[role] if name in known), None)

    def _live_fields(self):
        """Allow-list for the compiler: each mapped column, by its own name and by its field's."""
        found = {}
        model = self.env[self.model_name]
        for column in self._live_columns():
            kind = self._live_kind(column.sql_type)
            if not kind:
                continue
            name = self._live_field_name(column)
            field = model._fields.get(name)
            digits = field.get_digits(self.env) if field and field.type == "float" else None
            found[column.name] = Field(column.name, kind, digits and digits[1])
            if name:
                found[name] = found[column.name]
        return found

    @staticmethod
    def _live_kind(sql_type):
        match = re.fullmatch(r"numeric\((\d+),\s*(\d+)\)", sql_type)
        return f"decimal({match[1]},{match[2]})" if match else KINDS.get(sql_type)

    def _live_company_domain(self):
        """The companies that the user works in, as codes: the rule that every statement holds."""
        codes = self.env.companies.sudo().mapped("lakehouse_company_code")
        column = self._live_by_role("company")
        return any_code(column.name, [code for code in codes if code])

    def _live_window(self, known):
        """The months that the report holds, where it does not hold all; extends `known`."""
        window = self._window()
        if not window:
            return []
        column, start = window
        known.setdefault(column, Field(column, "date"))
        return [(column, ">=", start)]

    # -- asking ---------------------------------------------------------------------------------
    def preview(self, rows=PREVIEW_ROWS):
        """The first rows of the mapped columns: {columns, rows, truncated}, ready for JSON."""
        self.ensure_one()
        require_group(self.env, MANAGER, _("Only a lakehouse manager previews the source."))
        return self._live_rows([], rows, order=None).answer

    def _check_live(self):
        """The user may read this view's record and its report; raises AccessError."""
        self.ensure_one()
        if not self.model_name:
            raise UserError(_("'%(view)s' is a draft: publish it first.", view=self.name))
        self.env[self.model_name].search([], limit=1)
        mine = self.env["lakehouse.view"].with_context(active_test=False)
        if not mine.search([("id", "=", self.id)], limit=1):
            raise AccessError(_("The source rows belong to a workspace of another company."))

    def _live_rows(self, domains, rows, order=""):
        """Rows of the source table under all `domains` and the user's companies.

        :param domains: list of domains over the fields of _live_fields() only
        :param order: of Odoo, the key breaks ties; None: as they come, which is quick
        :return: a lakehouse.drill.wizard of the user, whose answer is
            {columns: [{name, kind}], rows: [[JSON values]], truncated}
        """
        self._check_live()
        rows = min(int(rows), MOST_ROWS)
        # the companies are the user's: sudo() would believe whatever the context says
        bounded = [self._live_company_domain(), *domains]
        query = self.sudo()._live_query(bounded, rows, order)
        Wizard = self.env["lakehouse.drill.wizard"]
        young = Wizard._young(query["key"])
        values = {
            "view_id": self.id,
            "key": query["key"],
            "fetched_at": young.fetched_at or fields.Datetime.now(),
            "answer": young.answer or self.sudo()._live_answer(query, rows),
        }
        return Wizard.create(values)

    def _live_query(self, domains, rows, order):
        known = self._live_fields()
        key = self._live_by_role("key").name
        names = [column.name for column in self._live_shown()]
        try:
            # one row more than is shown tells whether there are more
            bounded = limit(rows + 1)
            wanted = conjunction(*domains, self._live_window(known))
            condition = where(wanted, known)
            ordered = "" if order is None else f"ORDER BY {order_by(order, known, key)}"
        except DomainError as error:
            raise UserError(
                _("This selection cannot be asked of the lakehouse. %(why)s.", why=error)
            ) from error
        text = "SELECT {} FROM {} WHERE {} {} {}".format(
            ", ".join(f"`{name}`" for name in names),
            quote_table(self.source_table),
            condition.text,
            ordered,
            bounded,
        )
        told = [self.id, self.workspace_id.id, text, repr(sorted(condition.parameters.items()))]
        key = hashlib.sha256(json.dumps(told).encode()).hexdigest()
        return {"text": text, "parameters": condition.parameters, "key": key}

    def _live_answer(self, query, rows):
        workspace = self.workspace_id
        if not workspace:
            raise UserError(_("No workspace is chosen for '%(view)s'.", view=self.name))
        wait = max(SHORTEST_WAIT, min(LONGEST_WAIT, workspace.read_timeout - 5))
        try:
            with workspace.client(self) as client:
                statement = sql.submit(
                    client,
                    workspace.warehouse_id,
                    query["text"],
                    query["parameters"],
                    row_limit=rows + 1,
                    wait_seconds=wait,
                    on_wait_timeout="CANCEL",
                )
                found = [list(row.values()) for row in sql.fetch_rows(client, statement)]
        except WorkspaceError as error:
            raise self._live_failure(error) from None
        return {
            "columns": [
                {
                    "name": column.name,
                    "kind": (self._live_kind(column.sql_type) or "text").partition("(")[0],
                }
                for column in self._live_shown()
            ],
            "rows": [[plain(value) for value in row] for row in found[:rows]],
            "truncated": len(found) > rows,
        }

    def _live_failure(self, error):
        """One message for everybody; what the workspace said is for managers only."""
        text = _(
            "The lakehouse does not answer now, so the source rows of '%(view)s' cannot be shown. "
            "The report itself still works (%(freshness)s). Try again in some minutes.",
            view=self.name,
            freshness=self._freshness_text(),
        )
        if self.env.user.has_group(MANAGER):
            text += "\n\n" + explain(error)
        return UserError(text)


def any_code(column, codes):
    """One expression: the column holds one of the codes, in capitals or not (as the refresh)."""
    leaves = [(column, "=ilike", re.sub(r"([\\%_])", r"\\\1", code)) for code in codes]
    return ["|"] * (len(leaves) - 1) + leaves if leaves else [(0, "=", 1)]


def plain(value):
    """A value of a row as JSON has it: numbers that lose nothing, everything else as text."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        return fields.Datetime.to_string(value)
    if isinstance(value, date):
        return fields.Date.to_string(value)
    if value is None or isinstance(value, (bool, str, float)):
        return value
    # beyond 2**53 a browser rounds
    return value if isinstance(value, int) and abs(value) < 2**53 else str(value)
