"""The BIR fields of a bill line, as the wizard, the audit trail and the lock see them.

Values travel between these parts as canonical text: a code, a plain text, or a decimal string
with a point. None means "not there", which is never the same as "0.00".
"""

from decimal import Decimal, InvalidOperation
from typing import NamedTuple

from ..lib import bir_rules

NATURES = [(nature.code, nature.label) for nature in bir_rules.natures()]
VAT_TREATMENTS = [
    ("vat_registered", "VATable 12%"),
    ("zero_rated", "Zero-rated"),
    ("exempt", "VAT exempt"),
    ("non_vat", "Non-VAT supplier"),
]
PAYEE_KINDS = [("individual", "Individual"), ("corporate", "Corporate")]
PAYOR_KINDS = [
    ("ordinary", "Ordinary"),
    ("top_withholding_agent", "Top withholding agent"),
    ("government", "Government"),
]
WITHHOLDING = [("withheld", "Tax is withheld"), ("nothing", "Nothing to withhold")]
# The canonical value of the ATC when it is known that nothing is withheld.
NO_ATC = "nothing"


class Term(NamedTuple):
    """`kind` chooses the threshold (code, text, amount); `origin` who proposes (model, rule)."""

    name: str
    kind: str
    origin: str
    required: bool


TERMS = (
    Term("bir_nature", "code", "model", True),
    Term("bir_expense_category", "text", "model", False),
    Term("bir_vat_treatment", "code", "rule", True),
    Term("bir_atc", "code", "rule", True),
    Term("bir_rate", "code", "rule", True),
    Term("bir_tax_base", "amount", "rule", True),
    Term("bir_tax_withheld", "amount", "rule", True),
)
FIELD_LABELS = [
    ("bir_nature", "Nature of Payment"),
    ("bir_expense_category", "Expense Category"),
    ("bir_vat_treatment", "VAT Treatment"),
    ("bir_atc", "ATC"),
    ("bir_rate", "EWT Rate (%)"),
    ("bir_tax_base", "Tax Base"),
    ("bir_tax_withheld", "Tax Withheld"),
]
TERM = {term.name: term for term in TERMS}
NUMBERS = ("bir_rate", "bir_tax_base", "bir_tax_withheld")
MONEY = ("bir_tax_base", "bir_tax_withheld")
# These have no meaning where nothing is withheld.
ONLY_WITH_ATC = ("bir_rate", "bir_tax_withheld")
# What the endpoint calls the fields that it predicts.
MODEL_OUTPUTS = {
    "bir_nature": "nature_of_payment",
    "bir_expense_category": "expense_category",
}


def canonical_number(name, value):
    """A number as canonical text: centavos for money, no trailing zeros for a rate in percent."""
    if name in MONEY:
        return str(bir_rules.money(value))
    number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    text = f"{number.quantize(Decimal('0.0001')):f}"
    return text.rstrip("0").rstrip(".")


def parse_number(name, text):
    """Canonical text of a number as a person types it (1,234.50); ValueError if it is none."""
    plain = (text or "").replace(",", "").replace("%", "").replace("₱", "").strip()
    try:
        number = Decimal(plain)
    except InvalidOperation:
        raise ValueError(text) from None
    if not number.is_finite():
        raise ValueError(text)
    return canonical_number(name, number)
