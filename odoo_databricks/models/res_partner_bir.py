from odoo import _, fields, models

from ..lib import bir_rules
from .bir_terms import PAYEE_KINDS, VAT_TREATMENTS

YES_NO = [("yes", "Yes"), ("no", "No")]


class ResPartner(models.Model):
    _inherit = "res.partner"

    bir_payee_kind = fields.Selection(
        selection=PAYEE_KINDS,
        string="BIR Payee Kind",
        help="Blank: a company, or a name with a word such as Inc. or Corp., is corporate. A sole "
        "proprietor is an individual, also when kept as a company here.",
    )
    bir_vat_status = fields.Selection(
        selection=VAT_TREATMENTS,
        string="BIR VAT Status",
        help="Used where the bill line has no VAT tax.",
    )
    bir_regular_supplier = fields.Selection(
        selection=YES_NO,
        string="Regular Supplier",
        help="Six or more transactions in this or the previous year. Blank: counted in the books.",
    )
    bir_gross_over_limit = fields.Selection(
        selection=YES_NO,
        string="Gross Income over the Limit",
        help="Over PHP 3,000,000 (individual) or PHP 720,000 (corporate) a year. 'No' needs the "
        "payee's sworn declaration on file. Blank: not known.",
    )

    def _bir_payee_kind(self):
        """(individual | corporate | None, how it is known) of the taxpayer behind the contact."""
        partner = self.commercial_partner_id
        if not partner:
            return None, _("the bill has no vendor")
        if partner.bir_payee_kind:
            return partner.bir_payee_kind, _("payee kind set on the vendor")
        if partner.is_company:
            return "corporate", _("the vendor is a company")
        kind = bir_rules.payee_kind_from_name(partner.name)
        if kind == "corporate":
            return kind, _("the vendor's name has a juridical word")
        return kind, _("the vendor is a person")

    def _bir_vat_status(self):
        """(status | None, how it is known), from the vendor alone."""
        partner = self.commercial_partner_id
        if partner.bir_vat_status:
            return partner.bir_vat_status, _("VAT status set on the vendor")
        tin = bir_rules.parse_tin(partner.vat)
        if tin and tin.vat_registered is not None:
            status = "vat_registered" if tin.vat_registered else "non_vat"
            return status, _("VAT mark in the vendor's TIN")
        return None, _("the line has no VAT tax and the vendor's VAT status is not set")
