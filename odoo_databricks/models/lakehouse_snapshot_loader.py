"""Bring the rows of a lakehouse table into a PostgreSQL table that Odoo reads, without a gap.

The table is upserted by key and row hash and never truncated: TRUNCATE is not MVCC-safe, so a
reader with an older snapshot would see no rows at all. Ids stay with their key, so that favourites,
exports and many2one values keep their meaning. UPDATE and INSERT are separate statements because
``ON CONFLICT DO UPDATE`` takes a number from the sequence for each row it looks at: an hourly
refresh of a million rows would use up the 32-bit ids within months.
"""

import io
from typing import NamedTuple

from odoo.tools import SQL

STAGE = "lakehouse_stage"
RESOLVED = "lakehouse_stage_resolved"
TINS = "lakehouse_stage_tins"
PARTNERS = "lakehouse_stage_partners"
TWICE = "lakehouse_stage_twice"
KEYS_LISTED = 20


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


class Counts(NamedTuple):
    read: int
    inserted: int
    updated: int
    deleted: int
    rejected: int
    rejects: list  # (reason code, company code, rows, first keys)
    source_updated_at: object  # naive UTC datetime or None


_ident = SQL.identifier


def _comma(parts):
    return SQL(", ").join(parts)


class SnapshotLoader:
    """Loads one snapshot table. `cr` must be inside the transaction that also records the run."""

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
        table = _ident(self.table)
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
                    _ident(name),
                    SQL(sql_type),
                )
            )
        indexed = ["company_id", *(["partner_id"] if self.tin else [])]
        for name in indexed + [column.name for column in self.values if column.index]:
            index = _ident(f"{self.table}_{name}_idx"[:63])
            self.cr.execute(
                SQL("CREATE INDEX IF NOT EXISTS %s ON %s (%s)", index, table, _ident(name))
            )

    def create_view(self, view):
        """(Re)create the SQL view that the model reads; writing through it raises."""
        self.cr.execute(SQL("DROP VIEW IF EXISTS %s", _ident(view)))
        columns = _comma(map(_ident, self.local_columns))
        self.cr.execute(
            SQL(
                "CREATE VIEW %s AS SELECT id, %s FROM %s", _ident(view), columns, _ident(self.table)
            )
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
                _ident(view),
            )
        )

    # -- load -----------------------------------------------------------------------------------
    def load(self, batches):
        """Stage, resolve and apply; nothing of the table changes if any step raises.

        :param batches: iterable of pyarrow.RecordBatch with (at least) the declared columns
        :rtype: Counts
        """
        # the joins below hash as many keys as the table has rows
        self.cr.execute("SET LOCAL work_mem = '64MB'")
        read = self._stage(batches)
        self._resolve()
        inserted, updated, deleted = self._apply()
        rejects = self._rejects()
        counts = Counts(
            read, inserted, updated, deleted, sum(r[2] for r in rejects), rejects, self._newest()
        )
        self._drop_temporary()
        return counts

    def _drop_temporary(self):
        for name in (STAGE, RESOLVED, TINS, PARTNERS, TWICE):
            self.cr.execute(SQL("DROP TABLE IF EXISTS pg_temp.%s", _ident(name)))

    def _stage(self, batches):
        from pyarrow import csv

        self._drop_temporary()
        names = [column.name for column in self.columns]
        columns = _comma(
            SQL("%s %s", _ident(column.name), SQL(column.sql_type)) for column in self.columns
        )
        self.cr.execute(
            SQL(
                "CREATE TEMP TABLE %s (%s, lakehouse_seq bigserial) ON COMMIT DROP",
                _ident(STAGE),
                columns,
            )
        )
        copy = SQL("COPY %s (%s) FROM STDIN", _ident(STAGE), _comma(map(_ident, names))).code
        options = csv.WriteOptions(include_header=False)
        read = 0
        for batch in batches:
            if not batch.num_rows:
                continue
            buffer = io.BytesIO()
            # strings are quoted and NULL is not, which is how PostgreSQL tells '' from NULL
            csv.write_csv(self._plain(batch, names), buffer, options)
            buffer.seek(0)
            self.cr.copy_expert(f"{copy} WITH (FORMAT csv)", buffer)
            read += batch.num_rows
        self.cr.execute(SQL("ANALYZE %s", _ident(STAGE)))
        return read

    @staticmethod
    def _plain(batch, names):
        """The declared columns in order; timestamps as naive UTC, which is what Odoo stores."""
        import pyarrow as pa

        missing = [name for name in names if name not in batch.schema.names]
        if missing:
            raise ValueError("The table has no column " + ", ".join(missing))
        arrays = []
        for name in names:
            array = batch.column(batch.schema.get_field_index(name))
            if pa.types.is_timestamp(array.type):
                array = array.cast(pa.timestamp("us"))
            elif pa.types.is_decimal(array.type):
                array = array.cast(pa.string())
            arrays.append(array)
        return pa.record_batch(arrays, names=names)

    def _resolve(self):
        """Codes become ids, each row gets its hash or the reason why it is not shown."""
        key, company = _ident("s", self.key), _ident("s", self.company)
        joins = [
            SQL("LEFT JOIN res_company c ON upper(c.lakehouse_company_code) = upper(%s)", company),
            SQL("LEFT JOIN %s t ON t.remote_key = %s", _ident(self.table), key),
            self._twice_join(key),
        ]
        found = [SQL("c.id AS company_id")]
        hashed = [SQL("c.id")]
        # in the order in which a row is judged
        reasons = [
            SQL("WHEN coalesce(%s, '') = '' THEN 'no_key'", key),
            SQL("WHEN s.lakehouse_seq > d.first_seq THEN 'duplicate_key'"),
            SQL("WHEN c.id IS NULL THEN 'no_company'"),
        ]
        if self.currency:
            currency = _ident("s", self.currency.name)
            joins.append(SQL("LEFT JOIN res_currency cu ON cu.name = upper(%s)", currency))
            found.append(SQL("cu.id AS currency_id"))
            hashed.append(SQL("cu.id"))
            reasons.append(SQL("WHEN cu.id IS NULL THEN 'no_currency'"))
        if self.tin:
            joins.append(self._partner_join())
            found.append(SQL("p.id AS partner_id"))
            hashed.append(SQL("p.id"))
        for column in self.values:
            value = _ident("s", column.name)
            hashed.append(value)
            if column.sql_type.startswith(("numeric", "double")):
                reasons.append(SQL("WHEN %s = 'NaN' THEN 'not_a_number'", value))
        self.cr.execute(
            SQL(
                """CREATE TEMP TABLE %s ON COMMIT DROP AS
                   SELECT s.*, %s, CASE %s END AS lakehouse_reject,
                          md5(ROW(%s)::text) AS row_hash,
                          t.id AS lakehouse_id, t.row_hash AS lakehouse_old_hash
                   FROM %s s %s""",
                _ident(RESOLVED),
                _comma(found),
                SQL(" ").join(reasons),
                _comma(hashed),
                _ident(STAGE),
                SQL(" ").join(joins),
            )
        )
        self.cr.execute(SQL("ANALYZE %s", _ident(RESOLVED)))

    def _twice_join(self, key):
        """Join the keys that occur more than once, of which the first row counts."""
        self.cr.execute(
            SQL(
                """CREATE TEMP TABLE %s ON COMMIT DROP AS
                   SELECT %s AS twice, min(lakehouse_seq) AS first_seq FROM %s s
                   GROUP BY 1 HAVING count(*) > 1""",
                _ident(TWICE),
                key,
                _ident(STAGE),
            )
        )
        return SQL("LEFT JOIN %s d ON d.twice = %s", _ident(TWICE), key)

    def _partner_join(self):
        """Join the partner that has the row's TIN: same branch first, else the head office.

        A TIN is nine digits and a branch of three to five (none = head office). Only partners that
        the row's company may use count.
        """
        tins = _ident(TINS)
        self.cr.execute(
            SQL(
                """CREATE TEMP TABLE %s ON COMMIT DROP AS
                   SELECT id, company_id, parent_id, left(d, 9) AS tin,
                          lpad(substr(d, 10), 5, '0') AS branch
                   FROM (SELECT id, company_id, parent_id,
                                regexp_replace(vat, '[^0-9]', '', 'g') AS d
                         FROM res_partner WHERE active AND vat IS NOT NULL) v
                   WHERE length(d) = 9 OR length(d) BETWEEN 12 AND 14""",
                tins,
            )
        )
        self.cr.execute(SQL("CREATE INDEX ON %s (tin)", tins))
        self.cr.execute(SQL("ANALYZE %s", tins))
        # each pair of TIN and company is looked up once, however many rows have it
        self.cr.execute(
            SQL(
                """CREATE TEMP TABLE %(partners)s ON COMMIT DROP AS
                   SELECT v.text, v.code, p.id
                   FROM (SELECT DISTINCT %(tin)s AS text, %(code)s AS code,
                                regexp_replace(%(tin)s, '[^0-9]', '', 'g') AS d
                         FROM %(stage)s WHERE %(tin)s IS NOT NULL) v
                   JOIN res_company c ON upper(c.lakehouse_company_code) = upper(v.code)
                   CROSS JOIN LATERAL (
                       SELECT t.id FROM %(tins)s t
                       WHERE t.tin = left(v.d, 9)
                         AND (t.company_id IS NULL OR t.company_id = c.id)
                         AND t.branch IN (lpad(substr(v.d, 10), 5, '0'), '00000')
                       ORDER BY t.branch = lpad(substr(v.d, 10), 5, '0') DESC,
                                t.company_id IS NULL, t.parent_id IS NOT NULL, t.id
                       LIMIT 1
                   ) p""",
                partners=_ident(PARTNERS),
                tin=_ident(self.tin.name),
                code=_ident(self.company),
                stage=_ident(STAGE),
                tins=tins,
            )
        )
        return SQL(
            "LEFT JOIN %s p ON p.text = %s AND p.code = %s",
            _ident(PARTNERS),
            _ident("s", self.tin.name),
            _ident("s", self.company),
        )

    def _apply(self):
        """Returns the numbers of rows inserted, updated and deleted."""
        table, resolved, key = _ident(self.table), _ident(RESOLVED), _ident("r", self.key)
        names = [name for name in self.local_columns if name != "remote_key"] + ["row_hash"]
        self.cr.execute(
            SQL(
                """UPDATE %s t SET %s FROM %s r
                   WHERE r.lakehouse_reject IS NULL AND t.id = r.lakehouse_id
                     AND r.row_hash <> r.lakehouse_old_hash""",
                table,
                _comma(SQL("%s = %s", _ident(name), _ident("r", name)) for name in names),
                resolved,
            )
        )
        updated = self.cr.rowcount
        # before the new rows come, whose ids are not in the resolved table
        self.cr.execute(
            SQL(
                """DELETE FROM %s t WHERE NOT EXISTS (
                       SELECT 1 FROM %s r WHERE r.lakehouse_reject IS NULL AND r.lakehouse_id = t.id
                   )""",
                table,
                resolved,
            )
        )
        deleted = self.cr.rowcount
        self.cr.execute(
            SQL(
                """INSERT INTO %s (remote_key, %s) SELECT %s, %s FROM %s r
                   WHERE r.lakehouse_reject IS NULL AND r.lakehouse_id IS NULL""",
                table,
                _comma(map(_ident, names)),
                key,
                _comma(_ident("r", name) for name in names),
                resolved,
            )
        )
        return self.cr.rowcount, updated, deleted

    def _rejects(self):
        key, company = _ident(self.key), _ident(self.company)
        self.cr.execute(
            SQL(
                """SELECT lakehouse_reject, %s, count(*), (array_agg(%s ORDER BY %s))[1:%s]
                   FROM %s WHERE lakehouse_reject IS NOT NULL
                   GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2""",
                company,
                key,
                key,
                KEYS_LISTED,
                _ident(RESOLVED),
            )
        )
        return self.cr.fetchall()

    def _newest(self):
        if not self.updated:
            return None
        updated = _ident(self.updated.name)
        self.cr.execute(SQL("SELECT max(%s) FROM %s", updated, _ident(RESOLVED)))
        return self.cr.fetchone()[0]
