from odoo import fields, models


class BirReopenWizard(models.TransientModel):
    """Asks an approver why a submitted bill goes back to review."""

    _name = "bir.reopen.wizard"
    _description = "Reopen BIR Fields"

    move_id = fields.Many2one("account.move", required=True, ondelete="cascade")
    reason = fields.Text(required=True)

    def action_reopen(self):
        self.ensure_one()
        self.move_id._bir_reopen(self.reason)
        return {"type": "ir.actions.act_window_close"}
