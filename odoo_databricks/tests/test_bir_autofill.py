from odoo.exceptions import UserError, ValidationError
from odoo.tests import Form, tagged

from .bir_common import BirCase


@tagged("post_install", "-at_install")
class TestBirAutofill(BirCase):
    """Proposals and decisions, with the model's answer given or absent."""

    def test_vendor_bill_waits_for_review_and_a_customer_invoice_does_not(self):
        bill = self._bill(("Office rent", 10000))
        self.assertEqual(bill.bir_state, "to_review")
        invoice = self.env["account.move"].create({"move_type": "out_invoice"})
        self.assertEqual(invoice.bir_state, "no")
        with self.assertRaisesRegex(UserError, "vendor bills"):
            invoice.action_bir_autofill()

    def test_without_workspace_the_rules_speak_and_the_banner_says_what_to_do(self):
        wizard = self._wizard(self._bill(("Office rent", 10000)))
        self.assertIn("No workspace is connected", wizard.banner)
        self.assertFalse(wizard.demo_data)
        nature = self._row(wizard, "bir_nature")
        self.assertFalse(nature.proposed_value)
        self.assertFalse(nature.proposed_display)
        self.assertFalse(nature.level)
        atc = self._row(wizard, "bir_atc")
        self.assertFalse(atc.proposed_value)
        self.assertIn("unknown, because the nature of payment is not decided", atc.reason)
        self.assertEqual(self._row(wizard, "bir_vat_treatment").proposed_value, "vat_registered")
        self.assertEqual(self._row(wizard, "bir_tax_base").proposed_value, "10000.00")
        tax = self._row(wizard, "bir_tax_withheld")
        self.assertEqual((tax.proposed_value, tax.proposed_display), (False, False))

    def test_editing_the_nature_recomputes_what_follows_from_it(self):
        wizard = self._wizard(self._bill(("Office rent", 10000)))
        with Form(wizard) as form:
            with form.line_ids.edit(1) as row:
                row.edit_value = "rent"
                self.assertEqual(row.decision, "edit")
        self.assertEqual(self._row(wizard, "bir_atc").proposed_value, "WC100")
        self.assertEqual(self._row(wizard, "bir_rate").proposed_display, "5 %")
        self.assertEqual(self._row(wizard, "bir_tax_withheld").proposed_value, "500.00")
        self.assertIn("RR 2-98", self._row(wizard, "bir_atc").reason)

    def test_accept_writes_fields_and_the_tax_of_the_atc(self):
        bill = self._bill(("Office rent", 10000))
        with self._model_says("rent", 0.99, "facilities"):
            wizard = self._wizard(bill)
        self.assertTrue(wizard.demo_data)
        self.assertEqual(wizard.certain_count, 7)
        wizard.action_accept_certain()
        self.assertEqual((wizard.certain_count, wizard.open_count), (0, 0))
        wizard.action_apply()
        line = bill._bir_lines()
        self.assertRecordValues(
            line,
            [
                {
                    "bir_nature": "rent",
                    "bir_expense_category": "facilities",
                    "bir_atc": "WC100",
                    "bir_rate": 5.0,
                    "bir_tax_base": 10000.0,
                    "bir_tax_withheld": 500.0,
                    "bir_vat_treatment": "vat_registered",
                    "bir_withholding": "withheld",
                    "bir_note": False,
                }
            ],
        )
        self.assertEqual(bill.bir_form, "2307")
        self.assertEqual(line.tax_ids.filtered("l10n_ph_atc").mapped("l10n_ph_atc"), ["WC100"])
        self.assertIn(self.vat, line.tax_ids)
        # The journal item that the 2307 is made of has the same base and tax.
        withheld = bill.line_ids.filtered("tax_line_id.l10n_ph_atc")
        self.assertEqual(withheld.tax_line_id.l10n_ph_atc, "WC100")
        self.assertEqual((abs(withheld.tax_base_amount), withheld.balance), (10000.0, -500.0))
        self.assertEqual(bill.amount_total, 10700.0)

    def test_below_the_floor_is_blank_and_kept_in_the_audit_trail(self):
        bill = self._bill(("Something unclear", 10000))
        with self._model_says("rent", 0.80):
            wizard = self._wizard(bill)
        nature = self._row(wizard, "bir_nature")
        self.assertEqual((nature.proposed_value, nature.proposed_display), (False, False))
        self.assertEqual(nature.level, "medium")
        self.assertIn("below the floor of 0.950", nature.reason)
        self.assertFalse(self._row(wizard, "bir_atc").proposed_value)
        prediction = nature.prediction_id
        self.assertEqual((prediction.proposed_value, prediction.shown), ("rent", False))
        self.assertAlmostEqual(prediction.confidence, 0.80)
        category = self._row(wizard, "bir_expense_category")
        self.assertFalse(category.proposed_value)
        self.assertFalse(category.level, "a missing prediction has no confidence")

    def test_confidence_of_the_nature_carries_over_to_the_amount(self):
        with self._model_says("rent", 0.96):
            wizard = self._wizard(self._bill(("Office rent", 10000)))
        self.assertEqual(self._row(wizard, "bir_atc").proposed_value, "WC100")
        tax = self._row(wizard, "bir_tax_withheld")
        self.assertFalse(tax.proposed_value, "0.96 is below the floor for amounts, 0.975")
        self._row(wizard, "bir_nature").decision = "accept"
        wizard._recompute_rows()
        self.assertEqual(tax.proposed_value, "500.00")

    def test_floors_are_those_of_the_company(self):
        self.company.sudo().bir_threshold_code = 0.75
        with self._model_says("rent", 0.80):
            wizard = self._wizard(self._bill(("Office rent", 10000)))
        self.assertEqual(self._row(wizard, "bir_nature").proposed_value, "rent")
        with self.assertRaises(ValidationError):
            self.company.sudo().bir_threshold_code = 1.5

    def test_a_value_set_before_by_a_person_is_kept(self):
        bill = self._bill(("Office rent", 10000))
        line = bill._bir_lines()
        line.with_user(self.preparer).bir_nature = "contractor"
        self.assertEqual(line.bir_decisions, {"bir_nature": "typed"})
        with self._model_says("rent", 0.99):
            wizard = self._wizard(bill)
        row = self._row(wizard, "bir_nature")
        self.assertTrue(row.locked)
        self.assertEqual(row.decision, "keep")
        self.assertEqual(self._row(wizard, "bir_atc").proposed_value, "WC120")
        wizard.action_accept_certain()
        wizard.action_apply()
        self.assertEqual(line.bir_nature, "contractor")
        self.assertEqual(
            (row.prediction_id.decision, row.prediction_id.final_value), ("keep", "contractor")
        )

    def test_a_value_edited_after_the_request_is_not_overwritten(self):
        bill = self._bill(("Office rent", 10000))
        with self._model_says("rent", 0.99):
            wizard = self._wizard(bill)
        wizard.action_accept_certain()
        line = bill._bir_lines()
        line.with_user(self.reviewer).bir_nature = "broker"
        action = wizard.action_apply()
        self.assertEqual(line.bir_nature, "broker")
        self.assertEqual(action["res_id"], wizard.id)
        self.assertIn("Not written", wizard.notice)
        row = self._row(wizard, "bir_nature")
        self.assertTrue(row.locked)
        first = row.prediction_id
        self.assertEqual((first.decision, first.final_value), ("conflict", "broker"))
        # The person sees it and decides by hand: a second row of the trail, the first stays.
        row.write({"decision": "edit", "edit_value": "professional"})
        self.assertEqual(wizard.action_apply()["tag"], "soft_reload")
        self.assertEqual(line.bir_nature, "professional")
        self.assertEqual(first.decision, "conflict")
        self.assertEqual(
            (row.prediction_id.decision, row.prediction_id.final_value), ("edit", "professional")
        )

    def test_fields_are_typed_on_the_bill_itself(self):
        bill = self._bill(("Office rent", 10000), ("Parking", 500))
        with Form(bill.with_user(self.preparer)) as form:
            with form.bir_line_ids.edit(1) as line:
                line.bir_nature = "rent"
                line.bir_tax_base = 480
            with form.invoice_line_ids.edit(0) as line:
                line.price_unit = 11000
        first, second = bill._bir_lines()
        self.assertEqual((first.price_unit, first.bir_decisions), (11000.0, False))
        self.assertEqual(second.bir_decisions, {"bir_nature": "typed", "bir_tax_base": "typed"})
        self.assertEqual((second.bir_nature, second.bir_tax_base), ("rent", 480.0))

    def test_the_same_amount_typed_as_zero_is_a_value_and_missing_is_not(self):
        bill = self._bill(("Office rent", 10000))
        line = bill._bir_lines()
        self.assertIsNone(line._bir_value("bir_tax_withheld"))
        line.bir_tax_withheld = 7
        line.bir_tax_withheld = 0
        self.assertEqual(line._bir_value("bir_tax_withheld"), "0.00")

    def test_edit_takes_typed_numbers_and_refuses_what_is_none(self):
        bill = self._bill(("Office rent", 10000))
        with self._model_says("rent", 0.99):
            wizard = self._wizard(bill)
        wizard.action_accept_certain()
        base = self._row(wizard, "bir_tax_base")
        base.write({"decision": "edit", "edit_value": "nine thousand"})
        with self.assertRaisesRegex(ValidationError, "nine thousand is not a number"):
            wizard.action_apply()
        base.edit_value = "9,000.50"
        wizard.action_apply()
        self.assertEqual(bill._bir_lines().bir_tax_base, 9000.50)
        self.assertEqual(base.prediction_id.final_value, "9000.50")

    def test_another_atc_brings_its_own_rate(self):
        bill = self._bill(("Office rent", 10000))
        with self._model_says("rent", 0.99):
            wizard = self._wizard(bill)
        self._row(wizard, "bir_atc").write({"decision": "edit", "edit_value": "wc 120"})
        wizard.action_accept_certain()
        self.assertEqual(self._row(wizard, "bir_rate").proposed_value, "2")
        self.assertEqual(self._row(wizard, "bir_tax_withheld").proposed_value, "200.00")
        wizard.action_apply()
        self.assertEqual(bill._bir_lines().bir_atc, "WC120")

    def test_an_atc_without_tax_in_the_chart_is_said_on_the_line(self):
        bill = self._bill(("Palay", 400000), partner=self.vendor)
        with self._model_says("agricultural", 0.99):
            wizard = self._wizard(bill)
        self._row(wizard, "bir_atc").write({"decision": "edit", "edit_value": "WC610"})
        wizard.action_accept_certain()
        wizard.action_apply()
        line = bill._bir_lines()
        self.assertEqual(line.bir_atc, "WC610")
        self.assertIn("no tax for WC610 at 1 % in this chart", line.bir_note)
        self.assertFalse(line.tax_ids.filtered("l10n_ph_atc"))

    def test_nothing_to_withhold_is_a_decision(self):
        bill = self._bill(("Bond paper", 5000))
        with self._model_says("goods", 0.99):
            wizard = self._wizard(bill)
        self.assertEqual(self._row(wizard, "bir_atc").proposed_display, "Nothing to withhold")
        self.assertFalse(self._row(wizard, "bir_rate").applies)
        wizard.action_accept_certain()
        wizard.action_apply()
        line = bill._bir_lines()
        self.assertEqual((line.bir_withholding, line.bir_atc), ("nothing", False))
        self.assertFalse(line._bir_open_fields())
        self.assertFalse(bill.bir_form)

    def test_people_are_individuals_and_the_unknown_stays_unknown(self):
        bill = self._bill(("Legal fees", 10000, self.vat.browse()), partner=self.person)
        with self._model_says("professional", 0.99):
            wizard = self._wizard(bill)
        atc = self._row(wizard, "bir_atc")
        self.assertFalse(atc.proposed_value)
        self.assertIn("unknown, because", atc.reason)
        self.person.write({"bir_vat_status": "non_vat", "bir_gross_over_limit": "no"})
        wizard._recompute_rows()
        self.assertEqual(atc.proposed_value, "WI010")
        self.assertEqual(self._row(wizard, "bir_vat_treatment").proposed_value, "non_vat")

    def test_what_people_decided_before_stands_in_for_the_model(self):
        first = self._bill(("Office rent", 10000))
        self._decide_all(self._wizard(first)).action_apply()
        wizard = self._wizard(self._bill(("Office rent", 12000), date="2025-12-14"))
        nature = self._row(wizard, "bir_nature")
        self.assertEqual((nature.proposed_value, nature.source), ("rent", "books"))
        self.assertIn("same text", nature.reason)
        other = self._wizard(self._bill(("Parking", 900), date="2025-12-15"))
        nature = self._row(other, "bir_nature")
        self.assertFalse(nature.proposed_value)
        self.assertEqual(nature.reference_display, "Rent")
