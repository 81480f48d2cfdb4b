from odoo import Command, _, api, fields, models
from odoo.exceptions import UserError
from odoo.tools import formatLang

from ..lib import bir_rules
from ..models.bir_terms import MODEL_OUTPUTS, NO_ATC, NUMBERS, ONLY_WITH_ATC, TERMS
from .bir_autofill_wizard_line import BY_A_PERSON


class BirAutofillWizard(models.TransientModel):
    """The review of one bill: proposals of the model, the rules and the books, field by field."""

    _name = "bir.autofill.wizard"
    _description = "Auto-fill BIR Fields"
    _rec_name = "move_id"

    move_id = fields.Many2one("account.move", string="Bill", required=True, ondelete="cascade")
    company_id = fields.Many2one(related="move_id.company_id")
    partner_id = fields.Many2one(related="move_id.partner_id")
    payor_kind = fields.Selection(related="company_id.bir_payor_kind")
    line_ids = fields.One2many("bir.autofill.wizard.line", "wizard_id", string="Fields")
    banner = fields.Char(help="Why the model did not answer, and what to do about it.")
    notice = fields.Char(help="What the last step left undone.")
    demo_data = fields.Boolean(help="The served model was trained on generated rows.")
    served_entity = fields.Char(string="Served Model")
    origin = fields.Json(help="What predictions keep of the call that the proposals came from.")
    rules_warning = fields.Char()
    certain_count = fields.Integer(compute="_compute_counts")
    open_count = fields.Integer(compute="_compute_counts")
    decided_count = fields.Integer(compute="_compute_counts")
    field_count = fields.Integer(compute="_compute_counts")

    @api.depends(
        "line_ids.decision",
        "line_ids.proposed_value",
        "line_ids.edit_value",
        "line_ids.applies",
        "line_ids.locked",
    )
    def _compute_counts(self):
        for wizard in self:
            rows = wizard.line_ids.filtered(lambda row: row.field_name and row.applies)
            wizard.certain_count = len(rows.filtered(lambda row: row._is_certain()))
            wizard.open_count = len(rows.filtered(lambda row: row._is_open()))
            wizard.decided_count = len(rows.filtered("decision"))
            wizard.field_count = len(rows)

    @api.onchange("line_ids")
    def _onchange_line_ids(self):
        self._recompute_rows()

    def _recompute_rows(self):
        """What the rules derive follows the natures as they are decided on this screen."""
        for rows in self._rows_by_bill_line().values():
            rows._recompute()

    def _rows_by_bill_line(self):
        groups = {}
        for row in self.line_ids.filtered("field_name"):
            key = row.move_line_id._origin.id
            groups[key] = groups.get(key, row.browse()) | row
        return groups

    # -- opening -------------------------------------------------------------------------------

    def _open(self, move):
        """Ask for proposals for all lines of the bill and show them."""
        # First, so that no row is locked while the endpoint is waited for.
        answer = self.env["bir.predictor"]._predict(move._bir_lines())
        wizard = self.create({"move_id": move.id})
        wizard._fill(answer)
        return wizard._action()

    def _action(self):
        return {
            "type": "ir.actions.act_window",
            "name": _("Auto-fill BIR Fields: %s", self.move_id.display_name),
            "res_model": self._name,
            "res_id": self.id,
            "view_mode": "form",
            "target": "new",
            "context": {"dialog_size": "extra-large"},
        }

    def _close(self):
        """Close the dialog and read the bill again.

        A plain close would do, had the dialog not been opened anew by "Accept all certain": 19.0
        then forgets that the form behind it is to be read again.
        """
        return {"type": "ir.actions.client", "tag": "soft_reload"}

    def _fill(self, answer):
        self.ensure_one()
        lines = self.move_id._bir_lines()
        own = bir_rules.fingerprint()
        self.write(
            {
                "banner": answer.banner,
                "demo_data": answer.training_data == "generated",
                "served_entity": answer.served_entity,
                "origin": answer.record_values(),
                "rules_warning": answer.rules_fingerprint
                and answer.rules_fingerprint != own
                and _("The served model was built with another version of the rules."),
            }
        )
        described = lines.fields_get([term.name for term in TERMS], ["string", "selection"])
        values = []
        for number, line in enumerate(lines, start=1):
            values.append(self._section(line, number))
            values += [
                self._row(line, term, number, described[term.name], answer) for term in TERMS
            ]
        self.line_ids = self.line_ids.create(values)
        self._recompute_rows()
        self._preset_decisions()
        self._recompute_rows()
        self.line_ids.filtered(lambda row: row.field_name and row.applies)._keep_predictions()

    def _section(self, line, number):
        currency = line.currency_id
        text = _(
            "%(number)s. %(text)s",
            number=number,
            text=line.name or _("line without text"),
        )
        amount = formatLang(self.env, line.price_subtotal, currency_obj=currency)
        return {
            "wizard_id": self.id,
            "sequence": number * 100,
            "display_type": "line_section",
            "name": f"{text}  ·  {amount}",
            "move_line_id": line.id,
        }

    def _row(self, line, term, number, described, answer):
        row = {
            "wizard_id": self.id,
            "sequence": number * 100 + TERMS.index(term) + 1,
            "name": described["string"],
            "move_line_id": line.id,
            "field_name": term.name,
            "required": term.required,
            "floor": self.company_id._bir_floor(term.kind),
            "snapshot": line._bir_value(term.name) or False,
            "choices": [list(pair) for pair in described.get("selection", [])],
            "locked": (line.bir_decisions or {}).get(term.name) in BY_A_PERSON,
        }
        if term.origin == "model":
            row.update(self._raw_proposal(line, term, row["floor"], answer))
        return row

    def _raw_proposal(self, line, term, floor, answer):
        """The model's value, or what people decided before where the model does not reach."""
        said = answer.values.get(line.id, {}).get(MODEL_OUTPUTS[term.name])
        precedent = self.env["bir.rule.engine"]._from_books(line, term.name)
        result = {
            "reference_value": precedent and precedent.value,
            "raw_value": said and said.value,
            "raw_confidence": said and said.confidence or 0.0,
            "raw_source": "model" if said else False,
            "raw_reason": said and said.reason or answer.missing_reason,
        }
        good = said and said.value and said.confidence >= floor
        if not good and precedent and precedent.exact:
            result.update(
                raw_value=precedent.value,
                # People decided it for this very text.
                raw_confidence=1.0,
                raw_source="books",
                raw_reason=precedent.reason,
            )
        elif precedent and said:
            result["raw_reason"] = _(
                "%(said)s; books: %(books)s", said=said.reason, books=precedent.reason
            )
        return result

    def _preset_decisions(self):
        """What a person set stays; what was accepted before is still accepted."""
        for row in self.line_ids.filtered("field_name"):
            values = {"current_display": row._display(row.snapshot) or False}
            if row.field_name in MODEL_OUTPUTS:
                values["reference_display"] = row._display(row.reference_value) or False
            if row.locked:
                values["decision"] = "keep"
            elif row.snapshot and row.snapshot == row.proposed_value:
                values["decision"] = "accept"
            row._set(values)

    # -- deciding ------------------------------------------------------------------------------

    def action_accept_certain(self):
        """Accept every open field whose proposal is at or above its floor."""
        self.ensure_one()
        self._recompute_rows()
        # Accepting a nature makes what follows from it certain, hence the second round.
        for _round in range(2):
            self.line_ids.filtered(lambda row: row._is_certain()).write({"decision": "accept"})
            self._recompute_rows()
        return self._action()

    def action_apply(self):
        """Write the decided fields to the bill; what is undecided stays open."""
        self.ensure_one()
        conflicts = self._apply()
        if not conflicts:
            return self._close()
        return self._reopen_with(conflicts)

    def action_submit(self):
        self.ensure_one()
        self._recompute_rows()
        still_open = self.line_ids.filtered(lambda row: row._is_open())
        if still_open:
            raise UserError(
                _(
                    "Decide on these required fields before you submit:\n%s",
                    "\n".join(
                        f"{row.move_line_id.name or _('line without text')}: {row.name}"
                        for row in still_open
                    ),
                )
            )
        conflicts = self._apply()
        if conflicts:
            return self._reopen_with(conflicts)
        self.move_id.action_bir_submit()
        return self._close()

    def _reopen_with(self, conflicts):
        """Show the bill as it is now, and say what was not written."""
        for row in self.line_ids.filtered("field_name"):
            now = row.move_line_id._bir_value(row.field_name) or False
            values = {"snapshot": now, "current_display": row._display(now) or False}
            row._set(values | ({"locked": True, "decision": "keep"} if row in conflicts else {}))
        self._recompute_rows()
        self.notice = _(
            "Not written, because changed by a person since the proposals were made: %s",
            ", ".join(f"{row.move_line_id.name or ''} / {row.name}" for row in conflicts),
        )
        return self._action()

    def _apply(self):
        """Write decisions; returns the rows that were not written since a person changed them."""
        self.move_id._bir_check_open()
        self._recompute_rows()
        decided = self.line_ids.filtered(
            lambda row: row.field_name and row.decision and row.applies
        )
        conflicts = decided.filtered(lambda row: row._changed_since_request())
        outcomes = {
            row.id: ("conflict", row.move_line_id._bir_value(row.field_name)) for row in conflicts
        }
        counts = {}
        for row in decided - conflicts:
            outcomes[row.id] = (row.decision, row._final_value(strict=True))
            counts[row.decision] = counts.get(row.decision, 0) + 1
        written = {}
        for rows in self._rows_by_bill_line().values():
            rows &= decided - conflicts
            if rows:
                written[rows.move_line_id] = self._line_values(rows, outcomes)
        self._write_lines(written)
        decided._decide_predictions(outcomes)
        if counts:
            self.move_id._message_log(
                body=_(
                    "BIR fields: %(accept)s accepted, %(edit)s edited, %(keep)s kept.",
                    accept=counts.get("accept", 0),
                    edit=counts.get("edit", 0),
                    keep=counts.get("keep", 0),
                )
            )
        return conflicts

    def _write_lines(self, written):
        move = self.move_id.with_context(bir_decision=True)
        if move.state == "draft":
            # In one go, so that the taxes of the bill are computed once.
            commands = [Command.update(line.id, values) for line, values in written.items()]
            move.write({"invoice_line_ids": commands})
            return
        # 19.0 takes no changes to a posted bill but by its lines.
        for line, values in written.items():
            line.with_context(bir_decision=True).write(values)

    def _line_values(self, rows, outcomes):
        """Values for one bill line out of the decided rows of it."""
        line = rows.move_line_id
        decisions = dict(line.bir_decisions or {})
        values = {}
        for row in rows:
            name, (decision, final) = row.field_name, outcomes[row.id]
            decisions[name] = decision
            if final is None:
                decisions.pop(name)
            if decision == "keep":
                continue
            if name == "bir_atc":
                values.update(self._withholding_values(final))
            elif name in NUMBERS:
                values[name] = float(final or 0)
            else:
                values[name] = final or False
        if values.get("bir_withholding") == "nothing":
            # What an earlier ATC left behind has no meaning any more.
            for name in ONLY_WITH_ATC:
                decisions.pop(name, None)
        if {"bir_atc", "bir_rate"} & set(rows.mapped("field_name")):
            now = {n: values.get(n, line[n]) for n in ("bir_withholding", "bir_atc", "bir_rate")}
            values.update(
                line._bir_tax_values(now["bir_withholding"], now["bir_atc"], now["bir_rate"])
            )
        return {**values, "bir_decisions": decisions}

    def _withholding_values(self, atc):
        if atc == NO_ATC:
            empty = dict.fromkeys(ONLY_WITH_ATC, 0)
            return {"bir_withholding": "nothing", "bir_atc": False, **empty}
        return {"bir_withholding": "withheld" if atc else False, "bir_atc": atc or False}
