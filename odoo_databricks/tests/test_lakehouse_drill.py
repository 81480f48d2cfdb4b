import base64
import os
import time
from datetime import date, timedelta
from decimal import Decimal
from unittest.mock import patch

from odoo import fields
from odoo.exceptions import AccessError, UserError
from odoo.tests import new_test_user, tagged
from odoo.tools import mute_logger

from ..lib import sql
from ..models import lakehouse_live
from ..models.lakehouse_drill import DRILL_ROWS
from .common import SPEND_COLUMNS, needs_workspace, spend_row
from .drill_common import SCHEMA, WarehouseCase

# the key, often a long hash, comes last
SHOWN = [*SPEND_COLUMNS[1:], SPEND_COLUMNS[0]]
TABLE = f"main.{SCHEMA}.spend"
TYPES = {
    "month": "DATE",
    "last_document_date": "DATE",
    "updated_at": "TIMESTAMP",
    "bill_count": "BIGINT",
    "line_count": "BIGINT",
    **dict.fromkeys(("amount_net", "amount_vat", "amount_gross", "ewt_amount"), "DECIMAL(18,2)"),
}
NASTY = "<script>alert('x')</script> & =1+1"
STATEMENTS = """SELECT count(*) FROM databricks_call_log
                WHERE workspace_ref = %s AND verb = 'POST' AND endpoint LIKE '%%statements%%'"""


@tagged("post_install", "-at_install")
@needs_workspace
class TestDrill(WarehouseCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.aliw = cls.env["res.partner"].create({"name": "Aliw Trading", "vat": "111-222-333-000"})
        cls.view.write({"workspace_id": cls.workspace.id, "source_table": TABLE})
        rows = [
            spend_row("s1", vendor_tin="111-222-333-000"),
            spend_row("s2", vendor_name="Bayan Power", month=date(2025, 10, 1)),
            spend_row("s3", vendor_name=NASTY, currency="USD", amount_gross=Decimal("0.10")),
            spend_row("s4", vendor_name="=1+1", last_document_date=None, month=date(2025, 10, 1)),
            spend_row("m1", "mayon", vendor_tin="111-222-333-000"),
            spend_row("m2", "MAYON", vendor_name="Bayan Power"),
            spend_row("x1", "UNKNOWN"),
        ]
        cls.load_spend(*rows)
        cls._fill_warehouse(rows)
        cls.mine = cls.Spend.with_user(cls.user)
        cls.theirs = cls.Spend.with_user(cls.other_user)

    @classmethod
    def _fill_warehouse(cls, rows):
        cls.addClassCleanup(cls._run, f"DROP TABLE IF EXISTS {TABLE}")
        columns = ", ".join(f"{name} {TYPES.get(name, 'STRING')}" for name in SPEND_COLUMNS)
        cls._run(f"CREATE TABLE {TABLE} ({columns})")
        parameters, lines = {}, []
        for row in rows:
            start = len(parameters)
            for name in SPEND_COLUMNS:
                value = sql.Typed(TYPES.get(name, "STRING"), row[name])
                parameters[f"v{len(parameters)}"] = value
            lines.append(", ".join(f":v{n}" for n in range(start, len(parameters))))
        cls._run(f"INSERT INTO {TABLE} VALUES ({'), ('.join(lines)})", parameters)

    def opened(self, action, user=None):
        self.assertEqual(action["res_model"], "lakehouse.drill.wizard")
        wizard = self.env[action["res_model"]].browse(action["res_id"])
        return wizard.with_user(user or wizard.create_uid)

    def keys(self, action):
        return sorted(row[-1] for row in self.opened(action).answer["rows"])

    def drilled(self, *domain):
        return self.keys(self.mine.action_drill(list(domain)))

    def statements(self):
        return self.own_cursor_rows(STATEMENTS, self.workspace.id)[0]["count"]

    # -- companies ------------------------------------------------------------------------------
    def test_each_user_sees_the_source_rows_of_the_own_company_only(self):
        everything = [
            [],
            [("company_id", "in", (self.sampaguita | self.mayon).ids)],
            ["|", (1, "=", 1), ("company_id", "!=", False)],
            ["!", (0, "=", 1)],
            [("vendor_name", "!=", "nobody")],
        ]
        for domain in everything:
            self.assertEqual(self.keys(self.mine.action_drill(domain)), ["s1", "s2", "s3", "s4"])
            self.assertEqual(self.keys(self.theirs.action_drill(domain)), ["m1", "m2"])
        self.assertEqual(self.drilled(("company_id", "=", self.mayon.id)), [])
        self.assertEqual(self.drilled(("remote_key", "in", ["m1", "s1", "x1"])), ["s1"])
        # the code column itself is no way round
        self.assertEqual(self.drilled(("company_code", "=ilike", "mayon")), [])

    def test_rows_of_another_company_cannot_be_drilled_by_id(self):
        foreign = self.Spend.search([("remote_key", "=", "m1")])
        with mute_logger("odoo.addons.base.models.ir_rule"), self.assertRaises(AccessError):
            foreign.with_user(self.user).action_drill()

    def test_the_context_gives_no_company(self):
        model = self.mine.with_context(allowed_company_ids=self.mayon.ids)
        with mute_logger("odoo.addons.base.models.ir_rule"), self.assertRaises(AccessError):
            model.action_drill([])
        self.user.company_ids = self.sampaguita | self.mayon
        self.assertEqual(self.keys(model.action_drill([])), ["m1", "m2"])
        both = self.mine.with_context(allowed_company_ids=(self.mayon | self.sampaguita).ids)
        self.assertEqual(len(self.keys(both.action_drill([]))), 6)

    def test_every_record_rule_holds_in_the_warehouse(self):
        self.env["ir.rule"].create(
            {
                "name": "No power",
                "model_id": self.view.model_id.id,
                "domain_force": "[('vendor_name', 'not ilike', 'power')]",
            }
        )
        self.assertEqual(self.drilled(), ["s1", "s3", "s4"])

    def test_outsiders_are_refused(self):
        for group in ("base.group_portal", "base.group_user", "base.group_public"):
            user = new_test_user(self.env, f"drill_{group}", groups=group)
            with (
                self.subTest(group=group),
                mute_logger("odoo.addons.base.models.ir_model"),
                self.assertRaises(AccessError),
            ):
                self.Spend.with_user(user).action_drill([])

    def test_another_reader_does_not_see_my_screen(self):
        action = self.mine.action_drill([])
        with mute_logger("odoo.addons.base.models.ir_rule"), self.assertRaises(AccessError):
            self.opened(action, self.other_user).read(["answer"])

    def test_workspace_of_another_company(self):
        self.workspace.company_id = self.mayon
        with self.assertRaises(AccessError):
            self.mine.action_drill([])
        self.assertEqual(self.keys(self.theirs.action_drill([])), ["m1", "m2"])

    # -- selections -----------------------------------------------------------------------------
    def test_from_rows_and_from_a_cell(self):
        rows = self.mine.search([("vendor_name", "=", "Bayan Power")])
        self.assertEqual(self.keys(rows.action_drill()), ["s2"])
        self.assertEqual(
            self.drilled(
                *("&", ("month", ">=", "2025-10-01"), ("month", "<", "2025-11-01")),
                ("currency_id", "=", self.php.id),
            ),
            ["s2", "s4"],
        )
        self.assertEqual(self.drilled(("amount_gross", "<", 1)), ["s3"])
        with self.assertRaisesRegex(UserError, "Choose the rows"):
            self.mine.action_drill()
        for nonsense in ("vendor_name", 5, ["|"], [5], {"vendor_name": "x"}):
            with self.assertRaisesRegex(UserError, "This selection cannot be asked"):
                self.mine.action_drill(nonsense)

    def test_only_the_months_that_the_report_holds(self):
        today = fields.Date.context_today(self.view.with_context(tz="Asia/Manila"))
        age = (today.year - 2025) * 12 + today.month - 10
        self.view.write({"window_column": "month", "window_months": age + 1})
        self.assertEqual(self.drilled(), ["s2", "s4"])
        self.view.window_months = age + 2
        self.assertEqual(self.drilled(), ["s1", "s2", "s3", "s4"])

    def test_conditions_on_records_become_conditions_on_codes(self):
        usd = self.env.ref("base.USD")
        usd.active = True
        for leaf, keys in (
            (("partner_id", "=", self.aliw.id), ["s1"]),
            (("partner_id", "ilike", "aliw"), ["s1"]),
            (("partner_id", "!=", self.aliw.id), ["s2", "s3", "s4"]),
            (("partner_id", "=", False), ["s2", "s3", "s4"]),
            (("partner_id", "!=", False), ["s1"]),
            (("partner_id", "in", []), []),
            (("currency_id", "=", usd.id), ["s3"]),
            (("currency_id", "not in", usd.ids), ["s1", "s2", "s4"]),
            (("currency_id.name", "=", "USD"), None),
            (("currency_id", "=", "USD"), ["s3"]),
            (("currency_id", "=", False), []),
            (("company_id", "ilike", "sampaguita"), ["s1", "s2", "s3", "s4"]),
            (("company_id", "!=", False), ["s1", "s2", "s3", "s4"]),
            (("company_id", "child_of", self.sampaguita.id), None),
            (("create_uid", "=", 1), None),
            (("vendor_name", "any", []), None),
        ):
            with self.subTest(leaf=leaf):
                if keys is None:
                    with self.assertRaisesRegex(UserError, "cannot be asked of the"):
                        self.drilled(leaf)
                    continue
                self.assertEqual(self.drilled(leaf), keys)
                local = self.mine.search([leaf], order="remote_key").mapped("remote_key")
                self.assertEqual(local, keys)
                others = [key for key in ("s1", "s2", "s3", "s4") if key not in keys]
                self.assertEqual(self.drilled("!", leaf), others)

    def test_cap(self):
        wizard = self.opened(self.mine.action_drill([], rows=2))
        # the order of the report: the latest month first, then the key
        self.assertEqual([row[-1] for row in wizard.answer["rows"]], ["s2", "s4"])
        self.assertIn("There are more", wizard.summary)
        columns = ", ".join(SPEND_COLUMNS[1:])
        self._run(
            f"INSERT INTO {TABLE} SELECT concat('z', n), {columns} FROM {TABLE} "
            "CROSS JOIN (SELECT explode(sequence(1, 210)) AS n) WHERE row_key = 's2'"
        )
        self.addCleanup(self._run, f"DELETE FROM {TABLE} WHERE row_key LIKE 'z%'")
        for asked in (DRILL_ROWS, 10**6):
            wizard = self.opened(self.mine.action_drill([("vendor_name", "!=", asked)], rows=asked))
            self.assertEqual(len(wizard.answer["rows"]), DRILL_ROWS)
            self.assertTrue(wizard.answer["truncated"])

    def test_answers_are_kept_for_a_minute_per_companies_view_and_domain(self):
        first = self.mine.action_drill([("bill_count", "=", 2)])
        asked = self.statements()
        again = self.mine.action_drill([("bill_count", "=", 2)])
        self.assertEqual(self.statements(), asked)
        self.assertEqual(self.keys(again), self.keys(first))
        self.assertEqual(self.opened(again).fetched_at, self.opened(first).fetched_at)
        colleague = self._user(
            "drill_colleague", "odoo_databricks.group_lakehouse_user", self.sampaguita
        )
        shared = self.Spend.with_user(colleague).action_drill([("bill_count", "=", 2)])
        self.assertEqual(self.statements(), asked)
        self.assertEqual(self.keys(shared), self.keys(first))
        self.assertEqual(
            self.keys(self.theirs.action_drill([("bill_count", "=", 2)])), ["m1", "m2"]
        )
        self.mine.action_drill([("bill_count", "=", 3)])
        self.assertEqual(self.statements(), asked + 2)
        for action in (first, again, shared):
            self.opened(action).sudo().fetched_at -= timedelta(seconds=60)
        self.mine.action_drill([("bill_count", "=", 2)])
        self.assertEqual(self.statements(), asked + 3)

    # -- the screen -----------------------------------------------------------------------------
    def test_values_are_shown_and_never_run(self):
        wizard = self.opened(self.mine.action_drill([]))
        self.assertNotIn("<script>", wizard.table)
        self.assertIn("&lt;script&gt;", wizard.table)
        self.assertRegex(wizard.table, "<th[^>]*>Vendor</th>")
        self.assertRegex(wizard.table, "<th[^>]*>Currency</th>")
        self.assertRegex(wizard.table, '<td class="text-end">1,120.00</td>')
        self.assertIn("4 rows", wizard.summary)
        action = wizard.action_export_csv()
        self.assertIn(f"lakehouse.drill.wizard/{wizard.id}/csv_file", action["url"])
        text = base64.b64decode(wizard.csv_file).decode("utf-8-sig")
        lines = text.splitlines()
        self.assertEqual(lines[0], ",".join(SHOWN))
        self.assertEqual(len(lines), 5)
        self.assertEqual(sum(",'=1+1," in line for line in lines), 1)

    def test_workspace_down(self):
        self.workspace.host = "http://127.0.0.1:9"
        with self.assertRaisesRegex(UserError, "The lakehouse does not answer now") as told:
            self.mine.action_drill([])
        for secret in ("127.0.0.1", "SELECT", TABLE, "statements"):
            self.assertNotIn(secret, str(told.exception))
        manager = self.Spend.with_user(self.manager)
        with self.assertRaisesRegex(UserError, "Check that the workspace runs"):
            manager.action_drill([])
        self.assertEqual(self.mine.search_count([]), 4)
        self.workspace.host = os.environ["DATABRICKS_TEST_HOST"]
        self.assertEqual(len(self.drilled()), 4)

    def test_a_table_that_is_gone_is_told_without_its_name(self):
        self.view.source_table = f"main.{SCHEMA}.gone"
        with self.assertRaisesRegex(UserError, "The report itself still works") as told:
            self.mine.action_drill([])
        self.assertNotIn("gone", str(told.exception))

    def test_a_statement_that_takes_too_long_is_ended_by_the_warehouse(self):
        slow = (
            f"(SELECT s.* FROM {TABLE} s CROSS JOIN (SELECT sum(a.id * b.id % 7) AS n "
            "FROM range(3000000) a CROSS JOIN range(100000) b) x WHERE x.n >= 0)"
        )
        self.workspace.read_timeout = 10
        # the local workspace keeps no SQL views: the slow table stands in the statement
        patcher = patch.object(lakehouse_live, "quote_table", lambda name: slow)
        patcher.start()
        self.addCleanup(patcher.stop)
        started = time.monotonic()
        with self.assertRaisesRegex(UserError, "did not end within 5 seconds"):
            self.Spend.with_user(self.manager).action_drill([])
        self.assertLess(time.monotonic() - started, 20)

    # -- preview --------------------------------------------------------------------------------
    def test_preview(self):
        with self.assertRaises(AccessError):
            self.view.with_user(self.user).preview()
        answer = self.view.with_user(self.manager).preview()
        self.assertEqual([column["name"] for column in answer["columns"]], SHOWN)
        rows = {row[-1]: dict(zip(SHOWN, row)) for row in answer["rows"]}  # noqa: B905
        self.assertEqual(sorted(rows), ["s1", "s2", "s3", "s4"])
        self.assertEqual(rows["s3"]["amount_gross"], "0.10")
        self.assertEqual(rows["s1"]["updated_at"], "2025-10-01 04:30:00")
        self.assertEqual(rows["s1"]["bill_count"], 2)
        self.assertIsNone(rows["s4"]["last_document_date"])
        self.assertEqual(len(self.view.with_user(self.manager).preview(rows=3)["rows"]), 3)
