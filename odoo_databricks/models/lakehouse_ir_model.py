"""Manual models and fields made by publishing a view: what their records cannot say by themselves.

`mail` does the same for is_mail_thread: the row of ir.model decides what the class inherits.
"""

from odoo import _, api, fields, models
from odoo.exceptions import UserError


class IrModel(models.Model):
    _inherit = "ir.model"

    lakehouse_rec_name = fields.Char(
        readonly=True, help="Set on models of a published lakehouse view: the field to call a row."
    )

    @api.model
    def _instanciate(self, model_data):
        model_class = super()._instanciate(model_data)
        extra = self._lakehouse_attributes(model_data)
        if not extra:
            return model_class
        # a new class: the one at hand already has create_uid, which a view of rows has not
        names = ("_name", "_description", "_module", "_custom", "_transient", "_order", "__doc__")
        attributes = {name: getattr(model_class, name) for name in names}
        return type("PublishedModel", (models.Model,), {**attributes, **extra})

    @api.model
    def _instanciate_attrs(self, model_data):
        """What _instanciate of 17.0 has become in 19.0."""
        return {
            **super()._instanciate_attrs(model_data),
            **self._lakehouse_attributes(model_data),
        }

    @api.model
    def _lakehouse_attributes(self, model_data):
        rec_name = model_data.get("lakehouse_rec_name")
        if not rec_name:
            return {}
        # a class whose _rec_name is no field would keep the whole registry from loading
        self.env.cr.execute(
            "SELECT 1 FROM ir_model_fields WHERE model = %s AND name = %s AND state = 'manual'",
            (model_data["model"], rec_name),
        )
        return {
            "_inherit": "lakehouse.published.mixin",
            "_auto": False,
            "_log_access": False,
            "_rec_name": rec_name if self.env.cr.fetchone() else "remote_key",
        }


class IrModelFields(models.Model):
    _inherit = "ir.model.fields"

    lakehouse_aggregation = fields.Char(
        readonly=True, help="Set on fields of a published lakehouse view: what totals show."
    )

    @api.model
    def _instanciate_attrs(self, field_data):
        attributes = super()._instanciate_attrs(field_data)
        aggregation = field_data.get("lakehouse_aggregation")
        if attributes and aggregation:
            attributes["group_operator"] = None if aggregation == "none" else aggregation
        return attributes

    @api.ondelete(at_uninstall=False)
    def _unlink_if_no_lakehouse_field(self):
        """A field of a published view goes with the view, not alone."""
        if self.env.context.get("lakehouse_unpublish"):
            return
        for field in self.filtered("lakehouse_aggregation"):
            raise UserError(
                _(
                    "The field %(field)s belongs to the lakehouse view '%(model)s'. Unpublish the "
                    "view instead.",
                    field=field.name,
                    model=field.model_id.name,
                )
            )
