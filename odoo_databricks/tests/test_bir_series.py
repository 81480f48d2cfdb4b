from odoo import Command
from odoo.tests import tagged

from ..models import series_adapter
from .bir_common import BirCase

ON_PAYMENT = "is_withholding_tax_on_payment"


@tagged("post_install", "-at_install")
class TestBirSeries(BirCase):
    """What 17.0 and 19.0 mean differently, each tested where it exists."""

    def _accepted(self):
        bill = self._bill(("Office rent", 10000))
        self._decide_all(self._wizard(bill)).action_apply()
        return bill

    def test_withholding_takes_effect_on_the_bill(self):
        bill = self._accepted()
        tax = bill._bir_lines().tax_ids.filtered("l10n_ph_atc")
        self.assertFalse(series_adapter.withheld_on_payment(tax))
        self.assertEqual(series_adapter.tax_effect(tax), "bill")
        self.assertEqual(bill.amount_total, 10700.0)
        self.assertFalse(bill._bir_lines().bir_note)

    def test_withholding_moves_to_the_payment_where_the_series_has_that(self):
        if ON_PAYMENT not in self.env["account.tax"]._fields:
            self.assertFalse(series_adapter.withheld_on_payment(self.vat))
            return
        taxes = series_adapter.atc_taxes(self.env, self.company, "WC100", 5)
        taxes.sudo()[ON_PAYMENT] = True
        bill = self._accepted()
        line = bill._bir_lines()
        self.assertEqual(series_adapter.tax_effect(line.tax_ids), "payment")
        self.assertEqual(line.bir_tax_withheld, 500.0, "the field tells what will be withheld")
        self.assertEqual(bill.amount_total, 11200.0, "and the bill is owed in full")
        self.assertIn("when the payment is registered", line.bir_note)

    def test_the_tax_of_an_atc_is_chosen_by_code_and_rate(self):
        found = series_adapter.atc_taxes(self.env, self.company, "WC158", 1)
        self.assertTrue(found)
        self.assertEqual(set(found.mapped("amount")), {-1.0})
        self.assertFalse(series_adapter.atc_taxes(self.env, self.company, "WC158", 2))
        self.assertFalse(series_adapter.atc_taxes(self.env, self.company, "WC610", 1))

    def test_taxes_without_atc_have_no_withholding_effect(self):
        self.assertIsNone(series_adapter.tax_effect(self.vat))

    def test_expenses_are_approved_on_the_sheet_or_on_themselves(self):
        model = series_adapter.expense_document(self.env)
        self.assertIn(model, self.env)
        self.assertEqual(model == "hr.expense.sheet", "hr.expense.sheet" in self.env)
        expense = self.admin_env["hr.expense"].new({"name": "Taxi"})
        self.assertEqual(series_adapter.expense_bill(expense), self.admin_env["account.move"])

    def test_the_bill_of_an_expense_is_found_on_both(self):
        env = self.admin_env(context={**self.env.context, "allowed_company_ids": self.company.ids})
        employee = env["hr.employee"].create(
            {"name": "Bea", "company_id": self.company.id, "work_email": "bea@example.com"}
        )
        home = env["res.partner"].create({"name": "Bea", "company_id": self.company.id})
        address = "work_contact_id" if "work_contact_id" in employee._fields else "address_id"
        employee[address] = home
        expense = env["hr.expense"].create(
            {
                "name": "Taxi to the BIR",
                "employee_id": employee.id,
                "company_id": self.company.id,
                "product_id": env["product.product"]
                .create({"name": "Taxi", "can_be_expensed": True, "standard_price": 0})
                .id,
                "total_amount_currency": 350,
                "payment_mode": "own_account",
            }
        )
        entry = env["account.move"].create({"move_type": "in_receipt"})
        if series_adapter.expense_document(env) == "hr.expense.sheet":
            sheet = env["hr.expense.sheet"].create(
                {
                    "name": "Taxi",
                    "employee_id": employee.id,
                    "expense_line_ids": [Command.set(expense.ids)],
                }
            )
            entry.expense_sheet_id = sheet
        else:
            expense.account_move_id = entry
        self.assertEqual(series_adapter.expense_bill(expense), entry)
