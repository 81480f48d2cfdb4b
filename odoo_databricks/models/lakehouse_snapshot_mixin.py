from odoo import _, api, fields, models
from odoo.exceptions import UserError
from odoo.tools import SQL

from .lakehouse_snapshot_loader import SnapshotLoader


class LakehouseSnapshotMixin(models.AbstractModel):
    """A read-only model over rows copied from one lakehouse table.

    A subclass sets ``_auto = False`` (which is not inherited), ``_snapshot_columns`` and fields
    named like the columns. It then has a table ``lakehouse_snap_*`` that the refresh writes, and an
    SQL view named like the model that everybody reads.
    """

    _name = "lakehouse.snapshot.mixin"
    _description = "Rows copied from the lakehouse"
    _log_access = False

    # tuple of lakehouse_snapshot_loader.Column
    _snapshot_columns = ()

    remote_key = fields.Char("Row key", readonly=True)
    company_id = fields.Many2one("res.company", readonly=True)
    data_as_of = fields.Datetime(
        "Data as of",
        compute="_compute_data_as_of",
        help="When the lakehouse was last read for this report.",
    )

    def _compute_data_as_of(self):
        self.data_as_of = self._lakehouse_view().data_as_of

    @property
    def _snapshot_table(self):
        return self._table.replace("lakehouse_", "lakehouse_snap_", 1)

    def init(self):
        result = super().init()
        if not self._abstract and self._snapshot_columns:
            loader = self._snapshot_loader()
            loader.create_table()
            loader.create_view(self._table)
        return result

    @api.model
    def _snapshot_loader(self):
        return SnapshotLoader(self.env.cr, self._snapshot_table, self._snapshot_columns)

    @api.model
    def _lakehouse_view(self):
        """The refresh record of this model; whoever may read the rows may know how old they are."""
        view = self.env["lakehouse.view"].sudo().with_context(active_test=False)
        return view.search([("model_name", "=", self._name)], limit=1)

    @api.model
    def action_open_report(self, action_xmlid):
        """The report's window action, with the age of its data in the title."""
        action = self.env["ir.actions.actions"]._for_xml_id(action_xmlid)
        action["display_name"] = self._lakehouse_title(action["name"])
        return action

    @api.model
    def _lakehouse_title(self, name):
        freshness = self._lakehouse_view()._freshness_text()
        return f"{name} · {freshness}" if freshness else name

    # -- reading --------------------------------------------------------------------------------
    def _read_group_select(self, aggregate_spec, query):
        """A sum over several currencies is not an amount: such totals stay empty."""
        result = super()._read_group_select(aggregate_spec, query)
        fname, __, func = aggregate_spec.partition(":")
        field = self._fields.get(fname)
        if func != "sum" or field is None or field.type != "monetary":
            return result
        currency = field.get_currency_field(self)
        column = SQL.identifier(self._table, currency)
        pair = isinstance(result, tuple)  # 17.0: (expression, names of fields to flush)
        expression = SQL(
            "CASE WHEN MIN(%s) = MAX(%s) THEN %s END", column, column, result[0] if pair else result
        )
        return (expression, [*result[1], currency]) if pair else expression

    # -- no way to write ------------------------------------------------------------------------
    def _raise_read_only(self):
        raise UserError(
            _(
                "%(report)s shows rows of the lakehouse. They change when the lakehouse changes "
                "and the report is refreshed; they cannot be edited in Odoo.",
                report=self._description,
            )
        )

    @api.model_create_multi
    def create(self, vals_list):  # pylint: disable=method-required-super
        self._raise_read_only()

    def write(self, vals):  # pylint: disable=method-required-super
        self._raise_read_only()

    def unlink(self):  # pylint: disable=method-required-super,no-raise-unlink
        self._raise_read_only()
