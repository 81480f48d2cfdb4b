import json

from odoo.exceptions import AccessError, UserError
from odoo.tests import new_test_user, tagged
from odoo.tools import mute_logger

from .common import LakehouseCase, spend_row


@tagged("post_install", "-at_install")
class TestAccess(LakehouseCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.load_spend(
            spend_row("s1"), spend_row("s2", vendor_name="Bayan Power"), spend_row("m1", "MAYON")
        )
        cls.mine = cls.Spend.with_user(cls.user)
        cls.theirs = cls.Spend.with_user(cls.other_user)

    def test_each_company_sees_its_rows_only(self):
        for model, keys in ((self.mine, ["s1", "s2"]), (self.theirs, ["m1"])):
            rows = model.search([], order="remote_key")
            self.assertEqual(rows.mapped("remote_key"), keys)
            self.assertEqual(model.search_count([]), len(keys))
            groups = model._read_group([], ["company_id"], ["__count", "amount_gross:sum"])
            self.assertEqual(groups, [(rows.company_id, len(keys), 1120 * len(keys))])
            self.assertEqual(model._read_group([], [], ["__count"]), [(len(keys),)])
            model.env.user.groups_id |= self.env.ref("base.group_allow_export")
            exported = model.search([]).export_data(["remote_key"])["datas"]
            self.assertEqual(sorted(key for (key,) in exported), keys)
            self.assertEqual(len(model.search_read([], ["vendor_name"])), len(keys))
            self.assertEqual(len(model.name_search("")), len(keys))
            web = model.web_search_read([], {"remote_key": {}})
            self.assertEqual(web["length"], len(keys))

    def test_rows_of_another_company_cannot_be_read_by_id(self):
        foreign = self.Spend.search([("remote_key", "=", "m1")])
        with mute_logger("odoo.addons.base.models.ir_rule"), self.assertRaises(AccessError):
            foreign.with_user(self.user).read(["vendor_name"])
        self.assertFalse(self.mine.search([("id", "in", foreign.ids)]))

    def test_company_switcher(self):
        both = self.user.copy({"login": "lakehouse_both", "name": "Both"})
        both.company_ids = self.sampaguita | self.mayon
        model = self.Spend.with_user(both)
        self.assertEqual(model.with_context(allowed_company_ids=self.mayon.ids).search_count([]), 1)
        ids = (self.mayon | self.sampaguita).ids
        self.assertEqual(model.with_context(allowed_company_ids=ids).search_count([]), 3)

    def test_nobody_writes(self):
        row = self.Spend.search([], limit=1)
        for env in (self.env, self.env(user=self.manager), self.env(su=True)):
            record = row.with_env(env)
            for call in (
                lambda record=record: record.write({"vendor_name": "x"}),
                lambda record=record: record.create({"remote_key": "x"}),
                lambda record=record: record.unlink(),
                lambda record=record: record.copy(),
            ):
                with self.assertRaises(UserError):
                    call()
        result = self.Spend.with_user(self.manager).load(["vendor_name"], [["x"]])
        self.assertFalse(result["ids"])
        self.assertEqual(self.Spend.search_count([]), 3)

    def test_outsiders_see_nothing(self):
        employee = new_test_user(self.env, "lakehouse_employee", groups="base.group_user")
        portal = new_test_user(self.env, "lakehouse_portal", groups="base.group_portal")
        public = self.env.ref("base.public_user")
        for user in (employee, portal, public):
            for name in (
                "lakehouse.vendor.spend.monthly",
                "lakehouse.view",
                "lakehouse.sync.run",
                "databricks.workspace",
                "databricks.pipeline",
                "databricks.pipeline.run",
                "databricks.call.log",
            ):
                with (
                    self.subTest(user=user.login, model=name),
                    mute_logger("odoo.addons.base.models.ir_model"),
                    self.assertRaises(AccessError),
                ):
                    self.env[name].with_user(user).search_read([], ["id"])

    def test_user_without_manager_group_sees_no_host_sql_or_log(self):
        for name in ("databricks.workspace", "databricks.call.log", "lakehouse.sync.run"):
            with (
                mute_logger("odoo.addons.base.models.ir_model"),
                self.assertRaises(AccessError),
            ):
                self.env[name].with_user(self.user).search([])
        view = self.view.with_user(self.user)
        self.assertTrue(view.name)
        with self.assertRaises(AccessError):
            view.read(["source_table"])
        with self.assertRaises(AccessError):
            view.action_refresh()

    def test_configuration_of_another_company_is_hidden(self):
        theirs = self.make_workspace(name="Mayon workspace", company_id=self.mayon.id)
        shared = self.make_workspace(name="Shared workspace")
        pipeline = self.env["databricks.pipeline"].create(
            {"name": "Mayon job", "workspace_id": theirs.id, "job_name": "x"}
        )
        self.assertEqual(pipeline.company_id, self.mayon)
        seen = self.env["databricks.workspace"].with_user(self.manager).search([])
        self.assertIn(shared, seen)
        self.assertNotIn(theirs, seen)
        self.assertNotIn(
            pipeline, self.env["databricks.pipeline"].with_user(self.manager).search([])
        )

    def test_title_tells_the_age_of_the_data(self):
        xmlid = "odoo_databricks.lakehouse_vendor_spend_monthly_action"
        self.view.write({"data_as_of": "2025-10-02 01:00:00", "state": "ok"})
        self.user.tz = "Asia/Manila"
        env = self.env(user=self.user, context={"tz": "Asia/Manila", "lang": "en_US"})
        action = env["lakehouse.vendor.spend.monthly"].action_open_report(xmlid)
        self.assertIn("data as of 2 Oct 2025 09:00", action["display_name"])
        self.assertNotIn("failed", action["display_name"])
        self.view.state = "failed"
        stored = env.ref(xmlid).sudo().with_context(tz="Asia/Manila", lang="en_US")
        stored.invalidate_recordset()
        self.assertIn("last refresh failed", stored.read()[0]["display_name"])
        server = self.env.ref("odoo_databricks.lakehouse_vendor_spend_monthly_open")
        opened = server.with_env(env).run()
        self.assertEqual(opened["res_model"], "lakehouse.vendor.spend.monthly")
        self.assertIn("last refresh failed", opened["display_name"])
        self.assertIn("search_default_group_month", json.dumps(opened["context"]))
        other = self.env.ref("base.action_partner_form")
        self.assertEqual(other.display_name, other.name)
        row = self.mine.search([], limit=1)
        self.assertEqual(row.data_as_of, self.view.data_as_of)
