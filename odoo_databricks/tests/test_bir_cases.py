from odoo import Command, fields
from odoo.tests import tagged

from .bir_common import BirCase


@tagged("post_install", "-at_install")
class TestBirCases(BirCase):
    """Bills that are not the plain one: refunds, nothing, other money, large payors."""

    def _proposed(self, wizard, line=0):
        names = ("bir_atc", "bir_rate", "bir_tax_base", "bir_tax_withheld")
        return tuple(self._row(wizard, name, line).proposed_value for name in names)

    def test_refund_follows_the_bill_that_it_reverses(self):
        self.company.sudo().bir_payor_kind = "top_withholding_agent"
        bill = self._bill(("Bond paper", 20000))
        self._decide_all(self._wizard(bill), "goods").action_apply()
        self.assertEqual(bill._bir_lines().bir_atc, "WC158")
        bill.action_post()
        reversal = self.env["account.move.reversal"].with_context(
            active_model="account.move", active_ids=bill.ids
        )
        values = {"journal_id": bill.journal_id.id, "date": fields.Date.to_date("2025-12-01")}
        wizard = reversal.create(values)
        action = wizard.refund_moves()
        refund = self.env["account.move"].browse(action["res_id"])
        self.assertEqual((refund.move_type, refund.bir_state), ("in_refund", "to_review"))
        line = refund._bir_lines()
        self.assertFalse(line.bir_nature, "decisions are not copied, they are made anew")
        line.price_unit = 2000
        review = self._wizard(refund)
        nature = self._row(review, "bir_nature")
        self.assertEqual((nature.proposed_value, nature.source), ("goods", "books"))
        self.assertEqual(self._proposed(review), ("WC158", "1", "-2000.00", "-20.00"))
        review.action_accept_certain()
        review.action_apply()
        self.assertEqual((line.bir_tax_base, line.bir_tax_withheld), (-2000.0, -20.0))

    def test_refund_without_its_bill_stays_unknown_where_the_size_decides(self):
        self.company.sudo().bir_payor_kind = "top_withholding_agent"
        refund = self._bill(("Bond paper", 2000), move_type="in_refund")
        with self._model_says("goods", 0.99):
            wizard = self._wizard(refund)
        self.assertEqual(self._proposed(wizard), (False, False, "-2000.00", False))
        self.assertIn("a refund follows", self._row(wizard, "bir_atc").reason)

    def test_zero_amount_line_has_a_base_of_zero_and_not_a_missing_one(self):
        bill = self._bill(("Free month of rent", 0))
        with self._model_says("rent", 0.99):
            wizard = self._wizard(bill)
        self.assertEqual(self._proposed(wizard), ("WC100", "5", "0.00", "0.00"))
        wizard.action_accept_certain()
        wizard.action_apply()
        self.assertEqual(bill._bir_lines()._bir_value("bir_tax_base"), "0.00")
        self.assertFalse(bill._bir_lines()._bir_open_fields())

    def test_a_line_without_text_is_not_sent_to_the_model(self):
        bill = self._bill(("", 500))
        self.assertFalse(self.env["bir.predictor"]._text(bill._bir_lines()))
        wizard = self._wizard(bill)
        self.assertFalse(self._row(wizard, "bir_nature").proposed_value)
        self.assertIn("line without text", wizard.line_ids[0].name)
        self._decide_all(wizard).action_apply()
        self.assertEqual(bill._bir_lines().bir_tax_withheld, 25.0)

    def test_foreign_currency_is_withheld_in_pesos(self):
        dollar = self.env.ref("base.USD")
        dollar.sudo().active = True
        self.env["res.currency.rate"].sudo().create(
            {
                "currency_id": dollar.id,
                "company_id": self.company.id,
                "name": "2025-11-01",
                "rate": 1 / 58.5,
            }
        )
        bill = self._bill(("Office rent", 1000), currency_id=dollar.id)
        with self._model_says("rent", 0.99):
            wizard = self._wizard(bill)
        self.assertEqual(self._proposed(wizard), ("WC100", "5", "58500.00", "2925.00"))
        self.assertIn("₱", self._row(wizard, "bir_tax_base").proposed_display)

    def test_a_company_that_keeps_no_pesos_gets_no_answer(self):
        dollars = self._philippine_company("Dollar Books Test")
        dollars.currency_id = self.env.ref("base.USD")
        bill = (
            self.admin_env["account.move"]
            .with_company(dollars)
            .create(
                {
                    "move_type": "in_invoice",
                    "partner_id": self.vendor.id,
                    "invoice_line_ids": [Command.create({"name": "Rent", "price_unit": 10})],
                }
            )
        )
        self.assertEqual(bill.company_currency_id.name, "USD")
        answers = self.admin_env["bir.rule.engine"]._answers(bill._bir_lines(), "rent")
        self.assertIsNone(answers["bir_tax_base"].value)
        self.assertIn("pesos", answers["bir_atc"].reason)

    def test_a_single_purchase_is_the_bill_and_not_the_line(self):
        self.company.sudo().bir_payor_kind = "top_withholding_agent"
        self.vendor.bir_regular_supplier = "no"
        bill = self._bill(("Chairs", 6000), ("Tables", 4000))
        with self._model_says("goods", 0.99):
            wizard = self._wizard(bill)
        self.assertEqual(self._proposed(wizard, 1), ("WC158", "1", "4000.00", "40.00"))
        small = self._bill(("Chairs", 6000), ("Tables", 3999.99))
        with self._model_says("goods", 0.99):
            wizard = self._wizard(small)
        self.assertEqual(self._proposed(wizard), ("nothing", False, "6000.00", False))

    def test_a_regular_supplier_is_counted_in_the_books(self):
        self.company.sudo().bir_payor_kind = "top_withholding_agent"
        engine = self.env["bir.rule.engine"]
        bill = self._bill(("Pens", 300), date="2025-11-20")
        day = engine._day(bill)
        self.assertIsNone(engine._regular_supplier(bill, day), "young books cannot tell")
        for month in range(1, 6):
            self._bill(("Pens", 300), date=f"2025-0{month}-10").action_post()
        self.assertIsNone(engine._regular_supplier(bill, day))
        self._bill(("Pens", 300), date="2025-06-10").action_post()
        self.assertTrue(engine._regular_supplier(bill, day))
        with self._model_says("goods", 0.99):
            self.assertEqual(self._proposed(self._wizard(bill)), ("WC158", "1", "300.00", "3.00"))

    def test_unknown_vat_status_does_not_hide_what_does_not_hang_on_it(self):
        bill = self._bill(("Office rent", 10000, self.vat.browse()))
        with self._model_says("rent", 0.99):
            wizard = self._wizard(bill)
        self.assertFalse(self._row(wizard, "bir_vat_treatment").proposed_value)
        self.assertEqual(self._proposed(wizard), ("WC100", "5", "10000.00", "500.00"))

    def test_vat_treatment_is_read_from_the_taxes_of_the_chart(self):
        zero = self._tax([("amount", "=", 0), ("name", "like", "ZR")])
        exempt = self._tax([("amount", "=", 0), ("name", "=like", "%EXEMPT")])
        self.assertTrue(zero and exempt)
        bill = self._bill(("A", 1, zero), ("B", 1, exempt), ("C", 1))
        wizard = self._wizard(bill)
        found = [self._row(wizard, "bir_vat_treatment", i).proposed_value for i in range(3)]
        self.assertEqual(found, ["zero_rated", "exempt", "vat_registered"])

    def test_price_including_vat_gives_the_net_base(self):
        included = self.vat.sudo().copy({"name": "12% incl."})
        if "price_include_override" in included._fields:
            included.price_include_override = "tax_included"
        else:
            included.price_include = True
        bill = self._bill(("Office rent", 11200, included))
        with self._model_says("rent", 0.99):
            wizard = self._wizard(bill)
        self.assertEqual(self._proposed(wizard), ("WC100", "5", "10000.00", "500.00"))

    def test_a_posted_bill_keeps_its_taxes_and_says_so(self):
        bill = self._bill(("Office rent", 10000))
        bill.action_post()
        self._decide_all(self._wizard(bill)).action_apply()
        line = bill._bir_lines()
        self.assertEqual(line.bir_atc, "WC100")
        self.assertIn("posted", line.bir_note)
        self.assertFalse(line.tax_ids.filtered("l10n_ph_atc"))

    def test_another_atc_replaces_the_tax_of_the_first(self):
        bill = self._bill(("Office rent", 10000))
        self._decide_all(self._wizard(bill), "rent").action_apply()
        self.vendor.bir_gross_over_limit = "yes"
        wizard = self._wizard(bill)
        nature = self._row(wizard, "bir_nature")
        nature.write({"decision": "edit", "edit_value": "professional"})
        wizard.action_accept_certain()
        wizard.action_apply()
        line = bill._bir_lines()
        self.assertEqual(line.tax_ids.mapped("l10n_ph_atc"), [False, "WC011"])
        self.assertEqual(line.bir_tax_withheld, 1500.0)
        # An ATC that the chart does not know takes the tax of the former with it.
        wizard = self._wizard(bill)
        self._row(wizard, "bir_atc").write({"decision": "edit", "edit_value": "WC610"})
        wizard.action_accept_certain()
        wizard.action_apply()
        self.assertEqual(line.tax_ids, self.vat)
        self.assertIn("no tax for WC610", line.bir_note)

    def test_sections_and_notes_carry_no_fields(self):
        bill = self._bill(("Office rent", 10000))
        bill.invoice_line_ids = [
            Command.create({"display_type": "line_section", "name": "November"}),
            Command.create({"display_type": "line_note", "name": "Thank you"}),
        ]
        self.assertEqual(bill._bir_lines().mapped("name"), ["Office rent"])
        self.assertEqual(bill.bir_open_count, 6)
