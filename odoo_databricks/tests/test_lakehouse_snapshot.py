import uuid
from datetime import date, datetime
from decimal import Decimal

import psycopg2

from odoo.tests import TransactionCase, tagged
from odoo.tools import SQL, mute_logger

from ..models.lakehouse_snapshot_loader import SnapshotLoader
from ..models.lakehouse_vendor_spend_monthly import LakehouseVendorSpendMonthly
from .common import LakehouseCase, spend_batch, spend_row


@tagged("post_install", "-at_install")
class TestSnapshot(LakehouseCase):
    def test_load_counts_and_stable_ids(self):
        counts = self.load_spend(spend_row("a"), spend_row("b"), spend_row("c", "MAYON"))
        self.assertEqual(counts[:5], (3, 3, 0, counts.deleted, 0))
        self.assertEqual(counts.source_updated_at, datetime(2025, 10, 1, 4, 30))
        ids = {row.remote_key: row.id for row in self.Spend.search([])}
        self.assertEqual(set(ids), {"a", "b", "c"})

        changed = spend_row("b", amount_gross=Decimal("1130.01"))
        counts = self.load_spend(spend_row("a"), changed, spend_row("d"))
        self.assertEqual(counts[:5], (3, 1, 1, 1, 0))
        rows = {row.remote_key: row for row in self.Spend.search([])}
        self.assertEqual(set(rows), {"a", "b", "d"})
        self.assertEqual((rows["a"].id, rows["b"].id), (ids["a"], ids["b"]))
        self.assertAlmostEqual(rows["b"].amount_gross, 1130.01)

        counts = self.load_spend(spend_row("a"), changed, spend_row("d"))
        self.assertEqual(counts[:5], (3, 0, 0, 0, 0))

    def test_reloading_uses_up_no_ids(self):
        rows = [spend_row(f"k{number}") for number in range(50)]
        self.load_spend(*rows)
        sequence = "SELECT last_value FROM lakehouse_snap_vendor_spend_monthly_id_seq"
        self.env.cr.execute(sequence)
        before = self.env.cr.fetchone()
        self.load_spend(*[{**row, "bill_count": 9} for row in rows])
        self.env.cr.execute(sequence)
        self.assertEqual(self.env.cr.fetchone(), before)

    def test_values(self):
        text = 'Quote " comma , newline \n tab \t backslash \\N é'
        self.load_spend(
            spend_row("a", vendor_name=text, vendor_tin="", amount_net=None, bill_count=2**31 - 1)
        )
        row = self.Spend.search([])
        self.assertEqual(row.vendor_name, text)
        self.assertEqual(row.vendor_tin, "")
        self.assertEqual(row.amount_net, 0)
        self.assertEqual(row.bill_count, 2**31 - 1)
        self.assertEqual(row.month, date(2025, 9, 1))
        self.assertEqual(row.currency_id, self.php)
        self.assertEqual(row.company_id, self.sampaguita)

    def test_rejected_rows_are_counted_and_listed(self):
        self.load_spend(spend_row("gone"), spend_row("kept"))
        counts = self.load_spend(
            spend_row("kept"),
            spend_row("gone", "BANAHAW"),
            spend_row("n1", None),
            spend_row("x", currency="XXQ"),
            spend_row("kept"),
            spend_row(None),
            spend_row(""),
        )
        self.assertEqual(counts.rejected, 6)
        self.assertEqual(counts.deleted, 1, "a row whose company is not mapped any more goes")
        self.assertEqual(self.Spend.search([]).mapped("remote_key"), ["kept"])
        found = {(reason, code): (number, keys) for reason, code, number, keys in counts.rejects}
        self.assertEqual(found[("no_company", "BANAHAW")], (1, ["gone"]))
        self.assertEqual(found[("no_company", None)], (1, ["n1"]))
        self.assertEqual(found[("no_currency", "SAMPAGUITA")], (1, ["x"]))
        self.assertEqual(found[("duplicate_key", "SAMPAGUITA")], (1, ["kept"]))
        self.assertEqual(found[("no_key", "SAMPAGUITA")][0], 2)
        text = self.env["lakehouse.view"]._rejects_text(counts.rejects)
        self.assertIn("BANAHAW", text)
        self.assertEqual(len(text.splitlines()), len(counts.rejects))

    def test_company_code_is_unique_whatever_its_case(self):
        with self.assertRaisesRegex(Exception, "Sampaguita Test"):
            self.mayon.lakehouse_company_code = "sampaguita"

    def test_partner_by_tin(self):
        Partner = self.env["res.partner"].with_context(no_vat_validation=True)
        head, branch, foreign = Partner.create(
            [
                {"name": "Head office", "vat": "123-456-789-00000"},
                {"name": "Branch", "vat": "123456789-00002"},
                {"name": "Other", "vat": "987-654-321", "company_id": self.mayon.id},
            ]
        )
        self.load_spend(
            spend_row("head", vendor_tin="123-456-789"),
            spend_row("branch", vendor_tin="123-456-789-00002"),
            spend_row("new branch", vendor_tin="123-456-789-00007"),
            spend_row("not ours", vendor_tin="987-654-321"),
            spend_row("theirs", "MAYON", vendor_tin="987-654-321-00000"),
            spend_row("unknown", vendor_tin="111-222-333"),
            spend_row("none"),
        )
        partners = {row.remote_key: row.partner_id for row in self.Spend.search([])}
        nobody = self.env["res.partner"]
        self.assertEqual(
            partners,
            {
                "head": head,
                "branch": branch,
                "new branch": head,
                "not ours": nobody,
                "theirs": foreign,
                "unknown": nobody,
                "none": nobody,
            },
        )
        head.unlink()
        self.env.invalidate_all()
        row = self.Spend.search([("remote_key", "=", "head")])
        self.assertFalse(row.partner_id)
        # a group by partner must not meet an id that is gone
        groups = self.Spend._read_group([], ["partner_id"], ["__count"])
        self.assertEqual(sum(count for partner, count in groups), 7)

    def test_sums_over_currencies_stay_empty(self):
        self.load_spend(
            spend_row("a"), spend_row("b"), spend_row("usd", currency="USD", vendor_name="B")
        )
        by_vendor = dict(self.Spend._read_group([], ["vendor_name"], ["amount_gross:sum"]))
        self.assertEqual(by_vendor["Aliw Trading"], 2240)
        ((total, number),) = self.Spend._read_group([], [], ["amount_gross:sum", "bill_count:sum"])
        self.assertFalse(total)
        self.assertEqual(number, 6)

    def test_missing_column_changes_nothing(self):
        self.load_spend(spend_row("a"))
        batch = spend_batch(spend_row("b"))
        short = batch.drop_columns(["vendor_name"])
        with self.assertRaisesRegex(ValueError, "vendor_name"), self.env.cr.savepoint():
            self.Spend._snapshot_loader().load([batch, short])
        self.assertEqual(self.Spend.search([]).mapped("remote_key"), ["a"])

    def test_sql_cannot_write_through_the_view(self):
        self.load_spend(spend_row("a"))
        for statement in (
            "UPDATE lakehouse_vendor_spend_monthly SET vendor_name = 'x'",
            "DELETE FROM lakehouse_vendor_spend_monthly",
            "INSERT INTO lakehouse_vendor_spend_monthly (remote_key) VALUES ('x')",
        ):
            with (
                self.subTest(statement),
                mute_logger("odoo.sql_db"),
                self.assertRaises(psycopg2.errors.ReadOnlySqlTransaction),
                self.env.cr.savepoint(),
            ):
                self.env.cr.execute(statement)


@tagged("post_install", "-at_install")
class TestSnapshotReaders(TransactionCase):
    """On committed rows in a table of its own: other connections must see them.

    Apart from the other tests, whose transactions hold locks on res_company.
    """

    def test_older_reader_keeps_its_rows(self):
        table = f"lakehouse_snap_test_{uuid.uuid4().hex[:8]}"
        columns = [
            c for c in LakehouseVendorSpendMonthly._snapshot_columns if c.role != "partner_tin"
        ]
        code = f"T{uuid.uuid4().hex[:8]}"

        def batch(*keys, gross="1.00"):
            rows = [spend_row(key, code, amount_gross=Decimal(gross)) for key in keys]
            return spend_batch(*rows)

        def count(cr):
            cr.execute(SQL("SELECT count(*), max(amount_gross) FROM %s", SQL.identifier(table)))
            return cr.fetchone()

        with self.registry.cursor() as cr:
            cr.execute("SELECT min(id) FROM res_company")
            company = cr.fetchone()[0]
            cr.execute("SELECT lakehouse_company_code FROM res_company WHERE id = %s", (company,))
            before = cr.fetchone()[0]
        try:
            with self.registry.cursor() as cr:
                cr.execute(
                    "UPDATE res_company SET lakehouse_company_code = %s WHERE id = %s",
                    (code, company),
                )
                loader = SnapshotLoader(cr, table, columns)
                loader.create_table()
                loader.load([batch("a", "b", "c")])
            with self.registry.cursor() as reader:
                self.assertEqual(count(reader), (3, Decimal("1.00")))
                with self.registry.cursor() as cr:
                    counts = SnapshotLoader(cr, table, columns).load([batch("a", gross="5.00")])
                    self.assertEqual(counts[:5], (1, 0, 1, 2, 0))
                self.assertEqual(count(reader), (3, Decimal("1.00")))
            with self.registry.cursor() as reader:
                self.assertEqual(count(reader), (1, Decimal("5.00")))
        finally:
            with self.registry.cursor() as cr:
                cr.execute(SQL("DROP TABLE IF EXISTS %s", SQL.identifier(table)))
                cr.execute(
                    "UPDATE res_company SET lakehouse_company_code = %s WHERE id = %s",
                    (before, company),
                )
