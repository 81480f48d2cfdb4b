from odoo import _, api, fields, models
from odoo.exceptions import UserError, ValidationError

from ..lib import column_guess
from .lakehouse_snapshot_loader import Column

# names that the snapshot table and its refresh use themselves
RESERVED = {
    "id",
    "row_hash",
    "remote_key",
    "company_id",
    "currency_id",
    "partner_id",
    "lakehouse_seq",
    "lakehouse_id",
    "lakehouse_reject",
    "lakehouse_old_hash",
}
# read as text, whatever the remote type: they are compared with codes
TEXT_ROLES = ("key", "company", "currency", "partner_tin", "account")
# role, the snapshot's column with the record found by the code, its field
RESOLVED = (
    ("currency", "currency_id", "x_currency_id"),
    ("partner_tin", "partner_id", "x_partner_id"),
)
# they have no field of their own: Odoo's company, currency and key stand for them
UNSHOWN_ROLES = ("key", "company", "currency", "updated", "skip")


class LakehouseViewColumn(models.Model):
    """One column of a designed view: what it is in the lakehouse, and how Odoo shows it."""

    _name = "lakehouse.view.column"
    _description = "Column of a lakehouse view"
    _order = "view_id, sequence, id"
    _sql_constraints = [
        ("name_uniq", "unique (view_id, name)", "The view already has this column."),
    ]

    view_id = fields.Many2one("lakehouse.view", required=True, index=True, ondelete="cascade")
    company_id = fields.Many2one(related="view_id.company_id", store=True, index=True)
    sequence = fields.Integer(default=10)
    name = fields.Char("Column", required=True)
    remote_type = fields.Char("Lakehouse type", required=True)
    label = fields.Char(required=True, translate=True)
    ttype = fields.Selection(
        [
            ("char", "Text"),
            ("text", "Long text"),
            ("integer", "Integer"),
            ("float", "Decimal"),
            ("monetary", "Amount"),
            ("boolean", "Checkbox"),
            ("date", "Date"),
            ("datetime", "Date and time"),
        ],
        string="Shown as",
    )
    role = fields.Selection(
        [
            ("key", "Row key"),
            ("company", "Company code"),
            ("currency", "Currency code"),
            ("partner_tin", "TIN of the contact"),
            ("account", "Account code"),
            ("updated", "Time of change"),
            ("value", "Value"),
            ("skip", "Not loaded"),
        ],
        default="value",
        required=True,
    )
    aggregation = fields.Selection(
        [
            ("none", "None"),
            ("sum", "Sum"),
            ("avg", "Average"),
            ("min", "Minimum"),
            ("max", "Maximum"),
        ],
        string="In totals",
        default="none",
        required=True,
        help="What a group's total shows. A ratio is never summed.",
    )
    is_indexed = fields.Boolean("Indexed", help="For columns that are often filtered or grouped.")

    # -- checks ---------------------------------------------------------------------------------
    @api.constrains("name", "role")
    def _check_name(self):
        for column in self.filtered(lambda column: column.role != "skip"):
            clean = column.name.isidentifier() and column.name.isascii() and len(column.name) < 60
            taken = column.name.lower() in RESERVED and (column.name, column.role) != ("id", "key")
            if not clean or taken or column.name.lower().startswith("lakehouse_stage"):
                raise ValidationError(
                    _(
                        "The column '%(column)s' cannot be loaded: its name must hold letters, "
                        "digits and underscores only, and not be one that Odoo uses itself. Give "
                        "it another name in the lakehouse, or choose the role 'Not loaded'.",
                        column=column.name,
                    )
                )

    @api.constrains("remote_type", "ttype", "role")
    def _check_ttype(self):
        for column in self.filtered(lambda column: column.role != "skip"):
            kinds = column._field_types()
            if column.role == "value" and column.ttype not in kinds:
                labels = dict(self._fields["ttype"]._description_selection(self.env))
                raise ValidationError(
                    _(
                        "The column '%(column)s' is of type %(type)s in the lakehouse: it can be "
                        "shown as %(kinds)s, or have the role 'Not loaded'.",
                        column=column.name,
                        type=column.remote_type,
                        kinds=", ".join(labels[kind] for kind in kinds) or _("nothing"),
                    )
                )
            if column.role == "updated" and column._sql_type() != "timestamp":
                raise ValidationError(
                    _(
                        "The column '%(column)s' is of type %(type)s: only a timestamp can be the "
                        "time of change.",
                        column=column.name,
                        type=column.remote_type,
                    )
                )

    @api.constrains("name", "ttype", "role", "aggregation")
    def _check_aggregation(self):
        for column in self:
            if column.role != "value" or column.aggregation == "none":
                continue
            allowed = {
                **dict.fromkeys(("integer", "float", "monetary"), ("sum", "avg", "min", "max")),
                **dict.fromkeys(("date", "datetime"), ("min", "max")),
            }
            if column.aggregation not in allowed.get(column.ttype, ()):
                raise ValidationError(
                    _("The column '%(column)s' has no such total.", column=column.name)
                )
            if column.aggregation == "sum" and column_guess.is_ratio(column.name):
                raise ValidationError(
                    _(
                        "'%(column)s' is a ratio: a sum of it over rows means nothing. Choose "
                        "average, minimum, maximum or none.",
                        column=column.name,
                    )
                )

    @api.onchange("role", "ttype")
    def _onchange_role(self):
        if self.role != "value" or self.ttype in ("char", "text", "boolean"):
            self.aggregation = "none"

    # -- a published view does not change under its readers ---------------------------------------
    def _check_not_published(self):
        published = self.view_id.filtered("model_id")
        if published:
            raise UserError(
                _(
                    "'%(view)s' is published. Unpublish it, change its columns, and publish it "
                    "again.",
                    view=published[0].name,
                )
            )

    @api.model_create_multi
    def create(self, vals_list):
        columns = super().create(vals_list)
        columns._check_not_published()
        return columns

    def write(self, vals):
        self._check_not_published()
        return super().write(vals)

    @api.ondelete(at_uninstall=False)
    def _unlink_if_not_published(self):
        self._check_not_published()

    # -- names and types --------------------------------------------------------------------------
    def _sql_type(self):
        """PostgreSQL type of the column in the snapshot table."""
        return "varchar" if self.role in TEXT_ROLES else column_guess.sql_type_of(self.remote_type)

    def _field_types(self):
        sql_type = self._sql_type().partition("(")[0]
        return column_guess.FIELD_TYPES.get(sql_type, ())

    def _field_name(self):
        """Name of the Odoo field (fields that a person adds begin with x_)."""
        name = self.name.lower()
        return name if name.startswith("x_") else f"x_{name}"

    def _shown(self):
        return self.filtered(lambda column: column.role not in UNSHOWN_ROLES)

    def _view_names(self):
        """From columns of the snapshot table to those of the SQL view: {name: field name}."""
        names = {column.name: column._field_name() for column in self._shown()}
        for role, code, field in RESOLVED:
            if role in self.mapped("role"):
                names[code] = field
        return names

    def _loader_columns(self):
        """Declaration of the snapshot for SnapshotLoader."""
        return tuple(
            Column(
                column.name,
                column._sql_type(),
                "value" if column.role == "account" else column.role,
                column.is_indexed,
            )
            for column in self.sorted(lambda column: (column.sequence, column.id))
            if column.role != "skip"
        )
