"""Refreshes of a table that changes: by watermark, by shape, by size; and the comparison."""

import uuid
from datetime import date, timedelta

from freezegun import freeze_time

from odoo import fields
from odoo.exceptions import ValidationError
from odoo.tests import tagged
from odoo.tools import SQL

from ..lib import sql
from .common import SPEND_COLUMNS, needs_workspace
from .test_lakehouse_refresh import RefreshCase

GOLD = "main.gold.vendor_spend_monthly"
OURS = "company_code IN ('SAMPAGUITA', 'MAYON')"
COLUMNS = ", ".join(SPEND_COLUMNS)


class SourceCase(RefreshCase):
    """A table of the test's own on the workspace, first with the rows of two companies."""

    def setUp(self):
        super().setUp()
        self.table = f"main.gold.test_{uuid.uuid4().hex[:12]}"
        self.addCleanup(self._run, f"DROP TABLE IF EXISTS {self.table}")
        self.replace(f"SELECT {COLUMNS} FROM {GOLD} WHERE {OURS}")
        self.view.source_table = self.table

    def _run(self, text):
        with self.workspace.client() as client:
            return sql.query(client, "local", text, row_limit=10)

    def replace(self, query, shape=False):
        """New rows as a new version of the table; with `shape` a new table of that name."""
        if shape:
            self._run(f"DROP TABLE {self.table}")
        self._run(f"CREATE OR REPLACE TABLE {self.table} AS {query}")

    def refresh(self):
        self.view.action_refresh()
        return self.view.last_run_id

    def assertKept(self, before, run, words):
        self.assertEqual(run.state, "failed")
        self.assertIn(words, run.error)
        self.assertEqual(self.Spend.search([]).ids, before)
        self.assertEqual(self.view.state, "failed")
        self.assertIn(words, self.view.activity_ids.note)


@tagged("post_install", "-at_install")
@needs_workspace
class TestChanges(SourceCase):
    def test_only_what_changed_is_read(self):
        self.view.refresh_mode = "watermark"
        others = COLUMNS.replace(", updated_at", "")
        age = "CASE company_code WHEN 'MAYON' THEN 0 ELSE 2 END"
        self.replace(
            f"SELECT {others}, updated_at - make_dt_interval({age}) AS updated_at "
            f"FROM {GOLD} WHERE {OURS}"
        )
        first = self.refresh()
        self.assertEqual((first.state, first.complete), ("done", True), first.error)
        self.assertTrue(first.rows_inserted)
        self.assertTrue(first.delta_version.isdecimal())
        self._run(
            f"INSERT INTO {self.table} SELECT 'new-row' AS row_key, "
            f"{others.replace('row_key, ', '')}, updated_at + INTERVAL 3 HOURS AS updated_at "
            f"FROM {GOLD} WHERE {OURS} ORDER BY row_key LIMIT 1"
        )
        self.view.overlap_minutes = 0
        second = self.refresh()
        self.assertEqual((second.state, second.complete), ("done", False), second.error)
        self.assertTrue(second.changed_since)
        self.assertLess(second.rows_read, first.rows_read)
        counts = (second.rows_inserted, second.rows_updated, second.rows_deleted)
        self.assertEqual(counts, (1, 0, 0))
        self.assertEqual(self.view.row_count, first.rows_inserted + 1)
        self.assertEqual(self.view.last_watermark, second.source_updated_at)
        self.assertGreater(int(second.delta_version), int(first.delta_version))

    def test_rows_that_are_gone_go_with_the_next_whole_read(self):
        self.view.refresh_mode = "watermark"
        first = self.refresh()
        self.replace(f"SELECT {COLUMNS} FROM {GOLD} WHERE company_code = 'SAMPAGUITA'")
        self.view.max_drop_percent = 100
        self.assertFalse(self.refresh().complete)
        self.assertEqual(self.view.row_count, first.rows_inserted)
        self.view.last_full_at = fields.Datetime.now() - timedelta(days=1, minutes=1)
        third = self.refresh()
        self.assertTrue(third.complete)
        self.assertTrue(third.rows_deleted)
        companies = {company for (company,) in self.Spend._read_group([], ["company_id"])}
        self.assertEqual(companies, {self.sampaguita})

    @freeze_time("2025-10-31 17:00:00")  # 1 November in Manila
    def test_only_the_last_months_are_copied(self):
        self.view.write({"window_column": "month", "window_months": 2})
        run = self.refresh()
        self.assertEqual(run.state, "done", run.error)
        months = {month for (month,) in self.Spend._read_group([], ["month:month"])}
        self.assertTrue(months)
        self.assertGreaterEqual(min(months), date(2025, 10, 1))
        everything = self._run(f"SELECT count(*) AS n FROM {self.table}")[0]["n"]
        self.assertLess(run.rows_read, everything)
        self.view._check_parity()
        self.assertEqual(self.view.parity_state, "same", self.view.parity_result)

    def test_bounds(self):
        for values in (
            {"full_every_days": 0},
            {"max_drop_percent": 0},
            {"max_drop_percent": 101},
            {"window_column": "month; DROP TABLE x"},
            {"window_column": "month", "window_months": 0},
        ):
            with self.subTest(values), self.assertRaises(ValidationError):
                self.view.write(values)

    def test_taken_up_after_odoo_was_stopped(self):
        """Odoo ended while the rows came: the statement's result is still there to be read."""
        self.refresh()
        with self.workspace.client() as client:
            run = self.env["lakehouse.sync.run"].create({"view_id": self.view.id})
            text, parameters = self.view._source_statement(run)
            statement = sql.submit(client, "local", text, parameters, arrow=True, wait_seconds=5)
        run.statement_id = statement.statement_id
        self.view.write(
            {"last_run_id": run.id, "lease_until": fields.Datetime.now() - timedelta(seconds=1)}
        )
        self.view.next_run = fields.Datetime.now()
        self.env["lakehouse.view"]._cron_refresh_due()
        self.assertEqual(self.view.last_run_id, run)
        self.assertEqual((run.state, run.attempts), ("done", 1), run.error)
        self.assertEqual(run.rows_read, statement.row_count)

    def test_not_taken_up_for_ever(self):
        run = self.env["lakehouse.sync.run"].create(
            {"view_id": self.view.id, "statement_id": "gone", "attempts": 3}
        )
        self.view.last_run_id = run
        again = self.refresh()
        self.assertNotEqual(again, run)
        self.assertEqual((run.state, again.state), ("failed", "done"), again.error)


@tagged("post_install", "-at_install")
@needs_workspace
class TestShape(SourceCase):
    def setUp(self):
        super().setUp()
        self.assertEqual(self.refresh().state, "done")
        self.before = self.Spend.search([]).ids

    def without(self, name, instead=None):
        columns = [name_ for name_ in SPEND_COLUMNS if name_ != name]
        self.replace(f"SELECT {', '.join(columns)} {instead or ''} FROM {GOLD} WHERE {OURS}", True)

    def test_column_gone(self):
        self.without("vendor_name")
        self.assertKept(self.before, self.refresh(), "'vendor_name' is gone")
        self.refresh()
        self.assertEqual(len(self.view.activity_ids), 1)

    def test_column_of_another_type(self):
        self.without("bill_count", ", cast(bill_count AS string) AS bill_count")
        self.assertKept(self.before, self.refresh(), "'bill_count' is of type STRING now")

    def test_more_decimals_are_not_rounded_away(self):
        self.without("amount_net", ", cast(amount_net AS decimal(18, 4)) AS amount_net")
        self.assertKept(self.before, self.refresh(), "DECIMAL(18,4)")

    def test_new_column_is_told_once(self):
        self.replace(f"SELECT {COLUMNS}, 1 AS risk_score FROM {GOLD} WHERE {OURS}", True)
        for __ in range(2):
            self.assertEqual(self.refresh().state, "done")
        told = self.view.message_ids.filtered(lambda message: "risk_score" in message.body)
        self.assertEqual(len(told), 1)

    def test_big_drop_waits_for_a_person(self):
        self.replace(f"SELECT {COLUMNS} FROM {GOLD} WHERE {OURS} LIMIT 3")
        self.assertKept(self.before, self.refresh(), "would shrink from")
        self.assertTrue(self.view.drop_refused)
        self.assertEqual(self.refresh().state, "failed")
        self.view.with_user(self.manager).action_accept_drop()
        self.assertEqual(self.view.last_run_id.state, "done", self.view.last_error)
        self.assertEqual(self.Spend.search_count([]), 3)
        self.assertFalse(self.view.drop_refused or self.view.drop_accepted)

    def test_emptied_table(self):
        self.replace(f"SELECT {COLUMNS} FROM {GOLD} WHERE false")
        self.assertKept(self.before, self.refresh(), "to 0 rows")

    def test_row_cap(self):
        self.view.row_cap = 5
        self.assertKept(self.before, self.refresh(), "copies at most 5")


@tagged("post_install", "-at_install")
@needs_workspace
class TestParity(SourceCase):
    def test_same_then_different_then_mended(self):
        self.view.refresh_mode = "watermark"
        self.refresh()
        answer = self.view.with_user(self.manager).action_check_parity()["params"]
        self.assertEqual(self.view.parity_state, "same", self.view.parity_result)
        self.assertEqual(answer["type"], "success")
        table = SQL.identifier(self.Spend._snapshot_table)
        self.env.cr.execute(
            SQL(
                "UPDATE %s SET amount_net = amount_net + 0.01, row_hash = 'x' "
                "WHERE id = (SELECT min(id) FROM %s)",
                table,
                table,
            )
        )
        self.view._cron_check_parity()
        self.assertEqual(self.view.parity_state, "different")
        self.assertIn("amount_net", self.view.parity_result)
        self.assertNotIn("amount_vat", self.view.parity_result)
        # the next refresh reads the whole table, and that mends it
        self.assertTrue(self.refresh().complete)
        self.view._check_parity()
        self.assertEqual(self.view.parity_state, "same", self.view.parity_result)

    def test_compared_with_the_version_that_was_read(self):
        self.refresh()
        self.replace(f"SELECT {COLUMNS} FROM {GOLD} WHERE company_code = 'MAYON'")
        self.view._check_parity()
        self.assertEqual(self.view.parity_state, "same", self.view.parity_result)

    def test_lost_row_is_found(self):
        self.refresh()
        table = SQL.identifier(self.Spend._snapshot_table)
        self.env.cr.execute(SQL("DELETE FROM %s WHERE id = (SELECT min(id) FROM %s)", table, table))
        self.view._check_parity()
        self.assertEqual(self.view.parity_state, "different")
        self.assertIn("rows", self.view.parity_result)
