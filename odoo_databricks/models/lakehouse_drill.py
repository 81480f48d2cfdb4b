from odoo import _, api, models
from odoo.exceptions import UserError

from .lakehouse_live import RECORDS, any_code

DRILL_ROWS = 200
# codes of records in one condition; more would make a statement that nobody waits for
MOST_CODES = 500


class LakehouseSnapshotMixin(models.AbstractModel):
    _inherit = "lakehouse.snapshot.mixin"

    def action_drill(self, domain=None, rows=DRILL_ROWS):
        """Show the source rows, live: of these records, or of all rows that `domain` selects.

        `domain` is one of this model, for example that of a cell of a pivot.
        """
        view = self._lakehouse_view()
        view_of_user = view.with_env(self.env)
        view_of_user._check_live()
        if self:
            domain = [("remote_key", "in", self.mapped("remote_key"))]
        elif domain is None:
            raise UserError(_("Choose the rows whose source is to be shown."))
        rules = self.env["ir.rule"]._compute_domain(self._name, "read")
        wanted = [self._live_domain(view, part) for part in (domain, list(rules or []))]
        rows = min(int(rows), DRILL_ROWS)
        return view_of_user._live_rows(wanted, rows, self._live_order(view))._open()

    @api.model
    def _live_order(self, view):
        """The order of the report, as far as the source has the fields."""
        known = view._live_fields()
        return ",".join(part for part in self._order.split(",") if part.split()[0] in known)

    @api.model
    def _live_domain(self, view, domain):
        """The domain with conditions on codes where it has conditions on the records they mean."""
        roles = {
            view._live_record_field(role): role for role in RECORDS if view._live_by_role(role)
        }
        result = []
        for item in domain if is_list(domain) else [domain]:
            role = None
            if is_list(item) and len(item) == 3 and isinstance(item[0], str):
                role = roles.get(item[0])
            result += self._codes_of(view, role, tuple(item)) if role else [item]
        return result

    @api.model
    def _codes_of(self, view, role, leaf):
        """One expression over code columns for a condition on a company, currency or partner.

        Odoo itself says for which records the condition holds. So names are searched as
        everywhere, and partners are those that the refresh found for the TINs.
        """
        name, operator, value = leaf
        if operator in ("child_of", "parent_of", "any", "not any"):
            raise UserError(
                _(
                    "%(field)s: the operator '%(operator)s' cannot be asked of the lakehouse; "
                    "choose records, or search for their name.",
                    field=self._fields[name]._description_string(self.env),
                    operator=operator,
                )
            )
        column = view._live_by_role(role).name
        if role == "partner_tin":
            return self._tins_of(view, column, leaf)
        code = {"company": "lakehouse_company_code", "currency": "name"}[role]
        if any(isinstance(item, str) for item in (value if is_list(value) else [value])):
            found = [record for (record,) in self._read_group([leaf], [name])]
        else:
            # no need to look at rows: each has a company and, where there are any, a currency
            records = self.env[self._fields[name].comodel_name].with_context(active_test=False)
            found = records.search([("id", operator, value)])
        return any_code(column, [text for r in found if (text := r.sudo()[code])])

    @api.model
    def _tins_of(self, view, column, leaf):
        """A TIN means a partner for each company apart, and is written as in the source."""
        companies = {}
        tin = view._live_field_name(view._live_by_role("partner_tin"))
        for company, text in self._read_group([leaf], ["company_id", tin]):
            companies.setdefault(company, []).append(text)
        if sum(map(len, companies.values())) > MOST_CODES:
            raise UserError(
                _(
                    "%(field)s: the selection means more than %(count)s TINs. Narrow it.",
                    field=self._fields[leaf[0]]._description_string(self.env),
                    count=MOST_CODES,
                )
            )
        parts = [
            ["&", *any_code(view._live_by_role("company").name, [code]), (column, "in", tins)]
            for company, tins in companies.items()
            if (code := company.sudo().lakehouse_company_code)
        ]
        return ["|"] * (len(parts) - 1) + sum(parts, []) if parts else [(0, "=", 1)]


def is_list(value):
    return isinstance(value, (list, tuple))
