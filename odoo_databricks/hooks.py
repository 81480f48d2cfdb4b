from odoo.tools import SQL


def uninstall_hook(env):
    """Take back what views made that Odoo does not know: models people published, copied rows."""
    views = env["lakehouse.view"].with_context(active_test=False)
    for view in views.search([("publication", "=", "published")]):
        view._unpublish()
    for model in env.registry.values():
        if getattr(model, "_snapshot_columns", None) and not model._abstract:
            table = env[model._name]._snapshot_table
            env.cr.execute(SQL("DROP VIEW IF EXISTS %s", SQL.identifier(model._table)))
            env.cr.execute(SQL("DROP TABLE IF EXISTS %s", SQL.identifier(table)))
    env.cr.execute("DROP FUNCTION IF EXISTS lakehouse_read_only()")
