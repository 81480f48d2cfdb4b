"""Plain Python under the addon: nothing here imports Odoo, so it is tested without it."""
