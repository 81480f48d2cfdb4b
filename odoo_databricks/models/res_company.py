from odoo import _, api, fields, models
from odoo.exceptions import ValidationError


class ResCompany(models.Model):
    _inherit = "res.company"

    lakehouse_company_code = fields.Char(
        help="Code of this company in the lakehouse (company_code). Rows of a code that no company "
        "has are never shown.",
    )

    @api.constrains("lakehouse_company_code")
    def _check_lakehouse_company_code(self):
        for company in self.filtered("lakehouse_company_code"):
            twin = self.sudo().search(
                [
                    ("lakehouse_company_code", "=ilike", company.lakehouse_company_code),
                    ("id", "!=", company.id),
                ],
                limit=1,
            )
            if twin:
                raise ValidationError(
                    _(
                        "%(twin)s already has the lakehouse code %(code)s.",
                        twin=twin.name,
                        code=company.lakehouse_company_code,
                    )
                )
