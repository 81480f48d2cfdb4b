"""The words of the rules: facts that go in, answers that come out, and the rows between them."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from decimal import Decimal

from .money import exact

PAYEE_KINDS = ("individual", "corporate")
PAYOR_KINDS = ("ordinary", "top_withholding_agent", "government")
VAT_STATUSES = ("vat_registered", "non_vat", "zero_rated", "exempt")


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}; it must be one of {', '.join(allowed)}")


@dataclass(frozen=True)
class PaymentFacts:
    """What is known of one payment or bill line.

    `date` is the business date in Manila on which withholding falls due (the earlier of accrual
    and invoice). `amount` is in Philippine pesos and may be negative for a refund; it takes
    Decimal, int or a decimal string, never float. `None` in the optional facts means "not known",
    which is not the same as False:

    - `regular_supplier`: six or more transactions with a top withholding agent in this or the
      previous year;
    - `higher_rate`: the payee's gross income of the year is over the limit (or no sworn
      declaration supports the lower rate); for agricultural products: the payments of the year
      had passed the threshold before this one;
    - `year_to_date`: payments to this supplier earlier in the same year, pesos, net of VAT.

    Raises ValueError or TypeError for a value outside these terms.
    """

    date: datetime.date
    nature: str
    payee_kind: str
    payor_kind: str
    vat_status: str
    amount: Decimal
    amount_includes_vat: bool
    regular_supplier: bool | None = None
    higher_rate: bool | None = None
    year_to_date: Decimal | None = None

    def __post_init__(self) -> None:
        if isinstance(self.date, datetime.datetime) or not isinstance(self.date, datetime.date):
            raise TypeError("date must be a datetime.date without a time of day")
        _one_of("payee_kind", self.payee_kind, PAYEE_KINDS)
        _one_of("payor_kind", self.payor_kind, PAYOR_KINDS)
        _one_of("vat_status", self.vat_status, VAT_STATUSES)
        object.__setattr__(self, "amount", exact(self.amount))
        if self.year_to_date is not None:
            object.__setattr__(self, "year_to_date", exact(self.year_to_date))


@dataclass(frozen=True)
class VatSplit:
    """One amount taken apart, pesos with two decimals; `net + vat == gross` always.

    All of it is None, with a reason, when no VAT rule is known for the date.
    """

    net: Decimal | None
    vat: Decimal | None
    gross: Decimal | None
    treatment: str
    input_vat_allowed: bool | None
    reason: str
    rule_id: str | None
    source: str | None


@dataclass(frozen=True)
class BusinessTax:
    """VAT or percentage tax that a government payor withholds beside the income tax."""

    atc: str
    form: str
    return_form: str
    base: Decimal
    rate: Decimal
    tax: Decimal
    rule_id: str
    source: str


@dataclass(frozen=True)
class Derivation:
    """The answer for one payment. Money in pesos with two decimals, `rate` in percent.

    `withheld` True: form, atc, base, rate and tax are all set. False: nothing is withheld, tax
    is 0.00, form, atc and rate are None. None: the facts or the rules do not decide; the reason
    starts with "unknown, because" and `candidates` lists the ATCs that are possible.
    """

    withheld: bool | None
    form: str | None
    atc: str | None
    base: Decimal | None
    rate: Decimal | None
    tax: Decimal | None
    vat_treatment: str
    vat_amount: Decimal | None
    input_vat_allowed: bool | None
    reason: str
    rule_id: str | None
    source: str | None
    valid_from: datetime.date | None
    candidates: tuple[str, ...] = ()
    business_tax: BusinessTax | None = None


@dataclass(frozen=True)
class Nature:
    code: str
    label: str
    goods_or_services: str
    description: str


@dataclass(frozen=True)
class Dated:
    """What every rule row has: where it comes from and when it holds, both dates inclusive."""

    valid_from: datetime.date
    valid_to: datetime.date | None
    source: str

    def holds_on(self, day: datetime.date) -> bool:
        return self.valid_from <= day and (self.valid_to is None or day <= self.valid_to)


@dataclass(frozen=True)
class Rule(Dated):
    """A row of atc_rules.csv; `atc`, `form` and `rate` are None where nothing is withheld."""

    rule_id: str
    nature: str
    goods_or_services: str
    payee_kind: str
    payor_kind: str
    variant: str
    atc: str | None
    form: str | None
    rate: Decimal | None
    note: str


@dataclass(frozen=True)
class VatRule(Dated):
    rule_id: str
    vat_status: str
    rate: Decimal
    input_vat_allowed: bool
    note: str


@dataclass(frozen=True)
class BusinessTaxRule(Dated):
    rule_id: str
    goods_or_services: str
    vat_status: str
    atc: str
    form: str
    return_form: str
    rate: Decimal
    note: str


@dataclass(frozen=True)
class Threshold(Dated):
    code: str
    payee_kind: str
    amount: Decimal
    unit: str
    note: str


@dataclass(frozen=True)
class Variant:
    """`test` names the question that derive() asks, `holds` the answer that selects the variant."""

    variant: str
    test: str
    holds: bool
    description: str


@dataclass(frozen=True)
class Form(Dated):
    form: str
    title: str
    frequency: str
    deadline_rule: str
    attachments: tuple[str, ...]
