"""Usage records: rows for each statement, run, update and invocation, in the store first.

A row is written when the work ends; ``system.billing.usage`` is made from the rows. They are kept
for a while so that a record can be corrected.
"""

from __future__ import annotations

import json
import sqlite3
import uuid

from ..errors import bad_request, not_found
from ..store import Store, now_ms
from .rates import PRODUCTS, Rates, by_hour

SCHEMA = """
CREATE TABLE IF NOT EXISTS usage_records (
    number INTEGER PRIMARY KEY AUTOINCREMENT, record_id TEXT NOT NULL UNIQUE,
    record_type TEXT NOT NULL, product TEXT NOT NULL, sku_name TEXT NOT NULL,
    start_ms INTEGER NOT NULL, end_ms INTEGER NOT NULL, quantity TEXT NOT NULL,
    metadata TEXT NOT NULL, identity TEXT NOT NULL, recorded_ms INTEGER NOT NULL,
    corrects TEXT);
"""
LONGEST_MS = 366 * 24 * 3_600_000


class Meter:
    """Takes the records; every part that does work calls ``record`` when the work has ended."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.rates = Rates()
        store.declare(SCHEMA)

    def record(
        self, product: str, start_ms: int, end_ms: int, metadata: dict, identity: str
    ) -> None:
        """Keep the usage of one piece of work, cut into hours.

        ``product`` is one of PRODUCTS (``billing_origin_product``); times in milliseconds since
        the epoch; ``metadata`` holds the fields of ``usage_metadata`` that apply (warehouse_id,
        cluster_id, job_id, job_run_id, endpoint_name, dlt_pipeline_id ...); ``identity`` is the
        user name.
        """
        if product not in PRODUCTS:
            raise ValueError(f"product: {product!r} is none of {PRODUCTS}")
        with self._store.transaction() as db:
            self._insert(db, "ORIGINAL", product, (start_ms, end_ms), metadata, identity)

    def since(self, start_ms: int) -> list[sqlite3.Row]:
        """Records of work that began at or after a moment."""
        return self._store.rows("SELECT * FROM usage_records WHERE start_ms >= ?", start_ms)

    def restate(self, record_id: str, seconds: float) -> None:
        """Correct the length of a recorded piece: a retraction of the row, and a restatement.

        Raises ApiError 404 for an unknown record, 400 for one that is corrected already or is a
        correction itself.
        """
        with self._store.transaction() as db:
            row = db.execute(
                "SELECT * FROM usage_records WHERE record_id = ?", (record_id,)
            ).fetchone()
            if row is None:
                raise not_found(f"There is no usage record {record_id}.")
            done = db.execute(
                "SELECT 1 FROM usage_records WHERE corrects = ?", (record_id,)
            ).fetchone()
            if row["record_type"] == "RETRACTION" or done is not None:
                raise bad_request(f"The usage record {record_id} cannot be corrected (again).")
            db.execute(
                "INSERT INTO usage_records (record_id, record_type, product, sku_name, start_ms,"
                " end_ms, quantity, metadata, identity, recorded_ms, corrects)"
                " VALUES (?, 'RETRACTION', ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (str(uuid.uuid4()), row["product"], row["sku_name"], row["start_ms"],
                 row["end_ms"], _negative(row["quantity"]), row["metadata"], row["identity"],
                 now_ms(), record_id),
            )  # fmt: skip
            span = (row["start_ms"], row["start_ms"] + round(seconds * 1000))
            self._insert(
                db, "RESTATEMENT", row["product"], span, json.loads(row["metadata"]),
                row["identity"],
            )  # fmt: skip

    def _insert(
        self,
        db: sqlite3.Connection,
        record_type: str,
        product: str,
        span: tuple[int, int],
        metadata: dict,
        identity: str,
    ) -> None:
        sku = self.rates.sku(product, metadata)
        start, end = span
        # A clock that was set back meanwhile must not earn money, nor one set forward ruin.
        end = min(max(start, end), start + LONGEST_MS)
        text = json.dumps(metadata)
        db.executemany(
            "INSERT INTO usage_records (record_id, record_type, product, sku_name, start_ms,"
            " end_ms, quantity, metadata, identity, recorded_ms) VALUES (?,?,?,?,?,?,?,?,?,?)",
            [
                (str(uuid.uuid4()), record_type, product, sku.name, begin, until,
                 format(sku.quantity(begin, until), "f"), text, identity, now_ms())
                for begin, until in by_hour(start, end)
            ],
        )  # fmt: skip


def _negative(quantity: str) -> str:
    return quantity[1:] if quantity.startswith("-") else f"-{quantity}"
