{
    "name": "Odoo Databricks",
    "summary": "Lakehouse views, pipelines and reviewed BIR tax proposals for Philippine finance",
    "version": "17.0.1.0.0",
    "license": "LGPL-3",
    "author": "odoo_databricks maintainers",
    "website": "https://github.com/odoo-databricks/odoo_databricks",
    "category": "Accounting/Accounting",
    "depends": ["mail", "account", "l10n_ph", "hr_expense"],
    "external_dependencies": {"python": ["databricks-sdk", "pyarrow", "cryptography"]},
    "data": [
        "security/lakehouse_groups.xml",
        "security/bir_groups.xml",
        "security/ir.model.access.csv",
        "security/bir_prediction_security.xml",
        "views/odoo_databricks_menus.xml",
        "views/bir_account_move_views.xml",
        "views/bir_prediction_views.xml",
        "views/bir_partner_company_views.xml",
        "views/bir_menus.xml",
        "wizard/bir_autofill_wizard_views.xml",
        "wizard/bir_reopen_wizard_views.xml",
    ],
    "assets": {
        "web.assets_backend": [
            "odoo_databricks/static/src/bir/*",
        ],
    },
}
