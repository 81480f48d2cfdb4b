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

from .lakehouse_snapshot_table import Column, SnapshotTable, comma, ident

__all__ = ["BigDrop", "Column", "Counts", "SnapshotLoader"]

STAGE = "lakehouse_stage"
RESOLVED = "lakehouse_stage_resolved"
TINS = "lakehouse_stage_tins"
PARTNERS = "lakehouse_stage_partners"
TWICE = "lakehouse_stage_twice"
KEYS_LISTED = 20
# in a table with fewer rows any share may go
GUARDED_ROWS = 20


class BigDrop(Exception):
    """So many rows would go that the source is more likely to be broken than to have shrunk."""

    def __init__(self, before, after):
        super().__init__(f"{after} rows instead of {before}")
        self.before, self.after = before, after


class Counts(NamedTuple):
    read: int
    inserted: int
    updated: int
    deleted: int
    rejected: int
    rejects: list  # (reason code, company code, rows, first keys)
    source_updated_at: object  # naive UTC datetime or None
    total: int  # rows that are shown now


class SnapshotLoader(SnapshotTable):
    """Loads one snapshot table. `cr` must be inside the transaction that also records the run."""

    def load(self, batches, *, complete=True, max_drop=None):
        """Stage, resolve and apply; nothing of the table changes if any step raises.

        :param batches: iterable of pyarrow.RecordBatch with (at least) the declared columns
        :param complete: the batches hold the whole table, so that rows which are not among them
            are gone; False: they hold what changed, and other rows stay
        :param max_drop: percentage of the rows that may go in a complete load; None: all
        :rtype: Counts
        Raises BigDrop if more rows would go than that.
        """
        # the joins below hash as many keys as the table has rows
        self.cr.execute("SET LOCAL work_mem = '64MB'")
        read = self._stage(batches)
        self._resolve()
        if complete and max_drop is not None:
            self._guard_drop(max_drop)
        inserted, updated, deleted = self._apply(complete)
        rejects = self._rejects()
        counts = Counts(
            read,
            inserted,
            updated,
            deleted,
            sum(r[2] for r in rejects),
            rejects,
            self._newest(),
            self._total(),
        )
        self._drop_temporary()
        return counts

    def _drop_temporary(self):
        for name in (STAGE, RESOLVED, TINS, PARTNERS, TWICE):
            self.cr.execute(SQL("DROP TABLE IF EXISTS pg_temp.%s", ident(name)))

    def _stage(self, batches):
        from pyarrow import csv

        self._drop_temporary()
        names = [column.name for column in self.columns]
        columns = comma(
            SQL("%s %s", ident(column.name), SQL(column.sql_type)) for column in self.columns
        )
        self.cr.execute(
            SQL(
                "CREATE TEMP TABLE %s (%s, lakehouse_seq bigserial) ON COMMIT DROP",
                ident(STAGE),
                columns,
            )
        )
        copy = SQL("COPY %s (%s) FROM STDIN", ident(STAGE), comma(map(ident, names))).code
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
        self.cr.execute(SQL("ANALYZE %s", ident(STAGE)))
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
        key, company = ident("s", self.key), ident("s", self.company)
        joins = [
            SQL("LEFT JOIN res_company c ON upper(c.lakehouse_company_code) = upper(%s)", company),
            SQL("LEFT JOIN %s t ON t.remote_key = %s", ident(self.table), key),
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
            currency = ident("s", self.currency.name)
            joins.append(SQL("LEFT JOIN res_currency cu ON cu.name = upper(%s)", currency))
            found.append(SQL("cu.id AS currency_id"))
            hashed.append(SQL("cu.id"))
            reasons.append(SQL("WHEN cu.id IS NULL THEN 'no_currency'"))
        if self.tin:
            joins.append(self._partner_join())
            found.append(SQL("p.id AS partner_id"))
            hashed.append(SQL("p.id"))
        for column in self.values:
            value = ident("s", column.name)
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
                ident(RESOLVED),
                comma(found),
                SQL(" ").join(reasons),
                comma(hashed),
                ident(STAGE),
                SQL(" ").join(joins),
            )
        )
        self.cr.execute(SQL("ANALYZE %s", ident(RESOLVED)))

    def _twice_join(self, key):
        """Join the keys that occur more than once, of which the first row counts."""
        self.cr.execute(
            SQL(
                """CREATE TEMP TABLE %s ON COMMIT DROP AS
                   SELECT %s AS twice, min(lakehouse_seq) AS first_seq FROM %s s
                   GROUP BY 1 HAVING count(*) > 1""",
                ident(TWICE),
                key,
                ident(STAGE),
            )
        )
        return SQL("LEFT JOIN %s d ON d.twice = %s", ident(TWICE), key)

    def _partner_join(self):
        """Join the partner that has the row's TIN: same branch first, else the head office.

        A TIN is nine digits and a branch of three to five (none = head office). Only partners that
        the row's company may use count.
        """
        tins = ident(TINS)
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
                partners=ident(PARTNERS),
                tin=ident(self.tin.name),
                code=ident(self.company),
                stage=ident(STAGE),
                tins=tins,
            )
        )
        return SQL(
            "LEFT JOIN %s p ON p.text = %s AND p.code = %s",
            ident(PARTNERS),
            ident("s", self.tin.name),
            ident("s", self.company),
        )

    def _total(self):
        self.cr.execute(SQL("SELECT count(*) FROM %s", ident(self.table)))
        return self.cr.fetchone()[0]

    def _guard_drop(self, max_drop):
        before = self._total()
        self.cr.execute(
            SQL("SELECT count(*) FROM %s WHERE lakehouse_reject IS NULL", ident(RESOLVED))
        )
        after = self.cr.fetchone()[0]
        if before >= GUARDED_ROWS and (before - after) * 100 > before * max_drop:
            raise BigDrop(before, after)

    def _apply(self, complete):
        """Returns the numbers of rows inserted, updated and deleted."""
        table, resolved, key = ident(self.table), ident(RESOLVED), ident("r", self.key)
        names = [name for name in self.local_columns if name != "remote_key"] + ["row_hash"]
        self.cr.execute(
            SQL(
                """UPDATE %s t SET %s FROM %s r
                   WHERE r.lakehouse_reject IS NULL AND t.id = r.lakehouse_id
                     AND r.row_hash <> r.lakehouse_old_hash""",
                table,
                comma(SQL("%s = %s", ident(name), ident("r", name)) for name in names),
                resolved,
            )
        )
        updated = self.cr.rowcount
        # before the new rows come, whose ids are not in the resolved table
        gone = (
            SQL(
                """NOT EXISTS (
                    SELECT 1 FROM %s r WHERE r.lakehouse_reject IS NULL AND r.lakehouse_id = t.id
                )""",
                resolved,
            )
            if complete
            # a row that was shown and has lost its company or currency
            else SQL(
                """t.id IN (
                    SELECT r.lakehouse_id FROM %s r
                    WHERE r.lakehouse_reject IS NOT NULL AND r.lakehouse_reject <> 'duplicate_key'
                )""",
                resolved,
            )
        )
        self.cr.execute(SQL("DELETE FROM %s t WHERE %s", table, gone))
        deleted = self.cr.rowcount
        self.cr.execute(
            SQL(
                """INSERT INTO %s (remote_key, %s) SELECT %s, %s FROM %s r
                   WHERE r.lakehouse_reject IS NULL AND r.lakehouse_id IS NULL""",
                table,
                comma(map(ident, names)),
                key,
                comma(ident("r", name) for name in names),
                resolved,
            )
        )
        return self.cr.rowcount, updated, deleted

    def _rejects(self):
        key, company = ident(self.key), ident(self.company)
        self.cr.execute(
            SQL(
                """SELECT lakehouse_reject, %s, count(*), (array_agg(%s ORDER BY %s))[1:%s]
                   FROM %s WHERE lakehouse_reject IS NOT NULL
                   GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2""",
                company,
                key,
                key,
                KEYS_LISTED,
                ident(RESOLVED),
            )
        )
        return self.cr.fetchall()

    def _newest(self):
        if not self.updated:
            return None
        updated = ident(self.updated.name)
        self.cr.execute(SQL("SELECT max(%s) FROM %s", updated, ident(RESOLVED)))
        return self.cr.fetchone()[0]
