"""A view of a million rows: refreshed whole, and by its watermark with one row in a hundred new.

The reference of the whole refresh is a bare COPY of the same Arrow chunks, already fetched, into a
table with the same columns and indexes; that of the refresh by watermark is the whole refresh.
"""

from __future__ import annotations

import os
from pathlib import Path

from databricks.sdk import WorkspaceClient
from databricks.sdk.service.sql import StatementState

from . import odoo_site
from .report import case

ROWS = 1_000_000
TABLE = "main.gold.bench_vendor_spend"
SCRIPT = Path(__file__).with_name("odoo_view_refresh.py")
COPY = "COPY of the same chunks, already fetched"
SOURCE = f"""
CREATE OR REPLACE TABLE {TABLE} AS SELECT
  concat('key-', cast(id AS string)) AS row_key,
  CASE id % 3 WHEN 0 THEN 'SAMPAGUITA' WHEN 1 THEN 'MAYON' ELSE 'BANAHAW' END AS company_code,
  'PHP' AS currency,
  add_months(DATE '2022-01-01', cast(id % 48 AS int)) AS month,
  concat('vendor ', cast(id % 20000 AS string)) AS vendor_key,
  concat('Vendor No. ', cast(id % 20000 AS string)) AS vendor_name,
  cast(NULL AS string) AS vendor_tin,
  id % 9 + 1 AS bill_count,
  id % 30 + 1 AS line_count,
  cast(id % 100000 + 0.25 AS decimal(18,2)) AS amount_net,
  cast(id % 12000 + 0.03 AS decimal(18,2)) AS amount_vat,
  cast(id % 112000 + 0.28 AS decimal(18,2)) AS amount_gross,
  cast(id % 2000 + 0.01 AS decimal(18,2)) AS ewt_amount,
  add_months(DATE '2022-01-28', cast(id % 48 AS int)) AS last_document_date,
  TIMESTAMP '2026-01-01 00:00:00' AS updated_at
FROM range({ROWS})
"""
# one row in a hundred is written again, a day later, with another amount
CHANGED = f"""
INSERT OVERWRITE {TABLE} SELECT row_key, company_code, currency, month, vendor_key, vendor_name,
  vendor_tin, bill_count, line_count, amount_net,
  CASE WHEN substring(row_key, -2) = '07' THEN amount_vat + 1 ELSE amount_vat END AS amount_vat,
  amount_gross, ewt_amount, last_document_date,
  CASE WHEN substring(row_key, -2) = '07' THEN TIMESTAMP '2026-01-02 00:00:00'
       ELSE updated_at END AS updated_at
FROM {TABLE}
"""


def run() -> dict:
    load = os.getloadavg()[0]
    with odoo_site.running() as site:
        client = WorkspaceClient(host=site.workspace_host, token=site.workspace_token)
        _sql(client, SOURCE)
        given = {
            "host": site.workspace_host,
            "token": site.workspace_token,
            "table": TABLE,
            "rows": ROWS,
        }
        whole = odoo_site.measure(site, SCRIPT, **given, part="whole")
        _sql(client, CHANGED)
        changed = odoo_site.measure(site, SCRIPT, **given, part="changed")
        _sql(client, f"DROP TABLE {TABLE}")
    return {
        "unit": "s",
        "rows": ROWS,
        "cases": [
            case("first refresh", whole["first"], whole["copy"], COPY),
            case("refresh with nothing new", whole["again"], whole["copy"], COPY),
            case("1 % changed, by watermark", changed["changed"], whole["first"], "first refresh"),
        ],
        "changed_rows_read": changed["rows_read"],
        "memory_growth_mb": whole["memory_growth_mb"],
        "load_at_start": round(load, 2),
    }


def _sql(client: WorkspaceClient, text: str) -> None:
    answer = client.statement_execution.execute_statement(text, "local", wait_timeout="50s")
    if answer.status.state != StatementState.SUCCEEDED:
        raise RuntimeError(f"{text[:60]}: {answer.status}")
