from odoo import fields, models

from .lakehouse_snapshot_loader import Column


class LakehouseVendorSpendMonthly(models.Model):
    _name = "lakehouse.vendor.spend.monthly"
    _inherit = "lakehouse.snapshot.mixin"
    _description = "Vendor spend by month"
    _auto = False
    _order = "month desc, amount_gross desc, id"
    _rec_name = "vendor_name"

    _snapshot_columns = (
        Column("row_key", "varchar", "key"),
        Column("company_code", "varchar", "company"),
        Column("currency", "varchar", "currency"),
        Column("month", "date", index=True),
        Column("vendor_key", "varchar"),
        Column("vendor_name", "varchar"),
        Column("vendor_tin", "varchar", "partner_tin"),
        Column("bill_count", "bigint"),
        Column("line_count", "bigint"),
        Column("amount_net", "numeric(18,2)"),
        Column("amount_vat", "numeric(18,2)"),
        Column("amount_gross", "numeric(18,2)"),
        Column("ewt_amount", "numeric(18,2)"),
        Column("last_document_date", "date"),
        Column("updated_at", "timestamp", "updated"),
    )

    month = fields.Date(readonly=True, help="First day of the month of the documents (Manila).")
    partner_id = fields.Many2one(
        "res.partner", readonly=True, help="The contact with the vendor's TIN, if any."
    )
    currency_id = fields.Many2one("res.currency", readonly=True)
    vendor_key = fields.Char(readonly=True)
    vendor_name = fields.Char("Vendor", readonly=True)
    vendor_tin = fields.Char("TIN", readonly=True)
    bill_count = fields.Integer("Documents", readonly=True, group_operator="sum")
    line_count = fields.Integer("Lines", readonly=True, group_operator="sum")
    amount_net = fields.Monetary("Net amount", readonly=True, group_operator="sum")
    amount_vat = fields.Monetary("VAT", readonly=True, group_operator="sum")
    amount_gross = fields.Monetary("Gross amount", readonly=True, group_operator="sum")
    ewt_amount = fields.Monetary(
        "Expanded withholding",
        readonly=True,
        group_operator="sum",
        help="By the rules, not booked.",
    )
    last_document_date = fields.Date("Last document", readonly=True, group_operator="max")
