"""The one place that knows where Odoo 17.0 and 19.0 mean different things.

17.0 is the specification. In 19.0 a withholding tax may take effect at payment
(`account.tax.is_withholding_tax_on_payment`): such a tax stands on the bill line, but moves no
amount until the payment is registered. 19.0 has no `hr.expense.sheet`: the expense itself
carries the approval. And 19.0 keeps no section of odoo.conf but its own.
"""

import configparser

from odoo.tools import config

# Base tags of the purchase VAT boxes: 2550Q as the chart of each series numbers them.
_EXEMPT_TAGS = {"46E", "47A", "48E", "49A"}
_ZERO_RATED_TAGS = {"46ZR", "48ZR"}


def extra_options(section):
    """Options of a section of odoo.conf that is not Odoo's own, as dict of str to str."""
    if hasattr(config, "misc"):
        return config.misc.get(section, {})
    parser = configparser.RawConfigParser()
    parser.read([config["config"]])
    return dict(parser[section]) if parser.has_section(section) else {}


def withheld_on_payment(tax):
    """True if the tax takes its effect at payment; always False where the series has no such."""
    field = "is_withholding_tax_on_payment"
    return field in tax._fields and bool(tax[field])


def atc_taxes(env, company, atc, rate):
    """Purchase taxes of the company that stand for the ATC at `rate` percent, the best first.

    A chart may hold one ATC several times (goods and services, an exempted twin with 0 %): only
    those whose amount is minus the rate count, and those in use come first.
    """
    taxes = (
        env["account.tax"]
        .with_context(active_test=False)
        .search(
            [
                *env["account.tax"]._check_company_domain(company),
                ("type_tax_use", "=", "purchase"),
                ("l10n_ph_atc", "=", atc),
                ("amount_type", "=", "percent"),
            ]
        )
    )
    matching = taxes.filtered(lambda tax: abs(tax.amount + float(rate)) < 0.00005 and tax.active)
    return matching.sorted(lambda tax: (tax.sequence, tax.id))


def tax_effect(taxes):
    """When the withholding of these taxes reaches the books: 'bill', 'payment' or None."""
    withholding = taxes.filtered("l10n_ph_atc")
    if not withholding:
        return None
    return "payment" if all(withheld_on_payment(tax) for tax in withholding) else "bill"


def vat_status_of_taxes(taxes):
    """vat_registered, zero_rated or exempt as the VAT taxes of a bill line say; else None."""
    for tax in taxes.flatten_taxes_hierarchy():
        if tax.l10n_ph_atc:
            continue
        if tax.amount > 0:
            return "vat_registered"
        tags = tax.invoice_repartition_line_ids.tag_ids
        names = {name.strip("+-") for name in tags.mapped("name")}
        if names & _EXEMPT_TAGS:
            return "exempt"
        if names & _ZERO_RATED_TAGS:
            return "zero_rated"
    return None


def expense_document(env):
    """Name of the model that is submitted and approved when an employee claims expenses."""
    return "hr.expense.sheet" if "hr.expense.sheet" in env else "hr.expense"


def expense_bill(expense):
    """The journal entry that came out of an expense (an empty recordset before posting)."""
    if "sheet_id" in expense._fields:
        return expense.sheet_id.account_move_ids
    return expense.account_move_id
