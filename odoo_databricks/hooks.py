from odoo.tools import SQL


def uninstall_hook(env):
    """Drop the copied rows: Odoo knows the SQL views, the tables under them are ours."""
    for model in env.registry.values():
        if getattr(model, "_snapshot_columns", None) and not model._abstract:
            table = env[model._name]._snapshot_table
            env.cr.execute(SQL("DROP VIEW IF EXISTS %s", SQL.identifier(model._table)))
            env.cr.execute(SQL("DROP TABLE IF EXISTS %s", SQL.identifier(table)))
    env.cr.execute("DROP FUNCTION IF EXISTS lakehouse_read_only()")
