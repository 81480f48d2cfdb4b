"""Usage records: one row for each statement, run, update and invocation, in the store first.

A row is written when the work ends; the ``system`` tables in Delta are made from the rows.
"""

from __future__ import annotations

import json
import uuid

from ..store import Store

SCHEMA = """
CREATE TABLE IF NOT EXISTS usage (
    record_id TEXT PRIMARY KEY, product TEXT NOT NULL, start_ms INTEGER NOT NULL,
    end_ms INTEGER NOT NULL, metadata TEXT NOT NULL, identity TEXT NOT NULL);
"""

PRODUCTS = ("SQL", "JOBS", "DLT", "MODEL_SERVING", "ALL_PURPOSE")


class Meter:
    """Takes the records; every part that does work calls ``record`` when the work has ended."""

    def __init__(self, store: Store) -> None:
        self._store = store
        store.declare(SCHEMA)

    def record(
        self, product: str, start_ms: int, end_ms: int, metadata: dict, identity: str
    ) -> None:
        """Keep one usage record.

        ``product`` is one of PRODUCTS (``billing_origin_product``); times in milliseconds since
        the epoch; ``metadata`` holds the fields of ``usage_metadata`` that apply (warehouse_id,
        job_id, job_run_id, endpoint_name, dlt_pipeline_id ...); ``identity`` is the user name.
        """
        self._store.execute(
            "INSERT INTO usage (record_id, product, start_ms, end_ms, metadata, identity)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            str(uuid.uuid4()), product, start_ms, end_ms, json.dumps(metadata), identity,
        )  # fmt: skip
