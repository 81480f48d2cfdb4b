from odoo import _, api, fields, models
from odoo.exceptions import ValidationError
from odoo.tools import formatLang

from ..models.bir_terms import (
    MONEY,
    NATURES,
    NO_ATC,
    NUMBERS,
    TERM,
    VAT_TREATMENTS,
    parse_number,
)

LEVELS = [("high", "High"), ("medium", "Medium"), ("low", "Low")]
# Below the floor of its kind a confidence is medium down to here, then low.
MEDIUM_FROM = 0.70
# How these got their value says that a person put it there.
BY_A_PERSON = ("typed", "edit", "keep")


class BirAutofillWizardLine(models.TransientModel):
    """One field of one bill line: what it is, what is proposed and what the person decides."""

    _name = "bir.autofill.wizard.line"
    _description = "BIR Auto-fill Line"
    _order = "sequence, id"

    wizard_id = fields.Many2one("bir.autofill.wizard", required=True, ondelete="cascade")
    sequence = fields.Integer()
    display_type = fields.Selection([("line_section", "Section")])
    name = fields.Char(string="Field", help="Label of the field, or the bill line as a heading.")
    move_line_id = fields.Many2one("account.move.line", ondelete="cascade")
    field_name = fields.Char()
    required = fields.Boolean()
    applies = fields.Boolean(default=True)
    floor = fields.Float(digits=(6, 4))
    snapshot = fields.Char(help="The value when the proposals were asked for.")
    raw_value = fields.Char(help="What the model or the books propose, before the floor.")
    raw_confidence = fields.Float()
    raw_source = fields.Selection([("model", "Model"), ("books", "Books")])
    raw_reason = fields.Char()
    current_display = fields.Char(string="Current")
    proposed_value = fields.Char()
    proposed_display = fields.Char(string="Proposed")
    reference_value = fields.Char()
    reference_display = fields.Char(string="Rule / Books")
    differs = fields.Boolean(help="The proposal is not what stands on the bill line.")
    confidence = fields.Float()
    level = fields.Selection(LEVELS, string="Confidence Level")
    source = fields.Selection([("model", "Model"), ("rule", "Rule"), ("books", "Books")])
    reason = fields.Char()
    decision = fields.Selection(
        [("accept", "Accept"), ("keep", "Keep mine"), ("edit", "Edit")],
    )
    edit_value = fields.Char(string="Your Value")
    choices = fields.Json(help="Pairs of value and label where the field takes only these.")
    locked = fields.Boolean(help="A person set this value: it is not overwritten.")
    prediction_id = fields.Many2one("bir.prediction", ondelete="set null")

    @api.onchange("edit_value")
    def _onchange_edit_value(self):
        if self.edit_value and self.decision != "edit":
            self.decision = "edit"

    @api.onchange("decision")
    def _onchange_decision(self):
        if self.decision == "edit" and not self.edit_value:
            self.edit_value = self.proposed_value or self.snapshot

    # -- values --------------------------------------------------------------------------------

    def _is_certain(self):
        """Ready for 'Accept all certain': proposed above the floor, open, not a person's own."""
        return bool(
            self.field_name
            and self.applies
            and self.proposed_value
            and not self.locked
            and not self.decision
        )

    def _is_open(self):
        """A required field without a decision, or decided without a value."""
        if not (self.field_name and self.required and self.applies):
            return False
        return not self.decision or self._final_value() is None

    def _final_value(self, strict=False):
        """Canonical value that the decision leads to; None = no value. Undecided: None.

        `strict` raises ValidationError for a typed value that the field cannot take.
        """
        if self.decision == "accept":
            return self.proposed_value or None
        if self.decision == "keep":
            return self.snapshot or None
        if self.decision == "edit":
            return self._parsed_edit(strict)
        return None

    def _parsed_edit(self, strict):
        text = (self.edit_value or "").strip()
        if not text:
            return None
        if self.field_name in NUMBERS:
            try:
                return parse_number(self.field_name, text)
            except ValueError:
                return self._refuse(_("%(field)s: %(text)s is not a number."), strict)
        if self.field_name == "bir_atc":
            return NO_ATC if text.lower() == NO_ATC else text.upper().replace(" ", "")
        codes = dict(self._codes())
        if codes and text not in codes:
            return self._refuse(_("%(field)s: %(text)s is not one of its values."), strict)
        return text

    def _refuse(self, message, strict):
        if strict:
            raise ValidationError(message % {"field": self.name, "text": self.edit_value})
        return None

    def _codes(self):
        selections = {"bir_nature": NATURES, "bir_vat_treatment": VAT_TREATMENTS}
        return selections.get(self.field_name, [])

    def _display(self, value):
        """A canonical value for people; blank for a missing one."""
        if not value:
            return ""
        if self.field_name in MONEY:
            currency = self.wizard_id.company_id.currency_id
            return formatLang(self.env, float(value), currency_obj=currency)
        if self.field_name == "bir_rate":
            return f"{value} %"
        if self.field_name == "bir_atc" and value == NO_ATC:
            return _("Nothing to withhold")
        if self.field_name == "bir_expense_category":
            # a code such as office_supplies; the chart of categories is the model's, not ours
            return value.replace("_", " ").capitalize()
        if self.field_name in ("bir_nature", "bir_vat_treatment"):
            field = self.env["account.move.line"]._fields[self.field_name]
            return dict(field._description_selection(self.env)).get(value, value)
        return value

    # -- proposing -----------------------------------------------------------------------------

    def _set(self, values):
        """Write what differs. As the system: the rows are the person's own, and there are many."""
        changed = {name: value for name, value in values.items() if self[name] != value}
        if changed and self.id:
            self.sudo().write(changed)
        elif changed:
            self.update(changed)

    def _propose(self, value, confidence, source, reason, **more):
        """Show a proposal, or a blank with the reason where it is missing or below the floor."""
        below = value is not None and confidence is not None and confidence < self.floor
        if below:
            reason = _(
                "blank: confidence %(confidence).2f is below the floor of %(floor).3f; %(reason)s",
                confidence=confidence,
                floor=self.floor,
                reason=reason,
            )
        proposed = None if below else value
        if self.decision == "accept" and (self.proposed_value or None) != proposed:
            # Accepted was another value: ask again.
            more["decision"] = False
        self._set(
            {
                "proposed_value": proposed or False,
                "proposed_display": self._display(proposed) or False,
                "source": source,
                "reason": reason or False,
                "confidence": confidence or 0.0,
                "level": self._level(confidence),
                "differs": bool(proposed) and proposed != (self.snapshot or None),
                **more,
            }
        )

    def _level(self, confidence):
        if confidence is None:
            return False
        if confidence >= self.floor:
            return "high"
        return "medium" if confidence >= MEDIUM_FROM else "low"

    def _propose_raw(self):
        """Model (or, without it, the books) for the fields that must be read from text."""
        confidence = self.raw_confidence if self.raw_value else None
        self._propose(self.raw_value or None, confidence, self.raw_source, self.raw_reason)

    def _recompute(self):
        """Recompute the rows of one bill line: text fields first, then what the rules derive."""
        rows = {row.field_name: row for row in self if row.field_name}
        line = next(iter(rows.values())).move_line_id
        for row in rows.values():
            if TERM[row.field_name].origin == "model":
                row._propose_raw()
        nature, nature_confidence = rows["bir_nature"]._effective()
        engine = self.env["bir.rule.engine"]
        answers = engine._answers(line._origin or line, nature)
        answers = {**answers, **rows["bir_atc"]._answers_of_other_atc(engine, line, answers)}
        for name, answer in answers.items():
            row = rows[name]
            confidence = None
            if answer.value is not None:
                confidence = nature_confidence if answer.follows_nature else 1.0
            row._propose(
                answer.value,
                confidence,
                "rule",
                answer.reason,
                reference_value=answer.value or False,
                reference_display=row._display(answer.value) or False,
            )
        atc = rows["bir_atc"]._final_value() or rows["bir_atc"].proposed_value
        for name in ("bir_rate", "bir_tax_withheld"):
            applies = atc != NO_ATC
            rows[name]._set(
                {"applies": applies, "decision": rows[name].decision if applies else False}
            )

    def _effective(self):
        """(nature, confidence) that the rules may work with before or after the decision."""
        if self.decision:
            return self._final_value(), 1.0
        if self.proposed_value:
            return self.proposed_value, self.confidence
        return self.snapshot or None, 1.0

    def _answers_of_other_atc(self, engine, line, answers):
        """Rate and tax of the ATC that a person chose, where it is not the rule's."""
        if self.decision not in ("edit", "keep"):
            return {}
        chosen = self._final_value()
        if chosen is None or chosen == answers["bir_atc"].value:
            return {}
        follows = engine._answers_for_atc(line._origin or line, chosen)
        return {
            name: answer._replace(follows_nature=False)
            for name, answer in follows.items()
            if name != "bir_atc"
        }

    # -- applying ------------------------------------------------------------------------------

    def _changed_since_request(self):
        """True if the bill line has another value now than when the proposals were made."""
        if self.decision == "keep":
            return False
        return self.move_line_id._bir_value(self.field_name) != (self.snapshot or None)

    def _raw(self):
        """What is proposed, also where it is shown as blank."""
        return (self.reference_value if self.source == "rule" else self.raw_value) or False

    def _keep_predictions(self):
        """Record what is proposed in these rows, raw, with the floor it was held against."""
        rows = self.filtered("source")
        predictions = self.env["bir.prediction"].sudo()
        predictions = predictions.create([row._prediction_values() for row in rows])
        for row, prediction in zip(rows, predictions):  # noqa: B905 (3.10 dialect)
            row._set({"prediction_id": prediction.sudo(False)})

    def _prediction_values(self):
        origin = self.wizard_id.origin
        line = self.move_line_id
        return {
            "company_id": line.company_id.id,
            "move_id": line.move_id.id,
            "move_line_id": line.id,
            "move_res_id": line.move_id.id,
            "line_res_id": line.id,
            "vendor_name": line.move_id.commercial_partner_id.name,
            "description": line.name,
            "field_name": self.field_name,
            "source": self.source,
            "proposed_value": self._raw(),
            "confidence": self.confidence,
            "has_confidence": bool(self.level),
            "shown": bool(self.proposed_value),
            "floor": self.floor,
            "reason": self.reason,
            **origin["all"],
            **(origin["model"] if self.source == "model" else {}),
        }

    def _decide_predictions(self, outcomes):
        """Write decisions where they belong: predictions are decided once, each by one value.

        :param outcomes: row id -> (decision, final value or None)
        """
        fresh = superseded = self.browse()
        for row in self:
            prediction = row.prediction_id.sudo()
            anew = (prediction.proposed_value or False) != row._raw()
            if prediction.decision:
                said = (prediction.decision, prediction.final_value or None)
                fresh |= row if anew or said != outcomes[row.id] else row.browse()
            elif anew or not prediction:
                # The person changed the nature, so the rules proposed anew: both are kept.
                superseded |= row if prediction else row.browse()
                fresh |= row
        if superseded:
            superseded.prediction_id._decide("superseded", None)
        fresh._keep_predictions()
        groups = {}
        for row in self.filtered(lambda row: not row.prediction_id.sudo().decision):
            key = outcomes[row.id]
            groups[key] = groups.get(key, row.prediction_id.browse()) | row.prediction_id
        for (decision, final_value), predictions in groups.items():
            if predictions:
                predictions._decide(decision, final_value)
