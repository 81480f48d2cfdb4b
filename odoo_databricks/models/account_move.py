from odoo import _, api, fields, models
from odoo.exceptions import AccessError, UserError

BIR_TYPES = ("in_invoice", "in_refund")
BIR_STATES = [("no", "Not for BIR"), ("to_review", "To Review"), ("submitted", "Submitted")]
SUBMISSION = {"bir_state", "bir_submitted_by", "bir_submitted_on"}
# A change of these would change what was submitted.
FROZEN = ("partner_id", "invoice_date", "currency_id", "company_id")


class AccountMove(models.Model):
    _inherit = "account.move"

    bir_state = fields.Selection(
        selection=BIR_STATES,
        string="BIR Status",
        compute="_compute_bir_state",
        store=True,
        index=True,
        copy=False,
    )
    bir_form = fields.Char(
        string="BIR Form",
        compute="_compute_bir_form",
        store=True,
        help="The certificate that the vendor gets for this bill.",
    )
    bir_submitted_by = fields.Many2one(
        "res.users", string="BIR Submitted by", copy=False, readonly=True
    )
    bir_submitted_on = fields.Datetime(string="BIR Submitted on", copy=False, readonly=True)
    bir_open_count = fields.Integer(string="Open BIR Fields", compute="_compute_bir_open_count")
    bir_withheld_total = fields.Monetary(
        string="Total Tax Withheld",
        compute="_compute_bir_open_count",
        currency_field="company_currency_id",
    )
    bir_net_total = fields.Monetary(
        string="Net of VAT",
        compute="_compute_bir_net_total",
        currency_field="company_currency_id",
        help="In company currency; negative for a refund.",
    )
    bir_demo_data = fields.Boolean(
        compute="_compute_bir_demo_data",
        help="A model that was trained on generated rows proposed values of this bill.",
    )
    bir_line_ids = fields.One2many(
        "account.move.line",
        "move_id",
        string="BIR Lines",
        domain=[("display_type", "=", "product")],
    )

    @api.depends("move_type", "bir_submitted_on", "company_id.account_fiscal_country_id")
    def _compute_bir_state(self):
        for move in self:
            country = move.company_id.account_fiscal_country_id.code
            if move.move_type not in BIR_TYPES or country != "PH":
                move.bir_state = "no"
            else:
                move.bir_state = "submitted" if move.bir_submitted_on else "to_review"

    @api.depends("bir_line_ids.bir_atc", "bir_line_ids.bir_withholding")
    def _compute_bir_form(self):
        engine = self.env["bir.rule.engine"]
        for move in self:
            withheld = move.bir_line_ids.filtered(lambda line: line.bir_withholding == "withheld")
            forms = {engine._form_of_atc(atc) for atc in withheld.mapped("bir_atc")} - {None}
            move.bir_form = ", ".join(sorted(forms)) or False

    @api.depends("bir_state", "bir_line_ids.bir_decisions", "bir_line_ids.bir_withholding")
    def _compute_bir_open_count(self):
        for move in self:
            lines = move._bir_lines() if move.bir_state != "no" else move.bir_line_ids.browse()
            move.bir_open_count = sum(len(line._bir_open_fields()) for line in lines)
            move.bir_withheld_total = sum(lines.mapped("bir_tax_withheld"))

    @api.depends("amount_untaxed_signed")
    def _compute_bir_net_total(self):
        for move in self:
            move.bir_net_total = -move.amount_untaxed_signed

    @api.depends("bir_line_ids.bir_decisions")
    def _compute_bir_demo_data(self):
        # sudo: whether it is demo data is said to everybody who sees the values
        groups = (
            self.env["bir.prediction"]
            .sudo()
            ._read_group(
                [("move_id", "in", self.ids), ("training_data", "=", "generated")], ["move_id"]
            )
        )
        moves = {move.id for (move,) in groups}
        for move in self:
            move.bir_demo_data = move.id in moves

    def _bir_lines(self):
        """The lines that carry BIR fields: no section, note, tax or payment-term line."""
        return self.invoice_line_ids.filtered(lambda line: line.display_type == "product")

    # -- lock ----------------------------------------------------------------------------------

    @api.model_create_multi
    def create(self, vals_list):
        for vals in vals_list:
            self._bir_check_submission(vals)
        return super().create(vals_list)

    def write(self, vals):
        self._bir_check_submission(vals)
        for name in FROZEN:
            if name not in vals:
                continue
            field = self._fields[name]
            for move in self.filtered(lambda move: move.bir_state == "submitted"):
                old = field.convert_to_write(move[name], move)
                new = field.convert_to_write(field.convert_to_cache(vals[name], move), move)
                if old != new:
                    move._bir_check_open()
        return super().write(vals)

    def _bir_check_submission(self, vals):
        """Submitting and reopening have their own buttons, each with its own group."""
        if not self.env.su and SUBMISSION & vals.keys():
            raise AccessError(_("The BIR status changes by Submit and Reopen only."))

    def _bir_check_open(self):
        """Raise where the fields were submitted, and with them what they were made from."""
        for move in self:
            if move.bir_state == "submitted":
                raise UserError(
                    _(
                        "The BIR fields of %s were submitted. An approver can reopen them, with a "
                        "reason.",
                        move.display_name,
                    )
                )

    @api.ondelete(at_uninstall=False)
    def _unlink_except_bir_submitted(self):
        self._bir_check_open()

    # -- actions -------------------------------------------------------------------------------

    def action_bir_autofill(self):
        """Open the proposals for this bill; the endpoint is asked once for all its lines."""
        self.ensure_one()
        if self.bir_state == "no":
            raise UserError(
                _("BIR fields are for vendor bills and refunds of Philippine companies.")
            )
        self._bir_check_open()
        if not self._bir_lines():
            raise UserError(_("The bill has no lines yet. Add one, then auto-fill."))
        return self.env["bir.autofill.wizard"]._open(self)

    def action_bir_submit(self):
        if not self.env.user.has_group("odoo_databricks.group_bir_reviewer"):
            raise AccessError(_("Only a BIR reviewer submits."))
        for move in self:
            move.check_access_rights("write")
            move.check_access_rule("write")
            move._bir_check_complete()
            move.sudo().write(
                {
                    "bir_submitted_by": self.env.uid,
                    "bir_submitted_on": fields.Datetime.now(),
                }
            )
            move._message_log(body=_("BIR fields submitted."))
        return True

    def _bir_check_complete(self):
        self.ensure_one()
        if self.bir_state != "to_review":
            raise UserError(_("%s is not waiting for a BIR review.", self.display_name))
        if not self.invoice_date:
            raise UserError(_("The bill has no date: the BIR period depends on it."))
        lines = self._bir_lines()
        if not lines:
            raise UserError(_("The bill has no lines to submit."))
        labels = lines.fields_get(attributes=["string"])
        missing = [
            _(
                "%(line)s: %(fields)s",
                line=line.name or _("line without text"),
                fields=", ".join(labels[name]["string"] for name in line._bir_open_fields()),
            )
            for line in lines
            if line._bir_open_fields()
        ]
        if missing:
            raise UserError(_("These required fields are not decided yet:\n%s", "\n".join(missing)))

    def action_bir_reopen(self):
        self.ensure_one()
        return {
            "type": "ir.actions.act_window",
            "name": _("Reopen BIR Fields"),
            "res_model": "bir.reopen.wizard",
            "view_mode": "form",
            "target": "new",
            "context": {"default_move_id": self.id},
        }

    def _bir_reopen(self, reason):
        """Back to review; the reason stays in the chatter for good."""
        self.ensure_one()
        if not self.env.user.has_group("odoo_databricks.group_bir_approver"):
            raise AccessError(_("Only a BIR approver reopens what was submitted."))
        self.check_access_rights("write")
        self.check_access_rule("write")
        if self.bir_state != "submitted":
            raise UserError(_("%s is not submitted.", self.display_name))
        if not (reason or "").strip():
            raise UserError(_("Give the reason for reopening."))
        self.sudo().write({"bir_submitted_by": False, "bir_submitted_on": False})
        self._message_log(body=_("BIR fields reopened: %s", reason.strip()))
        return True

    def action_bir_predictions(self):
        self.ensure_one()
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "odoo_databricks.bir_prediction_action"
        )
        return {**action, "domain": [("move_id", "=", self.id)]}
