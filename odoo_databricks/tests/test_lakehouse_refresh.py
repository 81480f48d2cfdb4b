import socket
from datetime import timedelta
from unittest.mock import patch

from odoo import fields
from odoo.exceptions import UserError, ValidationError
from odoo.tests import tagged
from odoo.tools import SQL

from ..lib import sql
from ..models.databricks_tools import claim_one
from ..models.lakehouse_view_source import ADVISORY_CLASS
from .common import LakehouseCase, needs_workspace, spend_row


class RefreshCase(LakehouseCase):
    def setUp(self):
        super().setUp()
        # claimed first, as long as no other row of this test is locked by this transaction
        self.workspace = self.make_workspace()
        self.forget_calls(self.workspace)
        others = self.env["lakehouse.view"].search([]) - self.view
        others.scheduled = False
        self.view.write(
            {
                "workspace_id": self.workspace.id,
                "scheduled": True,
                "state": "new",
                "data_as_of": False,
                "failure_count": 0,
                "last_error": False,
                "lease_until": False,
                "resume_at": False,
                "next_run": fields.Datetime.now() - timedelta(minutes=1),
            }
        )

    def runs(self):
        return self.view.run_ids.sorted("id", reverse=True)


@tagged("post_install", "-at_install")
@needs_workspace
class TestRefresh(RefreshCase):
    def test_refresh(self):
        self.load_spend()
        before = fields.Datetime.now()
        answer = self.view.with_user(self.manager).action_refresh()["params"]
        run = self.view.last_run_id
        self.assertEqual(answer["type"], "success", answer["message"])
        self.assertEqual(run.state, "done")
        self.assertTrue(run.statement_id)
        self.assertEqual(run.rows_read, run.rows_inserted + run.rows_rejected)
        self.assertEqual(self.Spend.search_count([]), run.rows_inserted)
        self.assertTrue(run.rows_inserted)
        self.assertEqual(self.view.row_count, run.rows_inserted)
        self.assertGreaterEqual(self.view.data_as_of, before)
        self.assertTrue(self.view.source_updated_at)
        self.assertFalse(self.view.lease_until)
        companies = {company for (company,) in self.Spend._read_group([], ["company_id"])}
        self.assertLessEqual(companies, {self.sampaguita, self.mayon})
        # BANAHAW is a company of the exports that Odoo does not know here
        self.assertTrue(run.rows_rejected)
        self.assertIn("BANAHAW", run.rejects)

        ids = self.Spend.search([]).ids
        self.view.action_refresh()
        second = self.view.last_run_id
        self.assertNotEqual(second, run)
        counts = (second.rows_inserted, second.rows_updated, second.rows_deleted)
        self.assertEqual(counts, (0, 0, 0))
        self.assertEqual(self.Spend.search([]).ids, ids)

    def test_scheduled_action_refreshes_what_is_due(self):
        cron = self.env.ref("odoo_databricks.lakehouse_view_cron")
        if "numbercall" in cron._fields:
            self.assertEqual(cron.numbercall, -1)
        cron.ir_actions_server_id.run()
        run = self.view.last_run_id
        self.assertEqual((run.state, run.reason), ("done", "schedule"), run.error)
        self.assertGreater(self.view.next_run, fields.Datetime.now() + timedelta(minutes=50))
        cron.ir_actions_server_id.run()
        self.assertEqual(self.view.last_run_id, run, "not due again")

    def test_table_that_is_not_there(self):
        self.load_spend(spend_row("kept"))
        self.view.source_table = "main.gold.no_such_table"
        answer = self.view.action_refresh()["params"]
        self.assertEqual(answer["type"], "danger")
        self.assertIn("no_such_table", answer["message"])
        self.assertIn("message names the table", answer["message"])
        self.assertEqual(self.Spend.search([]).mapped("remote_key"), ["kept"])
        self.assertEqual(self.view.state, "failed")

    def test_slow_statement_is_looked_at_later(self):
        """The warehouse answers 'running' first; nothing waits, and the same statement is read."""
        submit = sql.submit

        def at_once(*args, **options):
            statement = submit(*args, **options)
            return sql.Statement(statement.statement_id, "RUNNING", "local", True)

        with patch.object(sql, "submit", at_once):
            answer = self.view.action_refresh()["params"]
        self.assertEqual(answer["type"], "info")
        run = self.view.last_run_id
        self.assertEqual(run.state, "running")
        self.view.resume_at = fields.Datetime.now()

        def only_looks(client, warehouse, text, *args, **options):
            self.assertIn("LIMIT", text, "the rows are not asked for twice")
            return submit(client, warehouse, text, *args, **options)

        with patch.object(sql, "submit", only_looks):
            self.env["lakehouse.view"]._cron_refresh_due()
        self.assertEqual(self.view.last_run_id, run)
        self.assertEqual(run.state, "done", run.error)
        self.assertTrue(run.rows_read)
        self.assertFalse(self.view.resume_at)


@tagged("post_install", "-at_install")
class TestRefreshFaults(RefreshCase):
    def setUp(self):
        super().setUp()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.workspace.host = f"http://127.0.0.1:{free.getsockname()[1]}"

    def test_failure_keeps_rows_and_does_not_repeat_itself(self):
        self.load_spend(spend_row("kept"))
        self.view.write({"state": "ok", "data_as_of": "2025-10-01 00:00:00"})
        for count in (1, 2, 3):
            self.view.next_run = fields.Datetime.now()
            self.env["lakehouse.view"]._cron_refresh_due()
            self.assertEqual(self.view.failure_count, count)
            posted = self.view.message_ids.filtered(lambda m: "refresh failed" in m.body)
            self.assertEqual(len(posted), 1)
        self.assertEqual(self.Spend.search([]).mapped("remote_key"), ["kept"])
        self.assertEqual(str(self.view.data_as_of), "2025-10-01 00:00:00")
        self.assertIn("No connection to the workspace", self.view.last_error)
        self.assertIn("firewall", self.view.last_error)
        delay = self.view.next_run - fields.Datetime.now()
        self.assertGreater(delay, timedelta(minutes=15))
        self.assertEqual(self.runs()[:3].mapped("state"), ["failed"] * 3)

    def test_unexpected_error_is_kept_and_told(self):
        Workspace = type(self.workspace)
        with (
            patch.object(Workspace, "_connect", side_effect=RuntimeError("odd dapi-secret")),
            self.assertLogs("odoo.addons.odoo_databricks.models.lakehouse_view_refresh") as log,
        ):
            answer = self.view.action_refresh()["params"]
        self.assertIn("RuntimeError", answer["message"])
        # the text of an unknown error may hold anything: for the administrator's log only
        self.assertNotIn("dapi-secret", answer["message"] + self.view.last_run_id.error)
        self.assertIn("odd dapi-secret", log.output[0])
        self.assertEqual(self.view.last_run_id.state, "failed")

    def test_no_secret(self):
        self.workspace.action_forget_secrets()
        answer = self.view.action_refresh()["params"]
        self.assertEqual(answer["type"], "danger")
        self.assertIn("Store the secret", answer["message"])

    def test_no_workspace(self):
        self.view.workspace_id = False
        with self.assertRaisesRegex(UserError, "Choose the workspace"):
            self.view.action_refresh()
        self.env["lakehouse.view"]._cron_refresh_due()
        self.assertEqual(self.view.state, "new")

    def test_table_name_is_checked(self):
        for table in ("gold.x", "main.gold.x; DROP TABLE y", "main.gold.`x`", "a.b.c.d"):
            with self.subTest(table), self.assertRaises(ValidationError):
                self.view.source_table = table

    def test_lease_keeps_others_out_and_ends(self):
        self.view.lease_until = fields.Datetime.now() + timedelta(minutes=5)
        self.assertEqual(self.view.action_refresh()["params"]["type"], "warning")
        stuck = self.env["lakehouse.sync.run"].create({"view_id": self.view.id})
        self.view.lease_until = fields.Datetime.now() - timedelta(seconds=1)
        self.view.action_refresh()
        self.assertEqual(stuck.state, "failed")
        self.assertIn("Interrupted", stuck.error)


@tagged("post_install", "-at_install")
class TestClaim(LakehouseCase):
    def test_locked_row_is_skipped(self):
        """Another worker holds the view: it is neither waited for nor refreshed twice."""
        everything = (self.env["lakehouse.view"], SQL("id = %s", self.view.id), SQL("id"))
        with self.registry.cursor() as worker:
            worker.execute(
                "SELECT id FROM lakehouse_view WHERE id = %s FOR NO KEY UPDATE", (self.view.id,)
            )
            self.assertFalse(claim_one(*everything))
            self.assertFalse(self.view._refresh("manual"))
        self.assertEqual(claim_one(*everything), self.view)

    def test_one_refresh_at_a_time(self):
        with self.registry.cursor() as worker:
            worker.execute(
                "SELECT pg_try_advisory_xact_lock(%s, %s)", (ADVISORY_CLASS, self.view.id)
            )
            with self.assertRaisesRegex(UserError, "under way"):
                self.view._load(None, None, None)
