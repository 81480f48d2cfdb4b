import os
import random
import unittest
from collections import Counter

from odoo import release
from odoo.tests import TransactionCase, tagged
from odoo.tools import SQL

from ..lib import client as lib_client
from ..lib import sql
from ..lib.domain_sql import Field, order_by, where
from .common import HOST, TOKEN, needs_workspace
from .domain_cases import COLUMNS, OPERATORS, Cases

MODEL = "x_lakehouse_probe"
SCHEMA = f"domain_probe_{os.getpid()}"
ROWS = 160
REPEATS = 100
BATCH = 200  # conditions in one statement
NESTED = 400
# since 18.0 an empty number is 0 and an empty text is '': "x < 5" finds rows without x as well
meaning_of_17 = unittest.skipIf(
    release.version_info[0] > 17, "the compiler has the meaning of 17.0, which is the specification"
)
NAMES = ["id", *COLUMNS]
FIELDS = {name: Field(name, kind) for name, (kind, __, __) in COLUMNS.items()}
TTYPES = {"text": "char", "decimal(18,2)": "float"}


@tagged("post_install", "-at_install")
@needs_workspace
class TestDomainSql(TransactionCase):
    """The same domain on the same rows: ids that Odoo finds beside those of the warehouse."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.seed = int(os.environ.get("DOMAIN_SEED", 20251))
        cls.cases = Cases(random.Random(cls.seed))
        cls.table = f"main.{SCHEMA}.probe"
        cls.client = lib_client.connect(
            os.environ[HOST], "pat", token=os.environ[TOKEN], allow_plain_http=True
        )
        rows = cls.cases.rows(ROWS)
        cls._fill_odoo(rows)
        cls._fill_warehouse(rows)

    @classmethod
    def _fill_odoo(cls, rows):
        """A manual model over a plain table that has columns of the types of a snapshot."""
        cr = cls.env.cr
        cls.env["ir.model"].create(
            {
                "name": "Domain probe",
                "model": MODEL,
                "field_id": [
                    (
                        0,
                        0,
                        {"name": name, "ttype": TTYPES.get(kind, kind), "field_description": name},
                    )
                    for name, (kind, __, __) in COLUMNS.items()
                ],
            }
        )
        cls.model = cls.env[MODEL]
        for name, (__, kind, __) in COLUMNS.items():
            cr.execute(
                SQL(
                    "ALTER TABLE %s ALTER COLUMN %s TYPE %s USING NULL",
                    SQL.identifier(MODEL),
                    SQL.identifier(name),
                    SQL(kind),
                )
            )
        columns = SQL(", ").join(map(SQL.identifier, NAMES))
        for row in rows:
            cr.execute(SQL("INSERT INTO %s (%s) VALUES %s", SQL.identifier(MODEL), columns, row))

    @classmethod
    def _fill_warehouse(cls, rows):
        cls._run(f"CREATE SCHEMA IF NOT EXISTS main.{SCHEMA}")
        cls.addClassCleanup(cls._run, f"DROP SCHEMA main.{SCHEMA} CASCADE")
        cls.addClassCleanup(cls._run, f"DROP TABLE IF EXISTS {cls.table}")
        types = ["BIGINT", *(kind for __, __, kind in COLUMNS.values())]
        columns = ", ".join(f"{name} {kind}" for name, kind in zip(NAMES, types))  # noqa: B905
        cls._run(f"CREATE TABLE {cls.table} ({columns})")
        for start in range(0, len(rows), 40):
            parameters, lines = {}, []
            for row in rows[start : start + 40]:
                markers = []
                for value, kind in zip(row, types):  # noqa: B905 (3.10 dialect)
                    name = f"v{len(parameters)}"
                    parameters[name] = sql.Typed(kind, value)
                    markers.append(f":{name}")
                lines.append(f"({', '.join(markers)})")
            cls._run(f"INSERT INTO {cls.table} VALUES {', '.join(lines)}", parameters)

    @classmethod
    def _run(cls, text, parameters=None, rows=ROWS):
        return sql.query(cls.client, "local", text, parameters, row_limit=rows, timeout=120)

    # -- both sides -----------------------------------------------------------------------------
    def odoo_ids(self, domain):
        return self.model.search(domain, order="id").ids

    def warehouse_ids(self, domains):
        """For each domain the ids for which its condition holds; one statement for all."""
        parameters, texts = {}, []
        for number, domain in enumerate(domains):
            condition = where(domain, FIELDS, prefix=f"c{number}_")
            parameters.update(condition.parameters)
            texts.append(f"{condition.text} AS c{number}")
        rows = self._run(f"SELECT id, {', '.join(texts)} FROM {self.table} ORDER BY id", parameters)
        self.assertEqual(len(rows), ROWS)
        return [[row["id"] for row in rows if row[f"c{n}"]] for n in range(len(domains))]

    # -- tests ----------------------------------------------------------------------------------
    @meaning_of_17
    def test_every_operator_type_null_and_negation(self):
        planned = [
            ((name, operator, empty, negated), self._single(name, operator, empty, negated))
            for name, operators in OPERATORS.items()
            for operator in operators
            for empty in (False, True)
            for negated in (False, True)
            for __ in range(REPEATS)
        ]
        cases, differences, examples, matched = Counter(), Counter(), [], Counter()
        for start in range(0, len(planned), BATCH):
            batch = planned[start : start + BATCH]
            for (cell, domain), remote in zip(  # noqa: B905 (3.10 dialect)
                batch, self.warehouse_ids([domain for __, domain in batch])
            ):
                local = self.odoo_ids(domain)
                cases[cell] += 1
                matched[cell[:2]] += 0 < len(local) < ROWS
                if local != remote:
                    differences[cell] += 1
                    examples.append((domain, sorted(set(local) ^ set(remote))[:5]))
        self._print_table(cases, differences)
        self.assertFalse(examples, f"seed {self.seed}: {examples[:20]}")
        self.assertGreaterEqual(min(cases.values()), REPEATS)
        # a comparison of empty results with empty results proves little
        self.assertTrue(all(matched[name, op] >= REPEATS / 10 for name, op, __, __ in cases))

    def _single(self, name, operator, empty, negated):
        leaf = self.cases.leaf(name, operator, empty)
        return ["!", leaf] if negated else [leaf]

    def _print_table(self, cases, differences):
        lines = [f"Domains in Odoo and in the warehouse (seed {self.seed}, {ROWS} rows):"]
        lines.append("cases/differences".ljust(18) + "".join(n[2:].rjust(12) for n in COLUMNS))
        operators = list(dict.fromkeys(op for ops in OPERATORS.values() for op in ops))
        for operator in operators:
            cells = []
            for name in COLUMNS:
                mine = [cell for cell in cases if cell[:2] == (name, operator)]
                total = sum(cases[cell] for cell in mine)
                wrong = sum(differences[cell] for cell in mine)
                cells.append((f"{total}/{wrong}" if mine else "refused").rjust(12))
            lines.append(operator.ljust(18) + "".join(cells))
        total, wrong = sum(cases.values()), sum(differences.values())
        lines.append(f"{total} cases (value and NULL, plain and negated), {wrong} differences")
        print("\n" + "\n".join(lines))  # pylint: disable=print-used

    @meaning_of_17
    def test_nested_domains_in_a_where_clause(self):
        domains = [self.cases.domain(3) for __ in range(NESTED)]
        found, examples = {}, []
        for start in range(0, NESTED, 20):
            parameters, texts = {}, []
            for number in range(start, start + 20):
                condition = where(domains[number], FIELDS, prefix=f"c{number}_")
                parameters.update(condition.parameters)
                texts.append(f"SELECT {number} AS c, id FROM {self.table} WHERE {condition.text}")
            for row in self._run(" UNION ALL ".join(texts), parameters, rows=20 * ROWS):
                found.setdefault(row["c"], []).append(row["id"])
        some = 0
        for number, domain in enumerate(domains):
            local, remote = self.odoo_ids(domain), sorted(found.get(number, []))
            some += 0 < len(local) < ROWS
            if local != remote:
                examples.append((domain, sorted(set(local) ^ set(remote))[:5]))
        self.assertFalse(examples, f"seed {self.seed}: {examples[:10]}")
        self.assertGreater(some, NESTED / 2)

    def test_order_is_that_of_postgresql(self):
        orders = [f"{name} {way}" for name in COLUMNS for way in ("asc", "desc")]
        # the embedded engine puts -0.0 before 0.0; Databricks and PostgreSQL take them as equal
        where_clause = "WHERE x_float IS NULL OR x_float <> 0"
        for order in [*orders, "x_flag desc, x_text", "x_date, x_money desc", "x_at nulls first"]:
            self.env.cr.execute(f"SELECT id FROM {MODEL} {where_clause} ORDER BY {order}, id")
            local = [row[0] for row in self.env.cr.fetchall()]
            ordered = order_by(order, FIELDS, "id")
            rows = self._run(f"SELECT id FROM {self.table} {where_clause} ORDER BY {ordered}")
            self.assertEqual([row["id"] for row in rows], local, order)
