from odoo.tests import tagged

from ..lib import sql
from .common import needs_workspace
from .designer_common import REMOTE, DesignerCase, delivery
from .drill_common import SCHEMA, WarehouseCase


@tagged("post_install", "-at_install")
@needs_workspace
class TestPublishedDrill(WarehouseCase, DesignerCase):
    def test_a_published_view_has_its_source_rows(self):
        table = f"main.{SCHEMA}.deliveries"
        columns = ", ".join(f"{name} {kind}" for name, kind in REMOTE)
        self._run(f"CREATE TABLE {table} ({columns})")
        self.addCleanup(self._run, f"DROP TABLE {table}")
        rows = [delivery("s1", supplier_tin="111-222-333"), delivery("s2"), delivery("m1", "MAYON")]
        for row in rows:
            names = [name for name, __ in REMOTE]
            parameters = {
                name: sql.Typed(kind.upper(), row[name]) for name, kind in REMOTE if name != "route"
            }
            values = ", ".join("NULL" if name == "route" else f":{name}" for name in names)
            self._run(f"INSERT INTO {table} VALUES ({values})", parameters)
        partner = self.env["res.partner"].create({"name": "Aliw", "vat": "111-222-333"})
        view = self.publish(source_table=table, workspace_id=self.workspace.id)
        self.load(view, *rows)
        model = self.env[view.model_name].with_user(self.user)
        for domain, keys in (
            ([], ["s1", "s2"]),
            ([("x_partner_id", "=", partner.id)], ["s1"]),
            ([("x_partner_id", "=", False), ("x_currency_id", "=", self.php.id)], ["s2"]),
            ([("x_amount_net", ">", 1000.5)], []),
            ([("x_damage_rate", "=", 0.25), ("x_on_time", "=", True)], ["s1", "s2"]),
        ):
            action = model.action_drill(domain)
            wizard = self.env[action["res_model"]].browse(action["res_id"])
            self.assertEqual([row[-1] for row in wizard.answer["rows"]], keys, domain)
        self.assertIn("Supplier name", wizard.table)
        row = model.search([("remote_key", "=", "s2")])
        self.assertTrue(row.action_drill())
        arch = model.get_view(view_type="tree")["arch"]
        self.assertEqual(arch.count('name="action_drill"'), 2)
