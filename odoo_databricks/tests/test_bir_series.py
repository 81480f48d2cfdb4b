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
        bill = series_adapter.expense_bill(expense)
        self.assertEqual((bill._name, len(bill)), ("account.move", 0))
