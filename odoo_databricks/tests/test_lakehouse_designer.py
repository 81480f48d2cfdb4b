import re

from odoo.exceptions import UserError, ValidationError
from odoo.tests import Form, tagged
from odoo.tools import mute_logger

from ..lib.column_guess import is_ratio
from ..models.lakehouse_preview_html import html_table
from ..models.lakehouse_templates import templates
from .common import needs_workspace
from .designer_common import REMOTE, TABLE, DesignerCase


@tagged("post_install", "-at_install")
class TestDesigner(DesignerCase):
    def column(self, view, name):
        return view.column_ids.filtered(lambda column: column.name == name)

    def test_draft_is_not_refreshed(self):
        view = self.design(workspace_id=self.make_workspace().id)
        self.assertEqual(view.publication, "draft")
        self.assertEqual(view.technical_name, "delivery_facts")
        self.assertFalse(view.next_run)
        with self.assertRaisesRegex(UserError, "draft"):
            view.action_refresh()
        self.assertEqual(self.view.publication, "shipped")

    def test_key_and_company_are_required(self):
        for role in ("key", "company"):
            view = self.design(technical_name=f"no_{role}")
            view.column_ids.filtered(lambda column, role=role: column.role == role).role = "skip"
            with self.assertRaisesRegex(UserError, "Exactly one column"):
                view.action_publish()
        view = self.design(technical_name="no_currency")
        self.column(view, "currency").role = "value"
        with self.assertRaisesRegex(UserError, "amount_net: an amount needs"):
            view.action_publish()

    def test_columns_are_checked(self):
        view = self.design()
        for name, values, message in (
            ("damage_rate", {"aggregation": "sum"}, "is a ratio"),
            ("supplier_name", {"aggregation": "sum"}, "no such total"),
            ("supplier_name", {"ttype": "date"}, "shown as Text, Long text"),
            ("route", {"role": "value"}, "shown as nothing"),
            ("day", {"role": "updated"}, "only a timestamp"),
            ("day", {"name": "company_id"}, "cannot be loaded"),
            ("day", {"name": 'd"; DROP TABLE x'}, "cannot be loaded"),
        ):
            with (
                self.subTest(name=name, values=values),
                self.assertRaisesRegex(ValidationError, message),
                self.cr.savepoint(),
            ):
                self.column(view, name).write(values)
        self.column(view, "damage_rate").aggregation = "avg"

    def test_watermark(self):
        with self.assertRaisesRegex(ValidationError, "time of change"), self.cr.savepoint():
            self.design(refresh_mode="watermark", watermark_column="day")
        view = self.design(refresh_mode="watermark", watermark_column="updated_at")
        self.assertEqual(view.overlap_minutes, 60)
        with self.assertRaises(ValidationError), self.cr.savepoint():
            self.column(view, "updated_at").role = "value"
            view.action_publish()
        with self.assertRaises(ValidationError), self.cr.savepoint():
            view.row_cap = 0

    def test_readers_are_internal_users(self):
        for name in ("base.group_portal", "base.group_public"):
            with self.assertRaisesRegex(ValidationError, "internal users"), self.cr.savepoint():
                self.design(group_ids=[(4, self.env.ref(name).id)])
        with self.assertRaisesRegex(UserError, "groups that may read"):
            self.design(group_ids=[(5, 0, 0)]).action_publish()

    def test_two_views_of_one_name(self):
        self.publish()
        second = self.design()
        with self.assertRaisesRegex(UserError, "another technical name"):
            second.action_publish()
        second.technical_name = "deliveries_again"
        second.action_publish()
        self.assertEqual(second.model_name, "x_lakehouse_deliveries_again")
        with self.assertRaises(ValidationError), self.cr.savepoint():
            self.design(technical_name="9; drop")

    def test_shipped_views_stay(self):
        with self.assertRaisesRegex(UserError, "part of the app"):
            self.view.with_user(self.manager).unlink()
        with self.assertRaises(UserError):
            self.view.with_user(self.manager).action_unpublish()

    def test_ready_definitions(self):
        known = templates()
        self.assertLessEqual(
            {"vendor_spend_monthly", "expense_facts", "ewt_summary", "bir_deadline_control"}
            | {"ap_ageing", "scout_daily_sales"},
            set(known),
        )
        Column = self.env["lakehouse.view.column"]
        choices = {
            name: set(dict(Column._fields[name].selection)) for name in ("role", "aggregation")
        }
        for table, definition in known.items():
            self.assertTrue(definition["name"])
            for name, values in definition["columns"].items():
                with self.subTest(table=table, column=name):
                    self.assertLessEqual(set(values), set(Column._fields))
                    self.assertTrue(values["label"])
                    self.assertIn(values.get("role", "value"), choices["role"])
                    self.assertIn(values.get("aggregation", "none"), choices["aggregation"])
                    self.assertFalse(is_ratio(name) and values.get("aggregation") == "sum")

    def test_preview_shows_markup_as_text(self):
        html = html_table(["<b>"], [["<script>alert(1)</script>", None, 0]])
        self.assertNotIn("<script", html)
        self.assertIn("&lt;script&gt;", html)
        self.assertIn("<td></td><td>0</td>", html)


@tagged("post_install", "-at_install")
@needs_workspace
class TestNewView(DesignerCase):
    def setUp(self):
        super().setUp()
        self.workspace = self.make_workspace()
        self.forget_calls(self.workspace)
        others = self.env["databricks.workspace"].search([]) - self.workspace
        others.active = False
        self.Wizard = self.env["lakehouse.view.wizard"].with_user(self.manager)

    def choose(self, text):
        """The form as a person fills it: open, type a part of the name, choose."""
        form = Form(self.Wizard)
        self.assertEqual(form.workspace_id, self.workspace)
        Table = self.env["lakehouse.catalog.table"].with_user(self.manager)
        found = Table.name_search(text, [("workspace_id", "=", self.workspace.id)])
        self.assertEqual(len(found), 1, found)
        form.table_id = Table.browse(found[0][0])
        return form

    def test_three_clicks(self):
        form = self.choose("expense_fa")
        self.assertEqual(form.name, "Expense facts")
        self.assertIn("amount_gross", form.columns_html)
        form.save().action_publish()
        view = self.env["lakehouse.view"].search([("source_table", "=", "main.gold.expense_facts")])
        self.assertEqual(view.publication, "published")
        self.assertTrue(view.next_run)
        answer = view.with_user(self.manager).action_refresh()["params"]
        self.assertEqual(answer["type"], "success", answer["message"])
        model = self.env[view.model_name].with_user(self.user)
        rows = model.search([])
        self.assertTrue(rows)
        self.assertEqual(rows.company_id, self.sampaguita)
        groups = model._read_group([], ["x_month:month"], ["x_amount_gross:sum", "__count"])
        self.assertEqual(sum(count for __, __, count in groups), len(rows))
        total = sum(amount for __, amount, __ in groups)
        self.assertAlmostEqual(total, sum(rows.mapped("x_amount_gross")), 2)
        self.assertIn("data as of", view.with_user(self.user).action_open_report()["display_name"])
        self.assertEqual(rows[0].data_as_of, view.data_as_of)
        self.assertEqual(model._fields["x_expense_category"].string, "Category")
        before = rows.ids
        view.action_refresh()
        self.assertEqual(model.search([]).ids, before)
        view.with_user(self.manager).action_unpublish()
        self.assertEqual(self.leftovers(view, "x_lakehouse_expense_facts"), {})

    def test_design_first(self):
        form = self.choose("ewt_summ")
        wizard = form.save()
        wizard.action_preview()
        self.assertIn("WC100", wizard.preview_html)
        self.assertIn("SAMPAGUITA", wizard.preview_html)
        self.assertNotIn("MAYON", wizard.preview_html, "rows of another company")
        opened = wizard.action_design()
        view = self.env["lakehouse.view"].with_user(self.manager).browse(opened["res_id"])
        self.assertEqual(view.publication, "draft")
        rate = view.column_ids.filtered(lambda column: column.name == "rate")
        self.assertEqual((rate.label, rate.aggregation), ("Rate (%)", "none"))
        rate.label = "Percent"
        view.column_ids.filtered(lambda column: column.name == "form").unlink()
        view.action_load_columns()
        self.assertEqual(rate.label, "Percent", "what a person wrote stays")
        self.assertIn("form", view.column_ids.mapped("name"))
        view.action_publish()
        model = self.env[view.model_name].with_user(self.user)
        view.action_refresh()
        groups = model._read_group([], ["x_atc"], ["x_tax_withheld:sum"])
        self.assertTrue(groups)
        self.assertNotIn("x_rules_fingerprint", model._fields)
        dialog = (
            self.env["lakehouse.view.preview"]
            .with_user(self.manager)
            .browse(view.action_preview()["res_id"])
        )
        shown = len(re.findall("<tr>", dialog.preview_html)) - 1
        self.assertTrue(1 <= shown <= 100)
        self.assertNotIn("MAYON", dialog.preview_html)
        view.action_unpublish()
        view.column_ids.filtered(lambda column: column.role == "company").role = "skip"
        self.assertEqual(view._company_column(), [])
        self.assertNotIn("WC100", view._preview_html(view.workspace_id, view.source_table))

    def test_workspace_down(self):
        self.workspace.write(
            {"host": "http://127.0.0.1:9", "connect_timeout": 1, "total_timeout": 1}
        )
        with mute_logger("odoo.tests.form.onchange"):
            form = Form(self.Wizard)
        self.assertFalse(form.table_id)
        view = self.design(workspace_id=self.workspace.id)
        with self.assertRaises(UserError):
            view.action_load_columns()
        html = view._preview_html(self.workspace, TABLE, "company_code")
        self.assertIn("No preview", html)

    def test_unknown_table(self):
        view = self.design(workspace_id=self.workspace.id, source_table="main.gold.not_there")
        with self.assertRaises(UserError):
            view.action_load_columns()
        self.assertEqual(len(view.column_ids), len(REMOTE))
