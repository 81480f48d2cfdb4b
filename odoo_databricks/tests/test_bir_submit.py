from odoo import Command, fields
from odoo.exceptions import AccessError, UserError
from odoo.tests import tagged

from .bir_common import BirCase


@tagged("post_install", "-at_install")
class TestBirSubmit(BirCase):
    """From decided to submitted, locked and reopened; and who may do which."""

    def _decided(self, *lines, **values):
        bill = self._bill(*(lines or [("Office rent", 10000)]), **values)
        self._decide_all(self._wizard(bill)).action_apply()
        return bill

    def test_submit_is_refused_while_a_required_field_is_open(self):
        bill = self._bill(("Office rent", 10000), ("Parking", 500))
        wizard = self._wizard(bill, self.reviewer)
        self._row(wizard, "bir_nature").write({"decision": "edit", "edit_value": "rent"})
        wizard.action_accept_certain()
        self.assertGreater(wizard.open_count, 0)
        with self.assertRaisesRegex(UserError, "Parking: Nature of Payment"):
            wizard.action_submit()
        wizard.action_apply()
        self.assertGreater(bill.bir_open_count, 0)
        with self.assertRaisesRegex(UserError, "Parking: Nature of Payment, ATC"):
            bill.with_user(self.reviewer).action_bir_submit()
        self.assertEqual(bill.bir_state, "to_review")

    def test_keeping_nothing_does_not_decide_a_required_field(self):
        bill = self._bill(("Office rent", 10000))
        wizard = self._decide_all(self._wizard(bill, self.reviewer))
        self._row(wizard, "bir_nature").write({"decision": "keep", "edit_value": False})
        wizard._recompute_rows()
        self.assertTrue(self._row(wizard, "bir_nature")._is_open())
        with self.assertRaises(UserError):
            wizard.action_submit()

    def test_a_reviewer_submits_from_the_wizard_and_a_preparer_does_not(self):
        bill = self._bill(("Office rent", 10000))
        wizard = self._decide_all(self._wizard(bill))
        with self.assertRaises(AccessError), self.cr.savepoint():
            wizard.action_submit()
        wizard = self._decide_all(self._wizard(bill, self.reviewer))
        wizard.action_submit()
        self.assertRecordValues(
            bill, [{"bir_state": "submitted", "bir_submitted_by": self.reviewer.id}]
        )
        self.assertTrue(bill.bir_submitted_on)

    def test_submitted_is_locked(self):
        bill = self._decided()
        bill.with_user(self.reviewer).action_bir_submit()
        line = bill._bir_lines()
        for values in (
            {"bir_nature": "goods"},
            {"bir_tax_withheld": 1.0},
            {"bir_decisions": {}},
            {"price_unit": 1.0},
            {"tax_ids": [Command.clear()]},
        ):
            with self.assertRaisesRegex(UserError, "submitted"):
                line.write(values)
        with self.assertRaisesRegex(UserError, "submitted"):
            bill.partner_id = self.person
        with self.assertRaisesRegex(UserError, "submitted"):
            bill.invoice_line_ids = [Command.create({"name": "more", "price_unit": 1})]
        with self.assertRaisesRegex(UserError, "submitted"):
            line.unlink()
        with self.assertRaisesRegex(UserError, "submitted"):
            bill.unlink()
        with self.assertRaisesRegex(UserError, "submitted"):
            bill.with_user(self.preparer).action_bir_autofill()
        bill.partner_id = bill.partner_id
        bill.ref = "a note is free"

    def test_submitted_bill_can_still_be_posted_and_paid(self):
        bill = self._decided()
        bill.with_user(self.reviewer).action_bir_submit()
        bill.action_post()
        self.assertEqual((bill.state, bill.bir_state), ("posted", "submitted"))
        wizard = self.env["account.payment.register"].with_context(
            active_model="account.move", active_ids=bill.ids
        )
        wizard.create({})._create_payments()
        self.assertIn(bill.payment_state, ("paid", "in_payment"))

    def test_the_status_does_not_change_by_a_plain_write(self):
        bill = self._decided()
        for values in (
            {"bir_submitted_on": fields.Datetime.now()},
            {"bir_submitted_by": self.preparer.id},
            {"bir_state": "submitted"},
        ):
            with self.assertRaises(AccessError):
                bill.with_user(self.approver).write(values)

    def test_reopen_needs_an_approver_and_a_reason(self):
        bill = self._decided()
        bill.with_user(self.reviewer).action_bir_submit()
        with self.assertRaises(AccessError):
            bill.with_user(self.reviewer)._bir_reopen("because")
        with self.assertRaisesRegex(UserError, "reason"):
            bill.with_user(self.approver)._bir_reopen("  ")
        with self.assertRaises(AccessError):
            self.env["bir.reopen.wizard"].with_user(self.reviewer).create(
                {"move_id": bill.id, "reason": "because"}
            )
        self.env["bir.reopen.wizard"].with_user(self.approver).create(
            {"move_id": bill.id, "reason": "Wrong TIN of the landlord"}
        ).action_reopen()
        self.assertEqual(bill.bir_state, "to_review")
        self.assertFalse(bill.bir_submitted_by)
        message = bill.message_ids[0]
        self.assertIn("Wrong TIN of the landlord", message.body)
        self.assertEqual(message.author_id, self.approver.partner_id)
        bill._bir_lines().bir_nature = "goods"

    def test_a_bill_without_date_is_not_submitted(self):
        bill = self._decided()
        bill.invoice_date = False
        with self.assertRaisesRegex(UserError, "no date"):
            bill.with_user(self.reviewer).action_bir_submit()

    def test_predictions_are_kept_as_they_were_made(self):
        bill = self._bill(("Office rent", 10000))
        with self._model_says("rent", 0.99):
            wizard = self._wizard(bill)
        prediction = self._row(wizard, "bir_nature").prediction_id
        self.assertRecordValues(
            prediction,
            [
                {
                    "source": "model",
                    "model_name": "main.ml.nature_of_payment",
                    "model_version": "1",
                    "served_entity": "nature_of_payment-1",
                    "endpoint": "nature-of-payment",
                    "request_id": "request-1",
                    "training_data": "generated",
                    "move_id": bill.id,
                    "company_id": self.company.id,
                    "decision": False,
                }
            ],
        )
        self.assertEqual(len(prediction.rules_fingerprint), 64)
        wizard.action_accept_certain()
        wizard.action_apply()
        self.assertRecordValues(
            prediction,
            [{"decision": "accept", "final_value": "rent", "decided_by": self.preparer.id}],
        )
        for user in (self.preparer, self.approver, self.env.ref("base.user_root")):
            prediction = prediction.with_user(user)
            with self.assertRaises(UserError):
                prediction.write({"proposed_value": "goods"})
            with self.assertRaises(UserError):
                prediction.write({"decision": "keep"})
            with self.assertRaises(UserError):
                prediction.unlink()
        with self.assertRaises(AccessError):
            prediction.with_user(self.approver).copy()
        with self.assertRaises(AccessError):
            self.env["bir.prediction"].with_user(self.approver).create(
                {"company_id": self.company.id, "field_name": "bir_atc", "source": "rule"}
            )

    def test_predictions_outlive_the_bill(self):
        bill = self._bill(("Office rent", 10000))
        with self._model_says("rent", 0.99):
            prediction = self._row(self._wizard(bill), "bir_nature").prediction_id
        bill_id = bill.id
        bill.unlink()
        self.assertTrue(prediction.exists())
        self.assertEqual((prediction.move_id.id, prediction.move_res_id), (False, bill_id))

    def test_a_changed_nature_leaves_both_proposals(self):
        bill = self._bill(("Office rent", 10000))
        with self._model_says("rent", 0.99):
            wizard = self._wizard(bill)
        first = self._row(wizard, "bir_atc").prediction_id
        self._row(wizard, "bir_nature").write({"decision": "edit", "edit_value": "contractor"})
        wizard.action_accept_certain()
        wizard.action_apply()
        second = self._row(wizard, "bir_atc").prediction_id
        self.assertEqual((first.proposed_value, first.decision), ("WC100", "superseded"))
        self.assertEqual((second.proposed_value, second.decision), ("WC120", "accept"))

    def test_another_company_reads_nothing(self):
        bill = self._bill(("Office rent", 10000))
        with self._model_says("rent", 0.99):
            wizard = self._wizard(bill)
        prediction = self._row(wizard, "bir_nature").prediction_id
        other = self._philippine_company("Mayon Trading Test")
        stranger = self._user("stranger", "approver", other)
        for record in (bill, prediction, wizard, wizard.line_ids[:1]):
            record.invalidate_recordset()
            with self.assertRaises(AccessError):
                record.with_user(stranger).read(["create_date"])
        self.assertFalse(self.env["bir.prediction"].with_user(stranger).search([]))
        with self.assertRaises(AccessError):
            bill.with_user(stranger).action_bir_autofill()
        # A colleague of the same company sees the trail, but not the other's open screen.
        self.assertTrue(prediction.with_user(self.reviewer).read(["proposed_value"]))
        with self.assertRaises(AccessError):
            wizard.with_user(self.reviewer).read(["banner"])

    def test_without_a_bir_group_there_is_no_autofill(self):
        accountant = self._user("accountant", "preparer")
        group = self.env.ref("odoo_databricks.group_bir_preparer").sudo()
        users = "users" if "users" in group._fields else "user_ids"
        group[users] -= accountant
        with self.assertRaises(AccessError):
            self._bill(("Office rent", 10000)).with_user(accountant).action_bir_autofill()
