from odoo import models


class IrActionsActWindow(models.Model):
    _inherit = "ir.actions.act_window"

    def _compute_display_name(self):
        """A report of the lakehouse tells the age of its data in its title, also after a reload."""
        result = super()._compute_display_name()
        for action in self:
            model = self.env.get(action.res_model)
            if hasattr(model, "_lakehouse_title"):
                action.display_name = model._lakehouse_title(action.name)
        return result
