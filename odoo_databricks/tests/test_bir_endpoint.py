import json
import os
import urllib.request
from unittest.mock import patch

from odoo.tests import tagged

from ..lib.errors import BadAnswer
from ..lib.secret_store import KEY_VARIABLE, generate_key
from ..lib.serving import Scores
from .bir_common import BirCase
from .common import HOST, TOKEN, needs_workspace

PREDICTOR = "odoo.addons.odoo_databricks.models.bir_predictor"
INVOCATIONS = "/serving-endpoints/nature-of-payment/invocations"


class BirEndpointCase(BirCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        key = patch.dict(os.environ, {KEY_VARIABLE: generate_key()})
        key.start()
        cls.addClassCleanup(key.stop)

    def _connect(self, **values):
        return self.admin_env["databricks.workspace"].create(
            {
                "name": "BIR test workspace",
                "company_id": self.company.id,
                "host": os.environ.get(HOST, "http://127.0.0.1:9"),
                "token": os.environ.get(TOKEN, "dapi0123456789abcdef"),
                **values,
            }
        )

    def _assert_usable(self, wizard, *words):
        """The form is there, says what happened, and a person can go on without the model."""
        for word in words:
            self.assertIn(word, wizard.banner)
        self.assertIn("decided by hand", wizard.banner)
        self.assertFalse(wizard.demo_data)
        nature = self._row(wizard, "bir_nature")
        self.assertEqual((nature.proposed_value, nature.level), (False, False))
        self.assertEqual(self._row(wizard, "bir_tax_base").proposed_value, "10000.00")
        self.assertFalse(self._predictions(wizard.move_id).filtered(lambda p: p.source == "model"))
        line = wizard.move_id._bir_lines()
        self.assertFalse(line.bir_decisions, "nothing is half-written")
        self._decide_all(wizard).action_apply()
        self.assertEqual((line.bir_atc, line.bir_tax_withheld), ("WC100", 500.0))

    def _predictions(self, bill):
        return self.env["bir.prediction"].search([("move_id", "=", bill.id)])


@tagged("post_install", "-at_install")
class TestBirFaults(BirEndpointCase):
    """Faults that need no workspace, or that a workspace does not have."""

    def test_nothing_listens_at_the_host(self):
        self._connect(host="http://127.0.0.1:9")
        self._assert_usable(self._wizard(self._bill(("Office rent", 10000))), "did not answer")

    def test_no_token_is_stored(self):
        self._connect(token=False)
        self._assert_usable(self._wizard(self._bill(("Office rent", 10000))), "token")

    def test_an_answer_that_is_none(self):
        self._connect()
        with (
            patch.object(self.env.registry["databricks.workspace"], "_connect", _no_client),
            patch(f"{PREDICTOR}.score", side_effect=BadAnswer("1 record was sent, 0 came")),
            patch(f"{PREDICTOR}.transport_of"),
        ):
            wizard = self._wizard(self._bill(("Office rent", 10000)))
        self._assert_usable(wizard, "1 record was sent, 0 came")

    def _answer(self, prediction):
        scores = Scores([prediction], "nature-of-payment", "n-7", "main.ml.n", "7")
        self._connect()
        with (
            patch.object(self.env.registry["databricks.workspace"], "_connect", _no_client),
            patch(f"{PREDICTOR}.score", return_value=scores),
            patch(f"{PREDICTOR}.transport_of"),
        ):
            return self._wizard(self._bill(("Office rent", 10000)))

    def test_whatever_does_not_fit_the_contract_counts_as_missing(self):
        for told, word in (
            (None, "does not say"),
            ("rent", "does not say"),
            ({"value": "rent"}, "cannot be read"),
            ({"value": "rent", "confidence": "0.99"}, "cannot be read"),
            ({"value": "rent", "confidence": float("nan")}, "cannot be read"),
            ({"value": "rent", "confidence": 1.01}, "cannot be read"),
            ({"value": 7, "confidence": 0.99}, "cannot be read"),
            ({"value": "alchemy", "confidence": 0.99}, "not known: alchemy"),
        ):
            with self.subTest(told=told):
                said = self.env["bir.predictor"]._said("bir_nature", told)
                self.assertIsNone(said.value)
                self.assertIn(word, said.reason)
        wizard = self._answer("no record at all")
        self.assertFalse(wizard.banner)
        self.assertFalse(self._row(wizard, "bir_nature").proposed_value)

    def test_rules_of_another_version_are_told(self):
        told = {"nature_of_payment": {"value": "rent", "confidence": 0.99}}
        wizard = self._answer({**told, "rules_fingerprint": "0" * 64})
        self.assertIn("another version of the rules", wizard.rules_warning)
        prediction = self._row(wizard, "bir_nature").prediction_id
        self.assertEqual(prediction.model_rules_fingerprint, "0" * 64)
        self.assertEqual((prediction.served_entity, prediction.model_version), ("n-7", "7"))


def _no_client(workspace, *_args):
    return object()


@needs_workspace
@tagged("post_install", "-at_install")
class TestBirEndpoint(BirEndpointCase):
    """The served model, and the faults that the embedded workspace plays on demand."""

    def setUp(self):
        super().setUp()
        self.addCleanup(self._local, "DELETE")

    @staticmethod
    def _local(method, **fault):
        request = urllib.request.Request(
            os.environ[HOST] + "/_local/faults",
            data=json.dumps(fault).encode() if fault else None,
            headers={
                "Authorization": f"Bearer {os.environ[TOKEN]}",
                "Content-Type": "application/json",
            },
            method=method,
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def _calls(self, bill):
        """Rows of the call log for the bill; they are written in a transaction of their own."""
        with self.registry.cursor() as cr:
            cr.execute(
                "SELECT status, request_id FROM databricks_call_log "
                "WHERE res_model = 'account.move' AND res_id = %s AND endpoint = %s ORDER BY id",
                (bill.id, INVOCATIONS),
            )
            return cr.fetchall()

    def test_one_call_for_all_lines_and_its_origin_is_kept(self):
        self._connect()
        bill = self._bill(("Office rent", 45000), ("Bond paper, 20 reams", 5200), ("", 5))
        wizard = self._wizard(bill)
        self.assertFalse(wizard.banner)
        calls = self._calls(bill)
        self.assertEqual([status for status, _request in calls], [200])
        rows = wizard.line_ids.filtered(lambda row: row.raw_source == "model")
        self.assertEqual(rows.move_line_id, bill._bir_lines()[:2], "no text, no question")
        for row in rows:
            good = row.raw_value and row.raw_confidence >= row.floor
            self.assertEqual(row.proposed_value, row.raw_value if good else False)
        prediction = rows[0].prediction_id
        self.assertEqual(prediction.endpoint, "nature-of-payment")
        self.assertEqual(prediction.request_id, calls[0][1])
        self.assertTrue(prediction.model_version)
        self.assertEqual(prediction.served_entity, f"nature_of_payment-{prediction.model_version}")
        self.assertEqual(prediction.model_name, "main.ml.nature_of_payment")

    def test_demo_data_is_said(self):
        self._connect()
        wizard = self._wizard(self._bill(("Office rent", 10000)))
        training = self._row(wizard, "bir_nature").prediction_id.training_data
        self.assertEqual(wizard.demo_data, training == "generated")

    def test_endpoint_answers_404_429_503(self):
        self._connect()
        for status, words in (
            (404, ("did not answer", "endpoint")),
            (429, ("busy", "again in a minute")),
            (503, ("busy", "again in a minute")),
        ):
            with self.subTest(status=status):
                self._local("DELETE")
                self._local("POST", path=INVOCATIONS, status=status, retry_after=0, times=50)
                bill = self._bill(("Office rent", 10000), date=f"2025-10-{status % 28 + 1:02}")
                with patch(f"{PREDICTOR}.PATIENCE", 1.0), self._fresh_books():
                    self._assert_usable(self._wizard(bill), *words)
                self.assertIn(status, [status for status, _request in self._calls(bill)])

    def _fresh_books(self):
        """The bills of the other subtests must not stand in for the model."""
        return patch.object(
            self.env.registry["bir.rule.engine"], "_from_books", lambda *_args: None
        )

    def test_endpoint_takes_too_long(self):
        self._connect()
        self._local("POST", path=INVOCATIONS, delay_seconds=4)
        bill = self._bill(("Office rent", 10000))
        with patch(f"{PREDICTOR}.PATIENCE", 1.0):
            self._assert_usable(self._wizard(bill), "too long")

    def test_no_such_endpoint(self):
        self._connect()
        self.company.sudo().bir_endpoint = "there-is-none"
        self._assert_usable(self._wizard(self._bill(("Office rent", 10000))), "endpoint")

    def test_token_was_revoked(self):
        self._connect(token="dapi00000000000000000000000000000000")
        wizard = self._wizard(self._bill(("Office rent", 10000)))
        self._assert_usable(wizard, "revoked")
        self.assertNotIn("dapi0000", wizard.banner)
