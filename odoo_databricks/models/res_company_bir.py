from odoo import _, api, fields, models
from odoo.exceptions import ValidationError

from .bir_terms import PAYOR_KINDS


# Apart from the lakehouse's own fields, so that a later split of the addon is a move.
class ResCompany(models.Model):
    _inherit = "res.company"  # pylint: disable=consider-merging-classes-inherited

    bir_payor_kind = fields.Selection(
        selection=PAYOR_KINDS,
        string="BIR Payor Kind",
        default="ordinary",
        required=True,
        help="Decides what has to be withheld: an ordinary payor withholds on the listed natures "
        "only, a top withholding agent also on goods and services of regular suppliers.",
    )
    bir_endpoint = fields.Char(
        string="Serving Endpoint",
        default="nature-of-payment",
        required=True,
        help="Name of the model serving endpoint that reads the nature of payment.",
    )
    bir_threshold_amount = fields.Float(
        string="Floor for Amounts",
        digits=(6, 4),
        default=0.975,
        help="Amounts proposed with a confidence below this are left blank.",
    )
    bir_threshold_code = fields.Float(
        string="Floor for Codes",
        digits=(6, 4),
        default=0.95,
        help="Natures, ATCs, rates and VAT treatments proposed with a confidence below this are "
        "left blank.",
    )
    bir_threshold_text = fields.Float(
        string="Floor for Texts",
        digits=(6, 4),
        default=0.90,
        help="Expense categories proposed with a confidence below this are left blank.",
    )

    @api.constrains("bir_threshold_amount", "bir_threshold_code", "bir_threshold_text")
    def _check_bir_thresholds(self):
        for company in self:
            for name in ("amount", "code", "text"):
                if not 0 <= company[f"bir_threshold_{name}"] <= 1:
                    raise ValidationError(
                        _("A BIR floor is a confidence: it lies between 0 and 1.")
                    )

    def _bir_floor(self, kind):
        """The confidence below which a proposal of this kind (code, text, amount) stays blank."""
        self.ensure_one()
        return self[f"bir_threshold_{kind}"]
