from odoo import Command, _, api, fields, models

from .bir_terms import (
    NATURES,
    NO_ATC,
    NUMBERS,
    ONLY_WITH_ATC,
    TERM,
    TERMS,
    VAT_TREATMENTS,
    WITHHOLDING,
    canonical_number,
)
from .series_adapter import atc_taxes, tax_effect

BIR_NAMES = {*TERM, "bir_withholding"}
# What the submitted figures were made from.
FROZEN = {"price_unit", "quantity", "discount", "tax_ids", "product_id", "name", "currency_id"}


class AccountMoveLine(models.Model):
    _inherit = "account.move.line"

    bir_nature = fields.Selection(selection=NATURES, string="Nature of Payment", copy=False)
    bir_expense_category = fields.Char(string="Expense Category", copy=False)
    bir_vat_treatment = fields.Selection(
        selection=VAT_TREATMENTS, string="VAT Treatment", copy=False
    )
    bir_withholding = fields.Selection(selection=WITHHOLDING, string="Withholding", copy=False)
    bir_atc = fields.Char(string="ATC", size=8, copy=False)
    bir_rate = fields.Float(string="EWT Rate (%)", digits=(9, 4), copy=False)
    bir_tax_base = fields.Monetary(
        string="Tax Base",
        currency_field="company_currency_id",
        copy=False,
        help="Net of VAT, in company currency; negative on a refund.",
    )
    bir_tax_withheld = fields.Monetary(
        string="Tax Withheld", currency_field="company_currency_id", copy=False
    )
    bir_note = fields.Char(string="BIR Note", readonly=True, copy=False)
    bir_decisions = fields.Json(
        string="BIR Decisions",
        copy=False,
        help="How each field got its value: accept, edit, keep (in the wizard) or typed. A number "
        "that is not named here has no value, whatever the column shows.",
    )

    # -- reading -------------------------------------------------------------------------------

    def _bir_value(self, name):
        """Canonical value of a BIR field; None where there is none (never 0.00 for missing)."""
        self.ensure_one()
        if name == "bir_atc":
            return NO_ATC if self.bir_withholding == "nothing" else self.bir_atc or None
        if name in NUMBERS:
            known = name in (self.bir_decisions or {})
            return canonical_number(name, self[name]) if known else None
        return self[name] or None

    def _bir_applies(self, name):
        """Rate and tax have no meaning where it is decided that nothing is withheld."""
        return not (name in ONLY_WITH_ATC and self.bir_withholding == "nothing")

    def _bir_open_fields(self):
        """Names of the required fields that nobody decided yet, or that have no value."""
        self.ensure_one()
        decisions = self.bir_decisions or {}
        return [
            term.name
            for term in TERMS
            if term.required
            and self._bir_applies(term.name)
            and (term.name not in decisions or self._bir_value(term.name) is None)
        ]

    # -- writing -------------------------------------------------------------------------------

    @api.model_create_multi
    def create(self, vals_list):
        added = [v for v in vals_list if (v.get("display_type") or "product") == "product"]
        self.env["account.move"].browse({v.get("move_id") for v in added})._bir_check_open()
        for vals in vals_list:
            typed = {
                name: "typed" for name in TERM if vals.get(name) not in (None, False, "", 0, 0.0)
            }
            if typed and not vals.get("bir_decisions"):
                vals["bir_decisions"] = typed
            if vals.get("bir_atc") and not vals.get("bir_withholding"):
                vals["bir_withholding"] = "withheld"
        return super().create(vals_list)

    def write(self, vals):
        touched = BIR_NAMES & vals.keys()
        if touched or FROZEN & vals.keys() or "bir_decisions" in vals:
            self.filtered(lambda line: line.display_type == "product").move_id._bir_check_open()
        if not touched or self.env.context.get("bir_decision"):
            return super().write(vals)
        vals = dict(vals)
        if vals.get("bir_atc"):
            vals.setdefault("bir_withholding", "withheld")
        elif vals.get("bir_withholding") == "nothing":
            vals.update(bir_atc=False, bir_rate=0, bir_tax_withheld=0)
        before = {line.id: {name: line[name] for name in touched} for line in self}
        result = super().write(vals)
        for line in self:
            changed = {name for name in touched if line[name] != before[line.id][name]}
            if "bir_withholding" in changed:
                changed = (changed - {"bir_withholding"}) | {"bir_atc"}
            if changed:
                decisions = {**(line.bir_decisions or {}), **dict.fromkeys(changed, "typed")}
                line.with_context(bir_decision=True).bir_decisions = decisions
        return result

    @api.ondelete(at_uninstall=False)
    def _unlink_except_bir_submitted(self):
        self.filtered(lambda line: line.display_type == "product").move_id._bir_check_open()

    # -- the books -----------------------------------------------------------------------------

    def _bir_tax_values(self, withholding, atc, rate):
        """Values that put the tax of an ATC on the line, and the note where that cannot be.

        `rate` in percent. A tax that is already there stays, so that a person's choice between
        twins stands; no tax is invented.
        """
        self.ensure_one()
        current = self.tax_ids.filtered("l10n_ph_atc")
        wanted = current.browse()
        if withholding == "withheld":
            candidates = atc_taxes(self.env, self.company_id, atc, rate)
            wanted = (candidates & current)[:1] or candidates[:1]
        values = {"bir_note": False}
        if wanted != current:
            if self.parent_state != "draft":
                note = _("the bill is posted: reset it to draft to change its withholding tax")
                return {"bir_note": note}
            values["tax_ids"] = [Command.set((self.tax_ids - current + wanted).ids)]
        if withholding == "withheld" and not wanted:
            shown = canonical_number("bir_rate", rate)
            values["bir_note"] = _(
                "no tax for %(atc)s at %(rate)s %% in this chart", atc=atc, rate=shown
            )
        elif tax_effect(wanted) == "payment":
            values["bir_note"] = _("%s takes effect when the payment is registered", wanted.name)
        return values
