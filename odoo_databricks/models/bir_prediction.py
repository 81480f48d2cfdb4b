from odoo import _, api, fields, models
from odoo.exceptions import AccessError, UserError

from .bir_terms import FIELD_LABELS

DECISIONS = [
    ("accept", "Accepted"),
    ("keep", "Kept own value"),
    ("edit", "Edited"),
    ("conflict", "Not written: changed by a person meanwhile"),
    ("superseded", "Replaced by a newer proposal"),
]
DECISION_FIELDS = {"decision", "final_value", "decided_by", "decided_on"}


class BirPrediction(models.Model):
    """What was proposed for one field, by whom, and what a person made of it. Kept for good."""

    _name = "bir.prediction"
    _description = "BIR Prediction"
    _order = "id desc"
    _rec_name = "field_name"

    company_id = fields.Many2one("res.company", required=True, readonly=True, index=True)
    # The bill may go; what was proposed for it stays, so the plain ids and texts stay too.
    move_id = fields.Many2one("account.move", readonly=True, index=True, ondelete="set null")
    move_line_id = fields.Many2one("account.move.line", readonly=True, ondelete="set null")
    move_res_id = fields.Integer(string="Bill ID", readonly=True)
    line_res_id = fields.Integer(string="Bill Line ID", readonly=True)
    vendor_name = fields.Char(readonly=True)
    description = fields.Char(readonly=True)
    field_name = fields.Selection(FIELD_LABELS, string="Field", required=True, readonly=True)
    source = fields.Selection(
        [("model", "Model"), ("rule", "Rule"), ("books", "Books")], required=True, readonly=True
    )
    proposed_value = fields.Char(
        readonly=True, help="Also kept where it was below the floor and shown as blank."
    )
    confidence = fields.Float(readonly=True)
    has_confidence = fields.Boolean(readonly=True)
    shown = fields.Boolean(readonly=True, help="At or above the floor of the company.")
    floor = fields.Float(readonly=True, digits=(6, 4))
    reason = fields.Char(readonly=True)
    model_name = fields.Char(string="Model", readonly=True)
    model_version = fields.Char(readonly=True)
    served_entity = fields.Char(readonly=True)
    endpoint = fields.Char(readonly=True)
    request_id = fields.Char(readonly=True, index=True)
    rules_fingerprint = fields.Char(readonly=True, help="Of the rules of this addon.")
    model_rules_fingerprint = fields.Char(
        readonly=True, help="Of the rules that the served model was built with."
    )
    training_data = fields.Char(readonly=True, help="'generated' means demo data.")
    data_note = fields.Char(string="Data", compute="_compute_data_note")
    decision = fields.Selection(DECISIONS, readonly=True, index=True)
    final_value = fields.Char(readonly=True)
    decided_by = fields.Many2one("res.users", readonly=True)
    decided_on = fields.Datetime(readonly=True)

    @api.depends("training_data")
    def _compute_data_note(self):
        note = _("demo data, no accuracy claimed")
        for prediction in self:
            prediction.data_note = note if prediction.training_data == "generated" else False

    @api.model_create_multi
    def create(self, vals_list):
        if not self.env.su:
            raise AccessError(_("Predictions are written by the auto-fill only."))
        return super().create(vals_list)

    def write(self, vals):
        if not self.env.su or vals.keys() - DECISION_FIELDS:
            raise UserError(_("A prediction is kept as it was made."))
        if any(prediction.decision for prediction in self):
            raise UserError(_("A decision on a prediction is written once."))
        return super().write(vals)

    @api.ondelete(at_uninstall=False)
    def _unlink_never(self):
        raise UserError(_("Predictions are kept for good."))

    def _decide(self, decision, final_value):
        """The one write that a prediction takes."""
        return self.sudo().write(
            {
                "decision": decision,
                "final_value": final_value,
                "decided_by": self.env.uid,
                "decided_on": fields.Datetime.now(),
            }
        )
