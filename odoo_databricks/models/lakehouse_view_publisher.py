from odoo import SUPERUSER_ID, _, api, fields, models
from odoo.exceptions import UserError
from odoo.tools import SQL

from .databricks_tools import MANAGER, require_group
from .lakehouse_published_mixin import PublishedLoader
from .lakehouse_view_arch import Architect

MANUAL = {"state": "manual", "readonly": True, "copied": False, "store": True}


class LakehouseViewPublisher(models.AbstractModel):
    """Makes the model of a designed view, with everything around it, and takes it back."""

    _name = "lakehouse.view.publisher"
    _description = "Publication of a lakehouse view"

    action_id = fields.Many2one("ir.actions.act_window", "Window action", readonly=True, copy=False)
    menu_id = fields.Many2one("ir.ui.menu", readonly=True, copy=False)

    # -- actions --------------------------------------------------------------------------------
    def action_publish(self):
        require_group(self.env, MANAGER, _("Only a lakehouse manager publishes views."))
        self.check_access_rights("write")
        self.check_access_rule("write")
        for view in self:
            view._check_publishable()
            view.with_user(SUPERUSER_ID).with_context(lakehouse_publishing=True)._publish()
            view.message_post(body=_("Published as %(model)s.", model=view.model_name))
        self.env.ref("odoo_databricks.lakehouse_view_cron").sudo()._trigger()
        return {"type": "ir.actions.client", "tag": "reload"}

    def action_unpublish(self):
        require_group(self.env, MANAGER, _("Only a lakehouse manager unpublishes views."))
        self.check_access_rights("write")
        self.check_access_rule("write")
        for view in self:
            if view.publication != "published":
                raise UserError(_("'%(view)s' is not published.", view=view.name))
            view._unpublish()
            view.message_post(body=_("Unpublished: the model and its rows are gone from Odoo."))
        return {"type": "ir.actions.client", "tag": "reload"}

    # -- publish --------------------------------------------------------------------------------
    def _check_publishable(self):
        self.ensure_one()
        if self.model_id:
            raise UserError(_("'%(view)s' already has its model.", view=self.name))
        columns = self.column_ids
        for role, text in (
            ("key", _("the row key, which is different in each row")),
            ("company", _("the company code: rows without a company are shown to nobody")),
        ):
            found = columns.filtered(lambda column, role=role: column.role == role)
            if len(found) != 1:
                raise UserError(
                    _(
                        "'%(view)s' cannot be published yet. Exactly one column must be "
                        "%(role)s; now these are: %(columns)s.",
                        view=self.name,
                        role=text,
                        columns=", ".join(found.mapped("name")) or _("none"),
                    )
                )
        for role in ("currency", "partner_tin", "updated"):
            found = columns.filtered(lambda column, role=role: column.role == role)
            if len(found) > 1:
                raise UserError(
                    _(
                        "Only one column can have this role, not each of %(columns)s.",
                        columns=", ".join(found.mapped("name")),
                    )
                )
        if not columns._shown():
            raise UserError(_("'%(view)s' has no column to show.", view=self.name))
        self._check_field_names(columns)
        self._check_watermark()
        if not self.group_ids:
            raise UserError(_("Choose the groups that may read '%(view)s'.", view=self.name))
        if self.env["ir.model"].sudo()._get_id(self._designed_model()):
            raise UserError(
                _(
                    "Odoo already has a model %(model)s. Give the view another technical name.",
                    model=self._designed_model(),
                )
            )

    def _check_field_names(self, columns):
        names = ["x_partner_id", "x_currency_id"]
        for column in columns._shown():
            if column._field_name() in names:
                raise UserError(
                    _(
                        "Two columns would become the field %(field)s; one of them must have the "
                        "role 'Not loaded'.",
                        field=column._field_name(),
                    )
                )
            names.append(column._field_name())
        money = columns.filtered(lambda c: c.role == "value" and c.ttype == "monetary")
        if money and "currency" not in columns.mapped("role"):
            raise UserError(
                _(
                    "%(columns)s: an amount needs a column with its currency. Show it as a "
                    "decimal, or give a column the role 'Currency code'.",
                    columns=", ".join(money.mapped("name")),
                )
            )

    def _publish(self):
        columns = self.column_ids
        table = self._designed_model()
        loader = PublishedLoader(
            self.env.cr, self._designed_table(), columns._loader_columns(), columns._view_names()
        )
        loader.create_table()
        # before the model: without it Odoo would make a table of that name
        loader.create_view(table)
        model = self._make_model(columns)
        self.write({"model_id": model.id, "next_run": fields.Datetime.now(), "state": "new"})
        self.env["ir.rule"].create(
            {
                "name": _("%(view)s: own companies", view=self.name),
                "model_id": model.id,
                "domain_force": "[('company_id', 'in', company_ids)]",
            }
        )
        self._make_views(columns)
        self._make_action_and_menu()
        self._sync_publication()

    def _make_model(self, columns):
        shown = columns._shown()
        names = [column._field_name() for column in shown if column.ttype == "char"]
        names.sort(key=lambda name: name not in ("x_name", "x_vendor_name"))
        model = self.env["ir.model"].create(
            {
                "name": self.name,
                "model": self._designed_model(),
                "info": _("Rows of a lakehouse table, read only."),
                "lakehouse_rec_name": names[0] if names else "remote_key",
                # not by commands: ir.model takes them from administrators only
                "field_id": [],
            }
        )
        values = self._field_values(columns)
        self.env["ir.model.fields"].create([{**value, "model_id": model.id} for value in values])
        dates = [c._field_name() for c in shown if c.ttype in ("date", "datetime")]
        if dates:
            model.order = f"{dates[0]} desc, id"
        return model

    def _field_values(self, columns):
        roles = columns.mapped("role")
        values = []
        if "currency" in roles:
            values.append(
                {
                    "name": "x_currency_id",
                    "field_description": _("Currency"),
                    "ttype": "many2one",
                    "relation": "res.currency",
                }
            )
        if "partner_tin" in roles:
            values.append(
                {
                    "name": "x_partner_id",
                    "field_description": _("Contact"),
                    "ttype": "many2one",
                    "relation": "res.partner",
                }
            )
        for column in columns._shown():
            value = {
                "name": column._field_name(),
                "field_description": column.label,
                "ttype": column.ttype or "char",
            }
            if column.ttype == "monetary":
                value["currency_field"] = "x_currency_id"
            values.append({**value, "lakehouse_aggregation": column.aggregation})
        return [{**MANUAL, "lakehouse_aggregation": "none", **value} for value in values]

    def _make_views(self, columns):
        texts = {
            "company": _("Company"),
            "partner": _("Contact"),
            "currency": _("Currency"),
            "source": _("Source rows"),
        }
        self.env["ir.ui.view"].create(
            [
                {
                    "name": f"{self.model_name}.{kind}",
                    "model": self.model_name,
                    "type": kind,
                    "arch": arch,
                }
                for kind, arch in Architect(columns, self.name, texts).views()
            ]
        )

    def _make_action_and_menu(self):
        self.action_id = self.env["ir.actions.act_window"].create(
            {
                "name": self.name,
                "res_model": self.model_name,
                "view_mode": "pivot,graph,tree,form",
            }
        )
        self.menu_id = self.env["ir.ui.menu"].create(
            {
                "name": self.name,
                "parent_id": self.env.ref("odoo_databricks.lakehouse_reporting_menu").id,
                "sequence": 50,
                "action": f"ir.actions.act_window,{self.action_id.id}",
            }
        )

    def _sync_publication(self):
        """Names and readers of what was published follow the view."""
        for view in self.with_user(SUPERUSER_ID):
            groups = view.group_ids
            model = view.model_id
            for record in (model, view.action_id, view.menu_id):
                if record.name != view.name:
                    record.name = view.name
            view.menu_id.groups_id = groups
            access = model.access_ids
            (access - access.filtered_domain([("group_id", "in", groups.ids)])).unlink()
            self.env["ir.model.access"].with_user(SUPERUSER_ID).create(
                [
                    {
                        "name": f"{model.model} {group.name}",
                        "model_id": model.id,
                        "group_id": group.id,
                        "perm_read": True,
                        "perm_write": False,
                        "perm_create": False,
                        "perm_unlink": False,
                    }
                    for group in groups - model.access_ids.group_id
                ]
            )

    # -- unpublish ------------------------------------------------------------------------------
    def _unpublish(self):
        """Take back all that _publish made, and what people hung on it (favourites, exports)."""
        self.ensure_one()
        view = self.with_user(SUPERUSER_ID).with_context(
            lakehouse_publishing=True, lakehouse_unpublish=True, active_test=False
        )
        env, model = view.env, view.model_id
        name = model.model
        actions = env["ir.actions.act_window"].search([("res_model", "=", name)])
        references = [f"ir.actions.act_window,{action.id}" for action in actions]
        (view.menu_id | env["ir.ui.menu"].search([("action", "in", references)])).unlink()
        actions.unlink()
        env["ir.ui.view"].search([("model", "=", name)]).unlink()
        env["ir.filters"].search([("model_id", "=", name)]).unlink()
        env["ir.exports"].search([("resource", "=", name)]).unlink()
        model.rule_ids.unlink()
        model.access_ids.unlink()
        reflected = [model.field_id, env["ir.model.inherit"].search([("model_id", "=", model.id)])]
        named = [(records._name, records.ids) for records in reflected]
        view.write(
            {
                "model_id": False,
                "next_run": False,
                "resume_at": False,
                "lease_until": False,
                "state": "new",
                "data_as_of": False,
                "source_updated_at": False,
                "row_count": 0,
                "rejected_count": 0,
                "failure_count": 0,
                "last_error": False,
            }
        )
        env.flush_all()
        model.unlink()
        # what the model had from the mixin has got external ids
        for kind, ids in named:
            env["ir.model.data"].search([("model", "=", kind), ("res_id", "in", ids)]).unlink()
        cr = env.cr
        cr.execute(SQL("DROP VIEW IF EXISTS %s", SQL.identifier(name)))
        cr.execute(SQL("DROP TABLE IF EXISTS %s", SQL.identifier(view._designed_table())))

    # -- reading --------------------------------------------------------------------------------
    @api.model
    def _published_action(self, view):
        """The window action of a published view, with the age of its rows in the title."""
        action = view.action_id.sudo()._get_action_dict()
        action["display_name"] = self.env[view.model_name]._lakehouse_title(view.name)
        return action
