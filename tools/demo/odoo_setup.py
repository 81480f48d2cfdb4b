"""What the demo's administrator sets up in Odoo; read by `odoo shell` from standard input.

`env` is the shell's; ODOO_SETUP names a JSON file: password, companies, bills, workspace, jobs.
May be run again: what is there is found by its code, TIN or reference, and left as it is.
"""
# ruff: noqa: F821

import json
import os

with open(os.environ["ODOO_SETUP"]) as source:
    SETUP = json.load(source)


def philippine(company):
    """Give a company the Philippine chart of accounts; on 17.0 the first one has it already."""
    if company.chart_template != "ph":
        company.country_id = env.ref("base.ph")
        env["account.chart.template"].try_loading("ph", company, install_demo=False)


def companies():
    found = {}
    for position, wanted in enumerate(SETUP["companies"]):
        company = env["res.company"].search(
            [("lakehouse_company_code", "=", wanted["code"])], limit=1
        )
        if not company:
            values = {
                "name": wanted["name"],
                "lakehouse_company_code": wanted["code"],
                "bir_payor_kind": wanted["payor_kind"],
                "country_id": env.ref("base.ph").id,
            }
            company = env.ref("base.main_company") if position == 0 else env["res.company"]
            if company:
                company.write(values)
            else:
                company = company.create(values)
        philippine(company)
        found[wanted["code"]] = company
    return found


def partner_of(bill):
    tin = bill["vendor_tin"]
    domain = [("vat", "=", tin)] if tin else [("name", "=", bill["vendor_name"])]
    partner = env["res.partner"].search(domain, limit=1)
    return partner or env["res.partner"].create(
        {
            "name": bill["vendor_name"],
            "vat": tin,
            "is_company": bill["payee_kind"] == "corporate",
            "bir_vat_status": bill["vat_status"],
            "country_id": env.ref("base.ph").id,
            "supplier_rank": 1,
        }
    )


def vat_tax(company, vat_status):
    """The chart's 12 % input VAT, or none for a supplier who charges no VAT."""
    if vat_status != "vat_registered":
        return env["account.tax"]
    return env["account.tax"].search(
        [
            *env["account.tax"]._check_company_domain(company),
            ("type_tax_use", "=", "purchase"),
            ("amount_type", "=", "percent"),
            ("amount", "=", 12),
            ("price_include", "=", False),
        ],
        limit=1,
    )


def bill_of(company, bill):
    moves = env["account.move"].with_company(company)
    partner = partner_of(bill)
    known = [
        ("company_id", "=", company.id),
        ("ref", "=", bill["document_no"]),
        ("partner_id", "=", partner.id),
    ]
    if moves.search_count(known):
        return
    lines = [
        (
            0,
            0,
            {
                "name": line["description"],
                "price_unit": float(line["amount_net"]),
                "tax_ids": [(6, 0, vat_tax(company, line["vat_status"]).ids)],
            },
        )
        for line in bill["lines"]
    ]
    moves.create(
        {
            "move_type": "in_invoice",
            "partner_id": partner.id,
            "ref": bill["document_no"],
            "invoice_date": bill["document_date"],
            "date": bill["document_date"],
            "invoice_line_ids": lines,
        }
    )


def workspace_of():
    wanted = SETUP["workspace"]
    workspace = env["databricks.workspace"].search([("host", "=", wanted["host"])], limit=1)
    values = {
        "name": "Embedded workspace",
        "environment": "dev",
        "host": wanted["host"],
        "warehouse_id": wanted["warehouse_id"],
        "auth_type": "pat",
        "token": wanted["token"],
    }
    if not workspace:
        workspace = env["databricks.workspace"].search([("name", "=", values["name"])], limit=1)
    if workspace:
        workspace.write(values)
    else:
        workspace = workspace.create(values)
    return workspace


by_code = companies()
admin = env.ref("base.user_admin")
admin.password = SETUP["password"]
admin.company_ids = [(4, company.id) for company in by_code.values()]
admin.company_id = next(iter(by_code.values()))
admin.tz = "Asia/Manila"
for bill in SETUP["bills"]:
    bill_of(by_code[bill["company_code"]], bill)
workspace = workspace_of()
env["lakehouse.view"].search([("workspace_id", "=", False)]).workspace_id = workspace
pipeline = env["databricks.pipeline"].search([("job_name", "=", SETUP["job_name"])], limit=1)
if not pipeline:
    env["databricks.pipeline"].create(
        {"name": "Month-end ETL", "workspace_id": workspace.id, "job_name": SETUP["job_name"]}
    )
env.cr.commit()
