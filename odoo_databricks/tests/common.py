import os
import unittest
from datetime import date, datetime
from decimal import Decimal
from unittest.mock import patch

from odoo.tests import TransactionCase, new_test_user

from ..lib.secret_store import KEY_VARIABLE, generate_key
from ..models.lakehouse_vendor_spend_monthly import LakehouseVendorSpendMonthly

HOST, TOKEN = "DATABRICKS_TEST_HOST", "DATABRICKS_TEST_TOKEN"
USER = "odoo_databricks.group_lakehouse_user"
MANAGER = "odoo_databricks.group_lakehouse_manager"
SPEND_COLUMNS = [column.name for column in LakehouseVendorSpendMonthly._snapshot_columns]

needs_workspace = unittest.skipUnless(
    os.environ.get(HOST) and os.environ.get(TOKEN), f"{HOST} and {TOKEN} name no workspace"
)


def spend_row(key, company="SAMPAGUITA", **values):
    """One row of main.gold.vendor_spend_monthly."""
    row = {
        "row_key": key,
        "company_code": company,
        "currency": "PHP",
        "month": date(2025, 9, 1),
        "vendor_key": "aliw trading",
        "vendor_name": "Aliw Trading",
        "vendor_tin": None,
        "bill_count": 2,
        "line_count": 3,
        "amount_net": Decimal("1000.00"),
        "amount_vat": Decimal("120.00"),
        "amount_gross": Decimal("1120.00"),
        "ewt_amount": Decimal("20.00"),
        "last_document_date": date(2025, 9, 28),
        "updated_at": datetime(2025, 10, 1, 4, 30),
    }
    return {**row, **values}


def spend_batch(*rows):
    """The rows as the warehouse sends them: one pyarrow.RecordBatch."""
    import pyarrow as pa

    money = pa.decimal128(18, 2)
    types = {
        "month": pa.date32(),
        "last_document_date": pa.date32(),
        "updated_at": pa.timestamp("us", tz="UTC"),
        "bill_count": pa.int64(),
        "line_count": pa.int64(),
        **dict.fromkeys(("amount_net", "amount_vat", "amount_gross", "ewt_amount"), money),
    }
    schema = pa.schema([(name, types.get(name, pa.string())) for name in SPEND_COLUMNS])
    return pa.RecordBatch.from_pylist(list(rows), schema=schema)


class LakehouseCase(TransactionCase):
    """Two companies with lakehouse codes, a user of each, a manager, and an encryption key."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        key = patch.dict(os.environ, {KEY_VARIABLE: generate_key()})
        key.start()
        cls.addClassCleanup(key.stop)
        Company = cls.env["res.company"]
        # the codes may be taken by the companies of a demo database
        Company.search([("lakehouse_company_code", "!=", False)]).lakehouse_company_code = False
        cls.php = cls.env.ref("base.PHP")
        cls.sampaguita, cls.mayon = Company.create(
            [
                {"name": "Sampaguita Test", "lakehouse_company_code": "SAMPAGUITA"},
                {"name": "Mayon Test", "lakehouse_company_code": "MAYON"},
            ]
        )
        cls.user = cls._user("lakehouse_user", USER, cls.sampaguita)
        cls.other_user = cls._user("lakehouse_other", USER, cls.mayon)
        cls.manager = cls._user("lakehouse_manager", MANAGER, cls.sampaguita)
        cls.Spend = cls.env["lakehouse.vendor.spend.monthly"]
        cls.view = cls.env.ref("odoo_databricks.lakehouse_view_vendor_spend_monthly")

    @classmethod
    def _user(cls, login, groups, company):
        return new_test_user(
            cls.env, login, groups=groups, company_id=company.id, company_ids=[(6, 0, company.ids)]
        )

    @classmethod
    def load_spend(cls, *rows):
        """Put the rows into the snapshot as a refresh does, without a workspace."""
        cls.env.flush_all()
        counts = cls.Spend._snapshot_loader().load([spend_batch(*rows)])
        cls.Spend.invalidate_model()
        return counts

    @classmethod
    def make_workspace(cls, **values):
        return cls.env["databricks.workspace"].create(
            {
                "name": "Test workspace",
                "host": os.environ.get(HOST, "http://127.0.0.1:9"),
                "token": os.environ.get(TOKEN, "dapi0123456789abcdef"),
                "warehouse_id": "local",
                **values,
            }
        )

    def own_cursor_rows(self, query, *args):
        """What another connection sees: call log rows are not in this transaction's snapshot."""
        with self.registry.cursor() as cr:
            cr.execute(query, args)
            return cr.dictfetchall()

    def forget_calls(self, workspace):
        """Call log rows outlive the test's rollback, which is their purpose; take them away."""
        self.addCleanup(self._delete_calls, workspace.id)

    def _delete_calls(self, workspace_id):
        with self.registry.cursor() as cr:
            for table in ("databricks_call_log", "databricks_circuit"):
                cr.execute(f"DELETE FROM {table} WHERE workspace_ref = %s", (workspace_id,))
