"""Philippine withholding tax and VAT rules as data, with the functions that read them.

Not tax advice. Every rule row names its source and the dates between which it holds; what no row
covers is answered "unknown, because ...". Standard library only, so that the same files work in
Odoo, in a Spark wheel (also zipped) and in a served model; `fingerprint()` tells whether two
copies hold the same rules.
"""

from .data import (
    business_tax_rules,
    decision_rows,
    fingerprint,
    forms,
    natures,
    rules,
    threshold,
    thresholds,
    variants,
    vat_rules,
)
from .derive import derive
from .model import (
    PAYEE_KINDS,
    PAYOR_KINDS,
    VAT_STATUSES,
    BusinessTax,
    Derivation,
    PaymentFacts,
    VatSplit,
)
from .money import money, percent_of
from .periods import deadline, quarter_end, quarter_label
from .tin import Tin, parse_tin, payee_kind_from_name
from .vat import split_vat, vat_line_agrees
