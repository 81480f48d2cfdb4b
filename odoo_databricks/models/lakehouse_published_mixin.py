from odoo import api, models
from odoo.tools import SQL

from .lakehouse_snapshot_loader import SnapshotLoader


class PublishedLoader(SnapshotLoader):
    """Keeps the remote names in the snapshot table and shows the x_ names in the SQL view."""

    def __init__(self, cr, table, columns, field_names):
        super().__init__(cr, table, columns)
        self.field_names = field_names

    def create_view(self, view):
        result = super().create_view(view)
        for column, field in self.field_names.items():
            self.cr.execute(
                SQL(
                    "ALTER VIEW %s RENAME COLUMN %s TO %s",
                    SQL.identifier(view),
                    SQL.identifier(column),
                    SQL.identifier(field),
                )
            )
        return result


class LakehousePublishedMixin(models.AbstractModel):
    """Behaviour of the models that publishing a designed view makes.

    Such a model is declared by records alone: its fields are manual ones, its columns those of the
    lakehouse.view. They are looked up when they are needed, since at the start of an upgrade the
    tables of this addon may not have their new columns yet.
    """

    _name = "lakehouse.published.mixin"
    _inherit = "lakehouse.snapshot.mixin"
    _description = "Rows of a view that was designed in Odoo"

    @property
    def _snapshot_columns(self):
        return self._designed_columns()._loader_columns()

    @property
    def _snapshot_table(self):
        return self._lakehouse_view()._designed_table()

    @api.model
    def _designed_columns(self):
        names = ["name", "remote_type", "role", "is_indexed", "sequence"]
        return (
            self.env["lakehouse.view.column"]
            .sudo()
            .search_fetch([("view_id", "=", self._lakehouse_view().id)], names)
        )

    @api.model
    def _snapshot_loader(self):
        columns = self._designed_columns()
        return PublishedLoader(
            self.env.cr,
            self._snapshot_table,
            columns._loader_columns(),
            columns._view_names(),
        )
