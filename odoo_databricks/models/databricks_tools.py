"""What models that call a workspace share: where a transaction may end, how a row is claimed."""

import re
import threading

import psycopg2

from odoo import modules
from odoo.exceptions import AccessError
from odoo.tools import SQL

MANAGER = "odoo_databricks.group_lakehouse_manager"
# how a title or a sentence writes a time; "medium" differs between the series of Odoo
MOMENT = "d MMM yyyy HH:mm"


def in_test():
    """True inside a test that owns the transaction (both of Odoo's runners and pytest-odoo)."""
    return bool(modules.module.current_test) or getattr(
        threading.current_thread(), "testing", False
    )


def checkpoint(env):
    """Make what was written so far durable before (or after) a remote call.

    A remote call may take minutes: its row locks must be gone before it starts, and what it
    answered must not be lost if the next one fails. A test's transaction is left alone.
    """
    env.flush_all()
    if not in_test():
        env.cr.commit()  # pylint: disable=invalid-commit


def claim_one(records, where, order):
    """Lock one row of the model that nobody else holds, and return it (or an empty recordset).

    :param records: any recordset of the model; its ids narrow the search when there are any
    :param SQL where: condition on the model's own columns
    :param SQL order: order of preference

    Rows locked elsewhere are skipped, never waited for. The lock allows foreign keys to the row
    (FOR NO KEY UPDATE). Under REPEATABLE READ a row that changed since the snapshot cannot be
    locked at all: then somebody else has just handled it, and nothing is claimed.
    """
    records.flush_model()
    cr = records.env.cr
    narrowed = SQL("AND id IN %s", tuple(records.ids)) if records else SQL("")
    query = SQL(
        "SELECT id FROM %s WHERE %s %s ORDER BY %s LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED",
        SQL.identifier(records._table),
        where,
        narrowed,
        order,
    )
    try:
        with cr.savepoint(flush=False):
            cr.execute(query, log_exceptions=False)
            row = cr.fetchone()
    except psycopg2.errors.SerializationFailure:
        row = None
    claimed = records.browse(row[0] if row else [])
    # the row may be newer than what the cache knows
    claimed.invalidate_recordset()
    return claimed


def explain(error):
    """What happened and what to do, from a WorkspaceError."""
    text = str(error).rstrip(".")
    text = text[:1].upper() + text[1:]
    return f"{text}. {error.hint}" if error.hint else f"{text}."


def quote_table(text):
    """`catalog`.`schema`.`table` from catalog.schema.table. Raises ValueError for anything else."""
    parts = (text or "").split(".")
    if len(parts) != 3 or not all(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", part) for part in parts):
        raise ValueError(f"{text!r} is not catalog.schema.table")
    return ".".join(f"`{part}`" for part in parts)


def require_group(env, group, message):
    """Raise AccessError unless the user has the group or the code runs as the system."""
    if not env.su and not env.user.has_group(group):
        raise AccessError(message)
