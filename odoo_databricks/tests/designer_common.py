from datetime import date, datetime
from decimal import Decimal

from odoo.tools.sql import table_kind

from .common import LakehouseCase

TABLE = "main.gold.delivery_facts"
# (column, Spark SQL type) as the catalog tells them
REMOTE = [
    ("row_key", "string"),
    ("company_code", "string"),
    ("currency", "string"),
    ("day", "date"),
    ("supplier_name", "string"),
    ("supplier_tin", "string"),
    ("on_time", "boolean"),
    ("parcel_count", "bigint"),
    ("amount_net", "decimal(18,2)"),
    ("damage_rate", "decimal(9,4)"),
    ("route", "array<string>"),
    ("updated_at", "timestamp"),
]


def delivery(key, company="SAMPAGUITA", **values):
    row = {
        "row_key": key,
        "company_code": company,
        "currency": "PHP",
        "day": date(2025, 9, 1),
        "supplier_name": "Aliw Trading",
        "supplier_tin": None,
        "on_time": True,
        "parcel_count": 3,
        "amount_net": Decimal("1000.50"),
        "damage_rate": Decimal("0.2500"),
        "updated_at": datetime(2025, 10, 1, 4, 30),
    }
    return {**row, **values}


def delivery_batch(*rows):
    """The rows as the warehouse sends them, without the column that is not loaded."""
    import pyarrow as pa

    types = {
        "day": pa.date32(),
        "on_time": pa.bool_(),
        "parcel_count": pa.int64(),
        "amount_net": pa.decimal128(18, 2),
        "damage_rate": pa.decimal128(9, 4),
        "updated_at": pa.timestamp("us", tz="UTC"),
    }
    names = [name for name, __ in REMOTE if name != "route"]
    schema = pa.schema([(name, types.get(name, pa.string())) for name in names])
    return pa.RecordBatch.from_pylist(list(rows), schema=schema)


class DesignerCase(LakehouseCase):
    def setUp(self):
        # runs last: after the rollback the registry must forget the models of this test
        self.addCleanup(self._forget_models)
        super().setUp()

    def _forget_models(self):
        self.env.invalidate_all()
        self.setup_models()

    def setup_models(self):
        """Build the classes anew, as a start of Odoo does (19.0 has another name for it)."""
        name = "setup_models" if hasattr(self.registry, "setup_models") else "_setup_models__"
        getattr(self.registry, name)(self.env.cr)

    def design(self, **values):
        """A draft by the lakehouse manager over a table that needs no workspace."""
        View = self.env["lakehouse.view"].with_user(self.manager)
        view = View.create(
            {
                "name": "Deliveries",
                "source_table": TABLE,
                "column_ids": [
                    (0, 0, item)
                    for item in View._design_columns(TABLE, values.pop("remote", REMOTE))
                ],
                **values,
            }
        )
        return view

    def publish(self, **values):
        view = self.design(**values)
        view.action_publish()
        return view

    def load(self, view, *rows):
        """Put rows into the snapshot as a refresh does."""
        self.env.flush_all()
        model = self.env[view.model_name]
        counts = model._snapshot_loader().load([delivery_batch(*rows)])
        model.invalidate_model()
        return counts

    def leftovers(self, view, model="x_lakehouse_delivery_facts"):
        """What of a published view exists in the database, by kind; {} if nothing does."""
        table = view if isinstance(view, str) else f"lakehouse_snap_{view.id}"
        cr = self.env.cr
        self.env.flush_all()
        found = {name: table_kind(cr, name) for name in (model, table)}
        for name, column in (
            ("ir_model", "model"),
            ("ir_model_fields", "model"),
            ("ir_ui_view", "model"),
            ("ir_act_window", "res_model"),
            ("ir_filters", "model_id"),
        ):
            cr.execute(f"SELECT count(*) FROM {name} WHERE {column} = %s", (model,))  # pylint: disable=sql-injection
            found[name] = cr.fetchone()[0]
        cr.execute("SELECT count(*) FROM ir_model_access WHERE name LIKE %s", (f"{model} %",))
        found["ir_model_access"] = cr.fetchone()[0]
        cr.execute(
            "SELECT model || ' ' || module || '.' || name FROM ir_model_data WHERE name LIKE %s",
            (f"%{model}%",),
        )
        found["ir_model_data"] = cr.fetchall()
        return {name: value for name, value in found.items() if value}
