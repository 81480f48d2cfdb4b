"""The table that holds the copied rows of a lakehouse table, and the SQL view over it."""

from typing import NamedTuple

from odoo.tools import SQL

ident = SQL.identifier


def comma(parts):
    return SQL(", ").join(parts)


class Column(NamedTuple):
    """One column of the remote table.

    role: ``key`` (grain, unique), ``company`` (res.company code), ``currency`` (ISO code),
    ``partner_tin`` (Philippine TIN; kept as text too), ``updated`` (when the source wrote the row;
    only its maximum is kept) or ``value``.
    """

    name: str
    sql_type: str
    role: str = "value"
    index: bool = False


class SnapshotTable:
    """Columns, indexes and the read-only SQL view of one snapshot."""

    def __init__(self, cr, table, columns):
        self.cr = cr
        self.table = table
        self.columns = tuple(columns)
        roles = [column.role for column in self.columns]
        if roles.count("key") != 1 or roles.count("company") != 1:
            raise ValueError("A snapshot needs exactly one key column and one company column")
        self.key = self._by_role("key").name
        self.company = self._by_role("company").name
        self.currency = self._by_role("currency")
        self.tin = self._by_role("partner_tin")
        self.updated = self._by_role("updated")
        self.values = [c for c in self.columns if c.role in ("value", "partner_tin")]

    def _by_role(self, role):
        return next((column for column in self.columns if column.role == role), None)

    @property
    def local_columns(self):
        """Columns of the snapshot table beside id and row_hash, in the order of the SQL view."""
        names = ["remote_key", "company_id"]
        names += ["currency_id"] if self.currency else []
        names += ["partner_id"] if self.tin else []
        return names + [column.name for column in self.values]

    # -- schema ---------------------------------------------------------------------------------
    def create_table(self):
        """Create the table, or add the columns that a newer version of the addon declares."""
        table = ident(self.table)
        self.cr.execute(
            SQL(
                """CREATE TABLE IF NOT EXISTS %s (
                    id serial PRIMARY KEY,
                    remote_key varchar NOT NULL UNIQUE,
                    row_hash varchar NOT NULL,
                    company_id integer NOT NULL REFERENCES res_company ON DELETE CASCADE
                )""",
                table,
            )
        )
        added = []
        if self.currency:
            added.append(("currency_id", "integer REFERENCES res_currency ON DELETE SET NULL"))
        if self.tin:
            # a partner may be deleted: the row stays, with the vendor's name as text
            added.append(("partner_id", "integer REFERENCES res_partner ON DELETE SET NULL"))
        added += [(column.name, column.sql_type) for column in self.values]
        for name, sql_type in added:
            self.cr.execute(
                SQL(
                    "ALTER TABLE %s ADD COLUMN IF NOT EXISTS %s %s",
                    table,
                    ident(name),
                    SQL(sql_type),
                )
            )
        indexed = ["company_id", *(["partner_id"] if self.tin else [])]
        for name in indexed + [column.name for column in self.values if column.index]:
            index = ident(f"{self.table}_{name}_idx"[:63])
            self.cr.execute(
                SQL("CREATE INDEX IF NOT EXISTS %s ON %s (%s)", index, table, ident(name))
            )

    def create_view(self, view):
        """(Re)create the SQL view that the model reads; writing through it raises."""
        self.cr.execute(SQL("DROP VIEW IF EXISTS %s", ident(view)))
        columns = comma(map(ident, self.local_columns))
        self.cr.execute(
            SQL("CREATE VIEW %s AS SELECT id, %s FROM %s", ident(view), columns, ident(self.table))
        )
        self.cr.execute(
            """CREATE OR REPLACE FUNCTION lakehouse_read_only() RETURNS trigger
               LANGUAGE plpgsql AS $$
               BEGIN
                   RAISE EXCEPTION '% shows rows of the lakehouse and cannot be written',
                       TG_TABLE_NAME USING ERRCODE = 'read_only_sql_transaction';
               END $$"""
        )
        self.cr.execute(
            SQL(
                """CREATE TRIGGER lakehouse_read_only INSTEAD OF INSERT OR UPDATE OR DELETE ON %s
                   FOR EACH ROW EXECUTE FUNCTION lakehouse_read_only()""",
                ident(view),
            )
        )
