from unittest.mock import patch

from odoo import Command, fields
from odoo.tests import TransactionCase, new_test_user

from ..models.bir_predictor import ModelAnswer, Said

ACCOUNTANT = "account.group_account_invoice"


class BirCase(TransactionCase):
    """A Philippine company with users of each BIR role, a landlord and a law firm."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.env = cls.env(context={**cls.env.context, "tracking_disable": True})
        cls.admin_env = cls.env
        cls.company = cls._philippine_company("Sampaguita Trading Test")
        cls.preparer = cls._user("preparer", "preparer")
        cls.reviewer = cls._user("reviewer", "reviewer")
        cls.approver = cls._user("approver", "approver")
        cls.env = cls.env(user=cls.approver, context=dict(cls.env.context))
        cls.vendor = cls._vendor("Bayani Realty Inc.", is_company=True)
        cls.person = cls._vendor("Juan dela Cruz")
        cls.vat = cls._tax([("amount", "=", 12)])

    @classmethod
    def _philippine_company(cls, name):
        company = cls.admin_env["res.company"].create(
            {"name": name, "country_id": cls.admin_env.ref("base.ph").id}
        )
        cls.admin_env.user.company_ids |= company
        cls.admin_env["account.chart.template"].try_loading("ph", company, install_demo=False)
        return company

    @classmethod
    def _user(cls, login, role, company=None):
        company = company or cls.company
        return new_test_user(
            cls.admin_env,
            f"bir_{login}",
            groups=f"base.group_user,base.group_partner_manager,{ACCOUNTANT},"
            f"odoo_databricks.group_bir_{role}",
            company_id=company.id,
            company_ids=[Command.set(company.ids)],
        )

    @classmethod
    def _vendor(cls, name, **values):
        return cls.env["res.partner"].create({"name": name, **values})

    @classmethod
    def _tax(cls, domain):
        return cls.env["account.tax"].search(
            [("company_id", "=", cls.company.id), ("type_tax_use", "=", "purchase"), *domain],
            limit=1,
            order="sequence, id",
        )

    @classmethod
    def _bill(cls, *lines, partner=None, move_type="in_invoice", date="2025-11-14", **values):
        """A draft bill; each line is (text, price) or (text, price, taxes)."""
        return cls.env["account.move"].create(
            {
                "move_type": move_type,
                "partner_id": (partner or cls.vendor).id,
                "invoice_date": fields.Date.to_date(date),
                "date": fields.Date.to_date(date),
                "invoice_line_ids": [
                    Command.create(
                        {
                            "name": line[0],
                            "quantity": 1,
                            "price_unit": line[1],
                            "tax_ids": [Command.set((line[2] if len(line) > 2 else cls.vat).ids)],
                        }
                    )
                    for line in lines
                ],
                **values,
            }
        )

    def _model_says(self, nature, confidence, category=None, **answer):
        """Patches the answer of the served model: the same for each line that it is asked for."""

        def predict(predictor, lines):
            values = {
                line.id: {
                    "nature_of_payment": Said(nature, confidence, "read by the model"),
                    "expense_category": Said(category, 0.93 if category else 0.0, "read"),
                }
                for line in lines
            }
            return ModelAnswer(
                values=values,
                endpoint="nature-of-payment",
                served_entity="nature_of_payment-1",
                model_name="main.ml.nature_of_payment",
                model_version="1",
                request_id="request-1",
                training_data="generated",
                **answer,
            )

        return patch.object(self.env.registry["bir.predictor"], "_predict", predict)

    def _wizard(self, bill, user=None):
        """The wizard that the button on the bill opens."""
        action = bill.with_user(user or self.preparer).action_bir_autofill()
        return (
            self.env["bir.autofill.wizard"]
            .with_user(user or self.preparer)
            .browse(action["res_id"])
        )

    @staticmethod
    def _row(wizard, name, line=0):
        bill_line = wizard.move_id._bir_lines()[line]
        return wizard.line_ids.filtered(
            lambda row: row.field_name == name and row.move_line_id == bill_line
        )

    def _decide_all(self, wizard, nature="rent"):
        """What a person does without the model: choose the nature, accept what follows."""
        for row in wizard.line_ids.filtered(lambda row: row.field_name == "bir_nature"):
            row.write({"decision": "edit", "edit_value": nature})
        wizard.action_accept_certain()
        return wizard
