"""From the facts of a payment to its tax treatment. What the facts do not decide stays unknown."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import NamedTuple

from .data import business_tax_rules, natures, rules_for, threshold, variants
from .model import BusinessTax, Derivation, PaymentFacts, Rule, VatSplit
from .money import money, percent_of
from .vat import split_vat

ZERO = Decimal("0.00")


class Answer(NamedTuple):
    """Answer to a variant's question; `holds` None = the facts do not tell."""

    holds: bool | None
    reason: str


def _always(facts: PaymentFacts, base: Decimal) -> Answer:
    return Answer(True, f"{facts.nature}, {facts.payee_kind} payee")


def _higher_rate(facts: PaymentFacts, base: Decimal) -> Answer:
    # A zero-rated seller is VAT registered: only registered sellers have zero-rated sales.
    if facts.payee_kind == "individual" and facts.vat_status in ("vat_registered", "zero_rated"):
        return Answer(True, "a VAT registered individual has the higher rate whatever the income")
    limit = threshold("gross_income", facts.date, facts.payee_kind)
    over = "the yearly limit" if limit is None else f"PHP {limit.amount:,.0f} a year"
    if facts.higher_rate is None:
        return Answer(None, f"it is not known whether the payee's gross income is over {over}")
    word = "over" if facts.higher_rate else "not over"
    return Answer(facts.higher_rate, f"the payee's gross income is {word} {over}")


def _year_total(facts: PaymentFacts, base: Decimal) -> Answer:
    limit = threshold("agricultural_year_total", facts.date, facts.payee_kind)
    if limit is None:
        return Answer(None, f"no yearly threshold is known for {facts.date}")
    label = f"PHP {limit.amount:,.0f} a year"
    crosses = Answer(
        None,
        f"the payments pass {label} with this one, and the sources do not say whether the whole "
        "payment or only the excess is the base",
    )
    if facts.year_to_date is not None:
        if facts.year_to_date >= limit.amount:
            return Answer(True, f"earlier payments of the year already reach {label}")
        if facts.year_to_date + base > limit.amount:
            return crosses
        return Answer(False, f"the payments of the year stay within {label}")
    if facts.higher_rate:
        return Answer(True, f"earlier payments of the year already reach {label}")
    if base > limit.amount:
        return crosses
    if facts.higher_rate is None:
        return Answer(None, f"it is not known whether the payments of the year pass {label}")
    return Answer(False, f"the payments of the year stay within {label}")


def _regular_or_large(facts: PaymentFacts, base: Decimal) -> Answer:
    limit = threshold("single_purchase", facts.date, facts.payee_kind)
    if facts.regular_supplier:
        return Answer(True, "a regular supplier of a top withholding agent")
    if limit is None:
        return Answer(None, f"no single purchase threshold is known for {facts.date}")
    label = f"PHP {limit.amount:,.0f}"
    if base >= limit.amount:
        return Answer(True, f"a single purchase of {label} or more by a top withholding agent")
    if base < 0:
        return Answer(None, "a refund follows the withholding of the document that it reverses")
    if facts.regular_supplier is None:
        return Answer(
            None, f"it is below {label} and not known whether the supplier is a regular one"
        )
    return Answer(False, f"not a regular supplier, and below a single purchase of {label}")


QUESTIONS: dict[str, Callable[[PaymentFacts, Decimal], Answer]] = {
    "always": _always,
    "higher_rate": _higher_rate,
    "year_total": _year_total,
    "regular_or_large": _regular_or_large,
}


def derive(facts: PaymentFacts) -> Derivation:
    """The withholding and VAT treatment of one payment (see Derivation).

    Raises ValueError if the nature is not one of `natures()`.
    """
    known = [nature.code for nature in natures()]
    if facts.nature not in known:
        raise ValueError(f"nature is {facts.nature!r}; it must be one of {', '.join(known)}")
    vat = split_vat(facts.amount, facts.amount_includes_vat, facts.vat_status, facts.date)
    if vat.net is None:
        return _unknown(vat, vat.reason)
    rules = [
        rule
        for rule in rules_for(facts.nature, facts.payee_kind, facts.payor_kind)
        if rule.holds_on(facts.date)
    ]
    business_tax = _business_tax(facts, vat.net)
    if not rules:
        reason = (
            f"unknown, because no sourced rule covers {facts.nature}, {facts.payee_kind} payee, "
            f"{facts.payor_kind} payor on {facts.date}"
        )
        return _unknown(vat, reason, business_tax=business_tax)
    return _select(facts, vat, rules, business_tax)


def _select(
    facts: PaymentFacts, vat: VatSplit, rules: list[Rule], business_tax: BusinessTax | None
) -> Derivation:
    by_name = {variant.variant: variant for variant in variants()}
    undecided = ""
    for rule in rules:
        variant = by_name[rule.variant]
        answer = QUESTIONS[variant.test](facts, vat.net)
        if answer.holds is None:
            undecided = answer.reason
        elif answer.holds == variant.holds:
            return _decided(vat, rule, answer.reason, business_tax)
    return _unknown(
        vat,
        "unknown, because " + (undecided or "no sourced rule covers this variant"),
        candidates=tuple(dict.fromkeys(rule.atc for rule in rules if rule.atc)),
        business_tax=business_tax,
    )


def _decided(
    vat: VatSplit, rule: Rule, reason: str, business_tax: BusinessTax | None
) -> Derivation:
    if rule.rate is None:
        reason = (
            f"nothing is withheld: {rule.note}"
            if rule.variant == "standard"
            else (f"nothing is withheld: {reason}")
        )
    return Derivation(
        withheld=rule.rate is not None,
        form=rule.form,
        atc=rule.atc,
        base=vat.net,
        rate=rule.rate,
        tax=ZERO if rule.rate is None else percent_of(vat.net, rule.rate),
        vat_treatment=vat.treatment,
        vat_amount=vat.vat,
        input_vat_allowed=vat.input_vat_allowed,
        reason=reason,
        rule_id=rule.rule_id,
        source=rule.source,
        valid_from=rule.valid_from,
        business_tax=business_tax,
    )


def _unknown(
    vat: VatSplit,
    reason: str,
    candidates: tuple[str, ...] = (),
    business_tax: BusinessTax | None = None,
) -> Derivation:
    return Derivation(
        withheld=None,
        form=None,
        atc=None,
        base=vat.net,
        rate=None,
        tax=None,
        vat_treatment=vat.treatment,
        vat_amount=vat.vat,
        input_vat_allowed=vat.input_vat_allowed,
        reason=reason,
        rule_id=None,
        source=None,
        valid_from=None,
        candidates=candidates,
        business_tax=business_tax,
    )


def _business_tax(facts: PaymentFacts, base: Decimal) -> BusinessTax | None:
    if facts.payor_kind != "government":
        return None
    kind = next(n.goods_or_services for n in natures() if n.code == facts.nature)
    for rule in business_tax_rules():
        if (
            rule.goods_or_services == kind
            and rule.vat_status == facts.vat_status
            and rule.holds_on(facts.date)
        ):
            return BusinessTax(
                rule.atc,
                rule.form,
                rule.return_form,
                money(base),
                rule.rate,
                percent_of(base, rule.rate),
                rule.rule_id,
                rule.source,
            )
    return None
