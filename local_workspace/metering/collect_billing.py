"""Rows of ``system.billing``: usage from the meter's records, prices from the table of rates."""

from __future__ import annotations

import hashlib
import json
import sqlite3

from ..store import now_ms
from .outbox import mark, marked, put
from .place import Place
from .schemas import USAGE_METADATA

DAY_MS = 24 * 3_600_000
KEEP_MS = 400 * DAY_MS
_TIERS = {"SQL": "sql_tier", "JOBS": "jobs_tier", "DLT": "dlt_tier"}


def usage(db: sqlite3.Connection, place: Place) -> None:
    """Records made since the last look; records of long ago are forgotten here."""
    last = int(marked(db, "usage", "number", "0"))
    rows = db.execute(
        "SELECT * FROM usage_records WHERE number > ? ORDER BY number", (last,)
    ).fetchall()
    if not rows:
        return
    serverless = {sku.name: sku.serverless for sku in place.rates.skus}
    put(db, "billing.usage", [_usage(db, row, place, serverless) for row in rows])
    last = rows[-1]["number"]
    mark(db, "usage", "number", str(last))
    db.execute(
        "DELETE FROM usage_records WHERE number < ? AND recorded_ms < ?", (last, now_ms() - KEEP_MS)
    )


def _usage(db: sqlite3.Connection, row: sqlite3.Row, place: Place, serverless: dict) -> dict:
    metadata = json.loads(row["metadata"])
    known = {field.name for field in USAGE_METADATA}
    kept = {key: str(value) for key, value in metadata.items() if key in known}
    features = {"is_serverless": serverless.get(row["sku_name"]), "is_photon": False}
    if row["product"] in _TIERS:
        features[_TIERS[row["product"]]] = "LOCAL"
    if row["product"] == "MODEL_SERVING":
        features["serving_type"] = "MODEL"
    return place.columns | {
        "record_id": row["record_id"],
        "sku_name": row["sku_name"],
        "cloud": place.cloud,
        "usage_start_time": row["start_ms"],
        "usage_end_time": row["end_ms"],
        "usage_date": row["start_ms"] // DAY_MS,
        "custom_tags": _tags(db, kept),
        "usage_unit": "DBU",
        "usage_quantity": row["quantity"],
        "usage_metadata": kept,
        "identity_metadata": {"run_as": row["identity"]},
        "record_type": row["record_type"],
        "ingestion_date": now_ms() // DAY_MS,
        "billing_origin_product": row["product"],
        "product_features": features,
        "usage_type": "COMPUTE_TIME",
    }


def _tags(db: sqlite3.Connection, metadata: dict) -> dict[str, str]:
    """The tags of the job that a run belongs to, as the run was started with them."""
    run_id = metadata.get("job_run_id")
    if run_id is None:
        return {}
    row = db.execute("SELECT settings FROM runs WHERE run_id = ?", (run_id,)).fetchone()
    return (json.loads(row["settings"]).get("tags") or {}) if row else {}


def list_prices(db: sqlite3.Connection, place: Place) -> None:
    """All prices, when any of them is other than in the table: the table is then replaced."""
    rows = []
    for sku in place.rates.skus:
        for period in sku.prices:
            price = format(period.amount, "f")
            rows.append(
                {
                    "price_start_time": period.start_ms,
                    "price_end_time": period.end_ms,
                    "account_id": place.account_id,
                    "sku_name": sku.name,
                    "cloud": place.cloud,
                    "currency_code": place.rates.currency,
                    "usage_unit": "DBU",
                    "pricing": {
                        "default": price,
                        "promotional": {"default": price},
                        "effective_list": {"default": price},
                    },
                }
            )
    digest = hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()
    if marked(db, "list_prices", "digest", "") != digest:
        mark(db, "list_prices", "digest", digest)
        put(db, "billing.list_prices", rows)
