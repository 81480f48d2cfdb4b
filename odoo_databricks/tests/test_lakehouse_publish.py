from decimal import Decimal

import psycopg2

from odoo.exceptions import AccessError, UserError
from odoo.tests import Form, new_test_user, tagged
from odoo.tools import mute_logger
from odoo.tools.sql import table_kind

from ..hooks import uninstall_hook
from .designer_common import REMOTE, DesignerCase, delivery


@tagged("post_install", "-at_install")
class TestPublish(DesignerCase):
    def test_publish_read_unpublish(self):
        view = self.publish()
        self.assertEqual(view.publication, "published")
        self.assertEqual(view.model_name, "x_lakehouse_delivery_facts")
        counts = self.load(view, delivery("a"), delivery("b", amount_net=None), delivery("c", "X"))
        self.assertEqual((counts.inserted, counts.rejected), (2, 1))
        model = self.env[view.model_name].with_user(self.user)
        row = model.search([("remote_key", "=", "a")])
        self.assertEqual(row.x_amount_net, 1000.50)
        self.assertEqual(row.x_currency_id, self.php)
        self.assertEqual(row.company_id, self.sampaguita)
        self.assertEqual(row.x_parcel_count, 3)
        self.assertTrue(row.x_on_time)
        self.assertEqual(row.display_name, "Aliw Trading")
        self.assertNotIn("x_route", model._fields)
        self.assertNotIn("create_uid", model._fields)
        self.assertIn("x_amount_net", model.fields_get())

        view.action_unpublish()
        self.assertEqual(view.publication, "draft")
        self.assertNotIn("x_lakehouse_delivery_facts", self.env)
        self.assertEqual(self.leftovers(view), {})
        view.action_publish()
        self.assertEqual(self.env[view.model_name].search_count([]), 0)
        self.load(view, delivery("a"))
        self.assertEqual(self.env[view.model_name].search_count([]), 1)
        view.unlink()
        self.assertEqual(self.leftovers(f"lakehouse_snap_{view.id}"), {})

    def test_totals(self):
        view = self.publish()
        self.load(
            view,
            delivery("a"),
            delivery("b", amount_net=Decimal("0.25")),
            delivery("d", currency="USD"),
        )
        model = self.env[view.model_name].with_user(self.user)
        fields = model.fields_get()
        self.assertEqual(fields["x_amount_net"]["group_operator"], "sum")
        self.assertEqual(fields["x_parcel_count"]["group_operator"], "sum")
        self.assertFalse(fields["x_damage_rate"].get("group_operator"))
        by_currency = dict(model._read_group([], ["x_currency_id"], ["x_amount_net:sum"]))
        self.assertEqual(by_currency[self.php], 1000.75)
        total = model._read_group([], [], ["x_amount_net:sum", "x_parcel_count:sum"])
        self.assertEqual(total, [(False, 9)], "pesos and dollars do not add up")
        months = model._read_group([], ["x_day:month"], ["__count"])
        self.assertEqual([count for __, count in months], [3])

    def test_views_open_and_are_read_only(self):
        view = self.publish()
        self.load(view, delivery("a"))
        model = self.env[view.model_name].with_user(self.user)
        action = view.with_user(self.user).action_open_report()
        kinds = [kind for __, kind in action["views"]]
        self.assertEqual(action["res_model"], view.model_name)
        self.assertIn("not refreshed yet", action["display_name"])
        got = model.get_views([(False, kind) for kind in [*kinds, "search"]])
        for kind in kinds:
            arch = got["views"][kind]["arch"]
            self.assertIn("x_day" if kind in ("pivot", "graph") else "x_supplier_name", arch)
            if kind not in ("pivot", "graph"):
                self.assertIn('create="0"', arch)
        form = Form(model.search([], limit=1))
        self.assertEqual(form.x_supplier_name, "Aliw Trading")
        self.assertTrue(form._get_modifier("x_supplier_name", "readonly"))
        menu = view.sudo().menu_id
        self.assertIn(menu.id, self.env["ir.ui.menu"].with_user(self.user)._visible_menu_ids())
        web = model.web_search_read([], {"x_supplier_name": {}, "company_id": {}})
        self.assertEqual(web["length"], 1)

    def test_nobody_writes(self):
        view = self.publish()
        self.load(view, delivery("a"))
        row = self.env[view.model_name].search([])
        for env in (self.env, self.env(user=self.manager), self.env(user=self.user)):
            record = row.with_env(env)
            for call in (
                lambda record=record: record.write({"x_supplier_name": "x"}),
                lambda record=record: record.create({"x_supplier_name": "x"}),
                lambda record=record: record.unlink(),
                lambda record=record: record.copy(),
            ):
                with self.assertRaisesRegex(UserError, "rows of the lakehouse"):
                    call()
        with (
            self.assertRaises(psycopg2.errors.ReadOnlySqlTransaction),
            mute_logger("odoo.sql_db"),
            self.cr.savepoint(),
        ):
            self.cr.execute("DELETE FROM x_lakehouse_delivery_facts")
        result = self.env[view.model_name].load(["x_supplier_name"], [["x"]])
        self.assertFalse(result["ids"])

    def test_each_company_sees_its_rows_only(self):
        view = self.publish()
        self.load(view, delivery("s1"), delivery("s2"), delivery("m1", "MAYON"))
        name = view.model_name
        foreign = self.env[name].search([("remote_key", "=", "m1")])
        export = self.env.ref("base.group_allow_export")
        for user, keys in ((self.user, ["s1", "s2"]), (self.other_user, ["m1"])):
            model = self.env[name].with_user(user)
            user.groups_id |= export
            self.assertEqual(model.search([], order="remote_key").mapped("remote_key"), keys)
            self.assertEqual(len(model.search_read([], ["remote_key"])), len(keys))
            self.assertEqual(model.search_count([]), len(keys))
            self.assertEqual(model._read_group([], [], ["__count"]), [(len(keys),)])
            groups = model._read_group([], ["company_id"], ["__count"])
            self.assertEqual(groups, [(user.company_id, len(keys))])
            exported = model.search([]).export_data(["remote_key"])["datas"]
            self.assertEqual(sorted(key for (key,) in exported), keys)
            self.assertEqual(len(model.name_search("Aliw")), len(keys))
        with mute_logger("odoo.addons.base.models.ir_rule"), self.assertRaises(AccessError):
            foreign.with_user(self.user).read(["remote_key"])
        with mute_logger("odoo.addons.base.models.ir_rule"), self.assertRaises(AccessError):
            foreign.with_user(self.user).export_data(["remote_key"])

    def test_outsiders_see_nothing(self):
        view = self.publish()
        self.load(view, delivery("a"))
        for group in ("base.group_user", "base.group_portal", "base.group_public"):
            user = new_test_user(self.env, f"out_{group[11:]}", groups=group)
            for method in ("search_read", "search_count", "name_search"):
                with (
                    mute_logger("odoo.addons.base.models.ir_model"),
                    self.assertRaises(AccessError),
                ):
                    call = getattr(self.env[view.model_name].with_user(user), method)
                    call("") if method == "name_search" else call([])

    def test_groups_and_name_follow_the_view(self):
        view = self.publish()
        invoicing = self.env.ref("account.group_account_invoice")
        view.write({"group_ids": [(6, 0, invoicing.ids)], "name": "Parcels"})
        published = view.sudo()
        self.assertEqual(published.menu_id.groups_id, invoicing)
        self.assertEqual(published.menu_id.name, "Parcels")
        self.assertEqual(published.model_id.access_ids.group_id, invoicing)
        with mute_logger("odoo.addons.base.models.ir_model"), self.assertRaises(AccessError):
            self.env[view.model_name].with_user(self.user).search([])
        accountant = new_test_user(
            self.env,
            "lakehouse_accountant",
            groups="account.group_account_invoice",
            company_id=self.mayon.id,
            company_ids=[(6, 0, self.mayon.ids)],
        )
        self.load(view, delivery("a"), delivery("b", "MAYON"))
        rows = self.env[view.model_name].with_user(accountant).search([])
        self.assertEqual(rows.mapped("remote_key"), ["b"])

    def test_design_is_frozen_while_published(self):
        view = self.publish()
        column = view.column_ids[4]
        for change in (
            lambda: column.write({"role": "skip"}),
            lambda: column.unlink(),
            lambda: view.write(
                {"column_ids": [(0, 0, {"name": "n", "remote_type": "int", "label": "N"})]}
            ),
            lambda: view.write({"source_table": "main.gold.other"}),
            lambda: view.write({"technical_name": "other"}),
            lambda: view.action_publish(),
        ):
            with self.assertRaises(UserError), self.cr.savepoint():
                change()
        # nor does a field go alone, whether the views show it or not
        field = self.env["ir.model.fields"]._get(view.model_name, "x_supplier_name")
        with self.assertRaises(UserError), self.cr.savepoint():
            field.unlink()
        self.env["ir.ui.view"].search([("model", "=", view.model_name)]).unlink()
        with self.assertRaisesRegex(UserError, "Unpublish"), self.cr.savepoint():
            field.unlink()
        view.write({"source_table": view.source_table, "row_cap": 10})

    def test_only_managers_design(self):
        for user in (
            self.user,
            new_test_user(self.env, "lakehouse_nobody", groups="base.group_user"),
        ):
            view = self.design().with_user(user)
            with self.assertRaises(AccessError):
                view.action_publish()
            with mute_logger("odoo.addons.base.models.ir_model"), self.assertRaises(AccessError):
                self.env["lakehouse.view.column"].with_user(user).search([])
            with mute_logger("odoo.addons.base.models.ir_model"), self.assertRaises(AccessError):
                self.env["lakehouse.view.wizard"].with_user(user).create({})
            with self.assertRaises(AccessError):
                self.env["lakehouse.view"].with_user(user)._preview_html(
                    self.env["databricks.workspace"], "main.gold.x"
                )
            view.sudo().technical_name = f"{user.login}_x"
        view = self.publish()
        with self.assertRaises(AccessError):
            view.with_user(self.user).action_unpublish()

    def test_reload_and_upgrade_keep_the_model(self):
        view = self.publish()
        self.load(view, delivery("a"))
        name = view.model_name
        self.env.flush_all()
        # what -u does with a model whose parent belongs to the upgraded addon
        self.setup_models()
        self.registry.init_models(self.env.cr, [name], {"module": "odoo_databricks"})
        self.setup_models()
        row = self.env[name].with_user(self.user).search([])
        self.assertEqual(row.remote_key, "a")
        self.assertTrue(row.x_supplier_name)
        with self.assertRaises(UserError):
            row.unlink()
        view.action_unpublish()
        self.assertEqual(self.leftovers(view), {})

    def test_favourites_go_with_the_model(self):
        view = self.publish()
        self.env["ir.filters"].create({"name": "Mine", "model_id": view.model_name})
        self.assertEqual(self.leftovers(view)["ir_filters"], 1)
        view.action_unpublish()
        self.assertEqual(self.leftovers(view), {})

    def test_uninstalling_leaves_nothing(self):
        view = self.publish()
        archived = self.publish(technical_name="old_deliveries", active=False)
        self.load(view, delivery("a"))
        shipped = self.Spend._snapshot_table
        table = archived._designed_table()
        uninstall_hook(self.env)
        self.assertEqual(self.leftovers(view), {})
        self.assertEqual(self.leftovers(table, "x_lakehouse_old_deliveries"), {})
        self.assertIsNone(table_kind(self.cr, shipped))

    def test_table_without_currency_or_contact(self):
        remote = [item for item in REMOTE if item[0] not in ("currency", "supplier_tin", "day")]
        view = self.publish(remote=remote)
        names = self.env[view.model_name]._fields
        self.assertNotIn("x_currency_id", names)
        self.assertNotIn("x_partner_id", names)
        self.assertEqual(names["x_amount_net"].type, "float")
        self.env[view.model_name].get_views(
            [(False, kind) for kind in ("pivot", "graph", "form", "search")]
        )
