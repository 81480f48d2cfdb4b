import re

from odoo import _, api, fields, models
from odoo.exceptions import UserError, ValidationError

from ..lib import catalog, column_guess, sql
from ..lib.domain_sql import Field, where
from ..lib.errors import WorkspaceError
from .databricks_tools import MANAGER, explain, quote_table, require_group
from .lakehouse_live import any_code
from .lakehouse_preview_html import html_table
from .lakehouse_templates import template_for

BOTH = "odoo_databricks.group_lakehouse_manager,base.group_system"
ROW_CAP = 2_000_000
PREVIEW_ROWS = 100
# seconds: somebody is waiting
PREVIEW_WAIT = 20
# what cannot be changed while readers use the model
FROZEN = ("source_table", "technical_name", "model_id")


class LakehouseViewDesigner(models.AbstractModel):
    """The part of lakehouse.view that says how a table of the lakehouse becomes a model.

    A view that the addon ships has a model in code; a designed one has columns, and a model as
    long as it is published.
    """

    _name = "lakehouse.view.designer"
    _description = "Design of a lakehouse view"

    technical_name = fields.Char(
        compute="_compute_technical_name",
        store=True,
        readonly=False,
        precompute=True,
        copy=False,
        groups=BOTH,
        help="The model is named x_lakehouse_ and this name.",
    )
    publication = fields.Selection(
        [("draft", "Draft"), ("published", "Published"), ("shipped", "Part of the app")],
        compute="_compute_publication",
        store=True,
    )
    group_ids = fields.Many2many(
        "res.groups",
        string="Readers",
        default=lambda self: self._default_group_ids(),
        groups=BOTH,
        help="Groups that may read the rows (of their companies). Others see nothing.",
    )
    refresh_mode = fields.Selection(
        [("full", "Whole table"), ("watermark", "Rows changed since the last refresh")],
        default="full",
        required=True,
        groups=BOTH,
    )
    watermark_column = fields.Char(
        groups=BOTH, help="The timestamp column with the time of change of a row."
    )
    overlap_minutes = fields.Integer(
        default=60,
        groups=BOTH,
        help="Rows that changed this long before the last refresh are read again: some come late.",
    )
    row_cap = fields.Integer(
        default=ROW_CAP, groups=BOTH, help="A table with more rows is not copied into Odoo."
    )

    @api.model
    def _default_group_ids(self):
        return self.env.ref("odoo_databricks.group_lakehouse_user", raise_if_not_found=False)

    @api.depends("source_table")
    def _compute_technical_name(self):
        for view in self:
            if not view.technical_name and view.source_table:
                table = view.source_table.rpartition(".")[2].lower()
                view.technical_name = re.sub(r"[^a-z0-9]+", "_", table).strip("_")[:40]

    @api.depends("model_id")
    def _compute_publication(self):
        for view in self:
            model = view.sudo().model_id
            published = "published" if model.state == "manual" else "shipped"
            view.publication = published if model else "draft"

    # -- checks ---------------------------------------------------------------------------------
    @api.constrains("technical_name")
    def _check_technical_name(self):
        for view in self.filtered("technical_name"):
            if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", view.technical_name):
                raise ValidationError(
                    _(
                        "The technical name '%(name)s' must begin with a letter and hold at most "
                        "40 of a-z, 0-9 and _.",
                        name=view.technical_name,
                    )
                )

    @api.constrains("group_ids")
    def _check_group_ids(self):
        internal = self.env.ref("base.group_user")
        for group in self.sudo().group_ids:
            implied = group
            while more := implied.implied_ids - implied:
                implied |= more
            if internal not in implied:
                raise ValidationError(
                    _(
                        "'%(group)s' cannot read a lakehouse view: only groups of internal users "
                        "can, never portal or public users.",
                        group=group.display_name,
                    )
                )

    @api.constrains("refresh_mode", "watermark_column", "column_ids")
    def _check_watermark(self):
        for view in self.filtered(lambda view: view.refresh_mode == "watermark"):
            # a view that the app ships declares its columns in code
            if view.publication == "shipped":
                continue
            updated = view.column_ids.filtered(lambda column: column.role == "updated")
            if not updated or updated.mapped("name") != [view.watermark_column]:
                raise ValidationError(
                    _(
                        "To read changed rows only, name the column that holds their time of "
                        "change: exactly one column has that role, and it is the watermark column."
                    )
                )

    @api.constrains("overlap_minutes", "row_cap")
    def _check_limits(self):
        for view in self:
            if not 0 <= view.overlap_minutes <= 60 * 24 * 31:
                raise ValidationError(_("The overlap is between 0 minutes and 31 days."))
            if view.row_cap < 1:
                raise ValidationError(_("The row cap is the number of rows, 1 or more."))

    @api.model_create_multi
    def create(self, vals_list):
        views = super().create(vals_list)
        # nothing to refresh before it is published
        views.filtered(lambda view: not view.model_id).next_run = False
        return views

    def write(self, vals):
        self._check_frozen(vals)
        result = super().write(vals)
        if {"name", "group_ids"} & set(vals):
            self.filtered(lambda view: view.publication == "published")._sync_publication()
        return result

    def _check_frozen(self, vals):
        changed = [name for name in FROZEN if name in vals]
        if not changed or self.env.context.get("lakehouse_publishing"):
            return
        for view in self.filtered(lambda view: view.publication == "published"):
            for name in changed:
                field = self._fields[name]
                if field.convert_to_cache(vals[name], view) != field.convert_to_cache(
                    view[name], view
                ):
                    raise UserError(
                        _(
                            "'%(view)s' is published. Unpublish it, change its %(field)s, and "
                            "publish it again.",
                            view=view.name,
                            field=field._description_string(self.env),
                        )
                    )

    def unlink(self):
        for view in self.filtered(lambda view: view.publication == "published"):
            view._unpublish()
        return super().unlink()

    @api.ondelete(at_uninstall=False)
    def _unlink_if_designed(self):
        for view in self.filtered(lambda view: view.publication == "shipped"):
            raise UserError(_("'%(view)s' is part of the app. Archive it instead.", view=view.name))

    # -- design -----------------------------------------------------------------------------------
    def _designed_table(self):
        """The snapshot table of a published view."""
        return f"lakehouse_snap_{self.id}"

    def _designed_model(self):
        return f"x_lakehouse_{self.technical_name}"

    @api.model
    def _remote_columns(self, workspace, table):
        """Columns of the table as the catalog has them, as pairs of name and type."""
        try:
            with workspace.client() as client:
                columns = catalog.list_columns(client, table)
        except WorkspaceError as error:
            raise UserError(explain(error)) from error
        return [(column.name, column.type_text) for column in columns]

    @api.model
    def _design_columns(self, table, remote):
        """Values for lakehouse.view.column: guesses, and what a ready definition says better."""
        template = template_for(table)
        known = template.get("columns", {})
        values = []
        for sequence, guess in enumerate(column_guess.guess(remote), 1):
            values.append(
                {
                    "sequence": sequence,
                    "name": guess.name,
                    "remote_type": guess.remote_type,
                    "label": guess.label,
                    "ttype": guess.ttype or False,
                    "role": guess.role,
                    "aggregation": guess.aggregation,
                    "is_indexed": guess.index,
                    **(known.get(guess.name, {}) if guess.role != "skip" else {}),
                }
            )
        return values

    @api.model
    def _preview_rows(self, workspace, table, company):
        """The first rows of the user's companies in a table, as dicts. Raises WorkspaceError."""
        codes = self.env.companies.sudo().mapped("lakehouse_company_code")
        bound = where(any_code(company, filter(None, codes)), {company: Field(company, "text")})
        text = f"SELECT * FROM {quote_table(table)} WHERE {bound.text}"
        with workspace.client() as client:
            return sql.query(
                client,
                workspace.warehouse_id,
                text,
                bound.parameters,
                row_limit=PREVIEW_ROWS,
                timeout=PREVIEW_WAIT,
            )

    def _company_column(self):
        """Name of the column with the company code, in a list that is empty without one."""
        columns = self.env[self.model_name]._snapshot_columns if self.model_id else self.column_ids
        return [column.name for column in columns if column.role == "company"][:1]

    @api.model
    def _preview_html(self, workspace, table, company=None):
        require_group(self.env, MANAGER, _("Only a lakehouse manager previews tables."))
        if not company:
            why = _("Rows are shown once it is known which column holds their company.")
            return html_table([_("No preview")], [[why]])
        try:
            rows = self._preview_rows(workspace, table, company)
        except WorkspaceError as error:
            return html_table([_("No preview")], [[explain(error)]])
        if not rows:
            return html_table([_("The table has no rows of your companies")], [])
        return html_table(rows[0], [row.values() for row in rows])

    def action_preview(self):
        self.ensure_one()
        if not self.workspace_id:
            raise UserError(_("Choose the workspace of '%(view)s' first.", view=self.name))
        preview = self.env["lakehouse.view.preview"].create({"view_id": self.id})
        return {
            "type": "ir.actions.act_window",
            "name": _("First rows of %(table)s", table=self.source_table),
            "res_model": preview._name,
            "res_id": preview.id,
            "view_mode": "form",
            "target": "new",
        }

    def action_load_columns(self):
        """Read the table's columns from the catalog: new ones are added, missing ones go."""
        self.ensure_one()
        require_group(self.env, MANAGER, _("Only a lakehouse manager designs views."))
        if not self.workspace_id:
            raise UserError(_("Choose the workspace of '%(view)s' first.", view=self.name))
        remote = self._remote_columns(self.workspace_id, self.source_table)
        values = {item["name"]: item for item in self._design_columns(self.source_table, remote)}
        Column = self.env["lakehouse.view.column"]
        kept = Column
        for column in self.column_ids:
            if column.name in values:
                item = values.pop(column.name)
                if column.remote_type != item["remote_type"]:
                    column.write(item)
                kept |= column
        (self.column_ids - kept).unlink()
        Column.create([{**item, "view_id": self.id} for item in values.values()])
        return True
