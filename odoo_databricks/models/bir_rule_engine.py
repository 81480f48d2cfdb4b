from typing import NamedTuple

from dateutil.relativedelta import relativedelta

from odoo import _, fields, models

from ..lib import bir_rules
from .bir_terms import NO_ATC, PAYOR_KINDS, canonical_number
from .series_adapter import vat_status_of_taxes

# "A single purchase" is the bill, not one of its lines.
_PER_PURCHASE = ("goods", "services")
_BOOKS_LOOKBACK = 20


class Answer(NamedTuple):
    """Canonical value (None = not known), why, and whether it hangs on the nature of payment."""

    value: str | None
    reason: str
    follows_nature: bool = True


class Precedent(NamedTuple):
    """What people decided before; `exact` if it was for the same text or the reversed bill."""

    value: str
    reason: str
    exact: bool


class BirRuleEngine(models.AbstractModel):
    """Takes the facts of a bill line out of the books and puts them to `lib/bir_rules`."""

    _name = "bir.rule.engine"
    _description = "BIR rules applied to bill lines"

    # -- what the books say --------------------------------------------------------------------

    def _day(self, move):
        """Withholding falls due at the earlier of invoice date and accrual."""
        origin = move.reversed_entry_id if move.move_type == "in_refund" else move
        move = origin or move
        days = [day for day in (move.invoice_date, move.date) if day]
        return min(days) if days else fields.Date.context_today(move)

    def _base(self, line):
        """The line net of VAT in company currency as the books have it; negative for a refund."""
        return bir_rules.money(line.balance)

    def _purchase_total(self, line):
        """Net amount of the purchase that decides the threshold; that of the bill reversed."""
        move = line.move_id
        origin = move.reversed_entry_id if move.move_type == "in_refund" else move
        lines = (origin or move).invoice_line_ids.filtered(lambda li: li.display_type == "product")
        return sum((self._base(li) for li in lines), bir_rules.money(0))

    def _supplier_bills(self, move, start, before):
        return [
            ("company_id", "=", move.company_id.id),
            ("commercial_partner_id", "=", move.commercial_partner_id.id),
            ("move_type", "=", "in_invoice"),
            ("state", "=", "posted"),
            ("invoice_date", ">=", start),
            ("invoice_date", "<", before),
            ("id", "!=", move._origin.id or 0),
        ]

    def _regular_supplier(self, move, day):
        """True, False, or None where the books do not reach back far enough to tell."""
        choice = move.commercial_partner_id.bir_regular_supplier
        if choice:
            return choice == "yes"
        rule = bir_rules.threshold("regular_supplier_transactions", day, "any")
        start = day + relativedelta(years=-1, month=1, day=1)
        Move = self.env["account.move"]
        count = Move.search_count(self._supplier_bills(move, start, day + relativedelta(days=1)))
        if rule and count >= rule.amount:
            return True
        first = Move.search(
            [
                ("company_id", "=", move.company_id.id),
                ("move_type", "=", "in_invoice"),
                ("state", "=", "posted"),
                ("invoice_date", "!=", False),
            ],
            order="invoice_date",
            limit=1,
        )
        complete = first and first.invoice_date < start + relativedelta(months=1)
        return False if complete else None

    def _year_to_date(self, move, day):
        start = day + relativedelta(month=1, day=1)
        bills = self.env["account.move"].search(self._supplier_bills(move, start, day))
        return bir_rules.money(-sum(bills.mapped("amount_untaxed_signed")))

    def _vat_status(self, line):
        status = vat_status_of_taxes(line.tax_ids)
        if status:
            return status, _("from the VAT tax on the line")
        return line.move_id.commercial_partner_id._bir_vat_status()

    # -- what the rules answer -----------------------------------------------------------------

    def _answers(self, line, nature):
        """Rule answers of one bill line by field name; `nature` is a code or None."""
        base = self._base(line)
        status, status_reason = self._vat_status(line)
        answers = {
            "bir_vat_treatment": Answer(
                status,
                status_reason if status else _("unknown, because %s", status_reason),
                False,
            ),
            "bir_tax_base": Answer(
                str(base), _("the line net of VAT, in company currency, as booked"), False
            ),
        }
        blocker = self._blocker(line, nature)
        if blocker:
            unknown = Answer(None, _("unknown, because %s", blocker))
            if line.company_id.currency_id.name != "PHP":
                answers["bir_tax_base"] = unknown
            return {**answers, **self._withholding(None, None, unknown.reason, base)}
        possible = [status] if status else bir_rules.VAT_STATUSES
        derivations = [self._derive(line, nature, each) for each in possible]
        return {**answers, **self._merge(line, derivations, status_reason, base)}

    def _blocker(self, line, nature):
        if line.company_id.currency_id.name != "PHP":
            return _("the rules speak of pesos and the company keeps its books in another currency")
        if not nature:
            return _("the nature of payment is not decided")
        kind, kind_reason = line.move_id.commercial_partner_id._bir_payee_kind()
        return None if kind else kind_reason

    def _derive(self, line, nature, vat_status):
        move = line.move_id
        partner = move.commercial_partner_id
        day = self._day(move)
        payor_kind = move.company_id.bir_payor_kind
        per_purchase = nature in _PER_PURCHASE and payor_kind == "top_withholding_agent"
        over = partner.bir_gross_over_limit
        return bir_rules.derive(
            bir_rules.PaymentFacts(
                date=day,
                nature=nature,
                payee_kind=partner._bir_payee_kind()[0],
                payor_kind=payor_kind,
                vat_status=vat_status,
                amount=self._purchase_total(line) if per_purchase else self._base(line),
                amount_includes_vat=False,
                regular_supplier=self._regular_supplier(move, day) if per_purchase else None,
                higher_rate=None if not over else over == "yes",
                year_to_date=self._year_to_date(move, day) if nature == "agricultural" else None,
            )
        )

    def _merge(self, line, derivations, status_reason, base):
        """One answer out of the derivations for each VAT status that is possible."""
        first = derivations[0]
        if len({(d.withheld, d.atc, d.rate) for d in derivations}) > 1:
            reason = _("unknown, because %s", status_reason)
            return self._withholding(None, None, reason, base)
        reason = first.reason
        if first.withheld is not None:
            partner = line.move_id.commercial_partner_id
            payor = dict(PAYOR_KINDS)[line.company_id.bir_payor_kind]
            reason = _(
                "%(reason)s (%(payee)s; payor: %(payor)s). %(regulation)s",
                reason=reason,
                payee=partner._bir_payee_kind()[1],
                payor=payor,
                regulation=first.source or "",
            )
        if first.withheld is False:
            return self._withholding(NO_ATC, None, reason, base)
        return self._withholding(first.atc, first.rate, reason, base)

    def _withholding(self, atc, rate, reason, base):
        """Answers for ATC, rate and tax; the tax is rounded half-up on the booked base."""
        if atc == NO_ATC:
            nothing = Answer(None, _("nothing is withheld"))
            return {
                "bir_atc": Answer(NO_ATC, reason),
                "bir_rate": nothing,
                "bir_tax_withheld": nothing,
            }
        if rate is None:
            unknown = Answer(None, reason)
            return {
                "bir_atc": Answer(atc, reason),
                "bir_rate": unknown,
                "bir_tax_withheld": unknown,
            }
        rate_text = canonical_number("bir_rate", rate)
        tax = bir_rules.percent_of(base, rate)
        return {
            "bir_atc": Answer(atc, reason),
            "bir_rate": Answer(rate_text, reason),
            "bir_tax_withheld": Answer(
                str(tax),
                _("%(base)s x %(rate)s %% = %(tax)s, half-up", base=base, rate=rate_text, tax=tax),
            ),
        }

    def _answers_for_atc(self, line, atc):
        """Rate and tax that follow when a person chose another ATC than the rules."""
        day = self._day(line.move_id)
        for rule in bir_rules.rules():
            if rule.atc == atc and rule.holds_on(day):
                reason = _("rate of %(atc)s. %(regulation)s", atc=atc, regulation=rule.source)
                return self._withholding(atc, rule.rate, reason, self._base(line))
        if atc == NO_ATC:
            return self._withholding(NO_ATC, None, _("nothing is withheld"), self._base(line))
        reason = _(
            "unknown, because the rules have no rate for %(atc)s on %(day)s", atc=atc, day=day
        )
        return self._withholding(atc, None, reason, self._base(line))

    def _form_of_atc(self, atc):
        """Certificate on which an ATC is reported; None if the rules do not hold the ATC."""
        return next((rule.form for rule in bir_rules.rules() if rule.atc == atc), None)

    # -- what was decided before ---------------------------------------------------------------

    def _from_books(self, line, name):
        """The Precedent of a field among earlier lines of the same vendor, or None."""
        move = line.move_id
        origin = move.reversed_entry_id if move.move_type == "in_refund" else move.browse()
        reversed_line = origin._bir_lines().filtered(lambda li: li.name == line.name)[:1]
        if reversed_line[name]:
            return Precedent(
                reversed_line[name], _("as on the reversed bill %s", origin.display_name), True
            )
        if not move.commercial_partner_id:
            return None
        earlier = self.env["account.move.line"].search(
            [
                ("company_id", "=", line.company_id.id),
                ("move_id.commercial_partner_id", "=", move.commercial_partner_id.id),
                ("move_id.bir_state", "in", ("to_review", "submitted")),
                ("move_id", "!=", move._origin.id or 0),
                ("display_type", "=", "product"),
                (name, "!=", False),
            ],
            order="date desc, id desc",
            limit=_BOOKS_LOOKBACK,
        )
        same_text = earlier.filtered(lambda li: li.name and li.name == line.name)[:1]
        if same_text:
            bill = same_text.move_id.display_name
            return Precedent(same_text[name], _("as on %s, same text", bill), True)
        values = set(earlier.mapped(name))
        if len(values) != 1:
            return None
        count = len(earlier)
        reason = _("as on the last %(count)s lines of this vendor", count=count)
        return Precedent(values.pop(), reason, False)
