"""Value-added tax of one line: net, VAT and gross, and whether the VAT may be claimed."""

from __future__ import annotations

import datetime
from decimal import Decimal

from .data import vat_rules
from .model import VatRule, VatSplit
from .money import money, net_of, percent_of

# Suppliers round their own way; a VAT line of an invoice this close to ours is taken as right.
VAT_LINE_TOLERANCE = Decimal("0.05")


def vat_rule(vat_status: str, day: datetime.date) -> VatRule | None:
    for rule in vat_rules():
        if rule.vat_status == vat_status and rule.holds_on(day):
            return rule
    return None


def split_vat(amount: Decimal, includes_vat: bool, vat_status: str, day: datetime.date) -> VatSplit:
    """Net, VAT and gross of `amount` pesos on `day`, each with two decimals, net + vat == gross."""
    rule = vat_rule(vat_status, day)
    if rule is None:
        reason = f"unknown, because no VAT rule for {vat_status} is known for {day}"
        return VatSplit(None, None, None, vat_status, None, reason, None, None)
    amount = money(amount)
    if includes_vat:
        net = net_of(amount, rule.rate)
        vat, gross = amount - net, amount
    else:
        net, vat = amount, percent_of(amount, rule.rate)
        gross = net + vat
    reason = rule.note
    return VatSplit(
        net, vat, gross, vat_status, rule.input_vat_allowed, reason, rule.rule_id, rule.source
    )


def vat_line_agrees(net: Decimal, vat: Decimal, vat_status: str, day: datetime.date) -> bool | None:
    """Whether the VAT printed on an invoice fits its net amount; None where no rule is known."""
    rule = vat_rule(vat_status, day)
    if rule is None:
        return None
    return abs(money(vat) - percent_of(money(net), rule.rate)) <= VAT_LINE_TOLERANCE
