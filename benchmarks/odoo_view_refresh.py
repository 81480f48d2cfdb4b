"""Timings inside Odoo for view_refresh_1m; read by `odoo shell` from standard input."""
# ruff: noqa: F821

import io
import json
import os
import resource
import time

from odoo.tools import SQL

from odoo.addons.odoo_databricks.lib import sql

with open(os.environ["BENCH_GIVEN"]) as source:
    GIVEN = json.load(source)
COPIED = SQL.identifier("bench_copied")


def prepared_view():
    """The shipped view of vendor spend, pointed at the benchmark's table."""
    companies = env["res.company"].with_context(active_test=False)
    for code in ("SAMPAGUITA", "MAYON", "BANAHAW"):
        if not companies.search([("lakehouse_company_code", "=", code)]):
            companies.create({"name": code, "lakehouse_company_code": code})
    workspace = env["databricks.workspace"].search([], limit=1)
    if not workspace:
        workspace = workspace.create(
            {
                "name": "Bench",
                "host": GIVEN["host"],
                "token": GIVEN["token"],
                "warehouse_id": "local",
            }
        )
    view = env.ref("odoo_databricks.lakehouse_view_vendor_spend_monthly")
    view.write(
        {
            "workspace_id": workspace.id,
            "source_table": GIVEN["table"],
            "row_cap": 10 * GIVEN["rows"],
        }
    )
    env.cr.commit()
    return view


def refreshed(view):
    """Seconds of one refresh, slow statements included."""
    started = time.monotonic()
    run = view._refresh("manual")
    while run.state == "running":
        time.sleep(0.2)
        view.resume_at = view.resume_at and env.cr.now()
        env.cr.commit()
        run = view._refresh("manual")
    if run.state != "done":
        raise SystemExit(run.error)
    return round(time.monotonic() - started, 2), run


def fetched(view):
    """All chunks of the table in memory."""
    with view.workspace_id.client() as client:
        text, parameters = view._source_statement(env["lakehouse.sync.run"].new({"complete": True}))
        statement = sql.submit(client, "local", text, parameters, arrow=True, wait_seconds=50)
        while statement.is_running:
            time.sleep(0.2)
            statement = sql.poll(client, statement.statement_id, warehouse_id="local", arrow=True)
        return list(sql.fetch_arrow(client, statement))


def copied(view, batches):
    """Seconds of a bare COPY of the chunks into an empty table of the same form."""
    import pyarrow as pa
    from pyarrow import compute, csv

    report = env[view.model_name]
    loader = report._snapshot_loader()
    env.cr.execute(SQL("DROP TABLE IF EXISTS %s", COPIED))
    env.cr.execute(
        SQL("CREATE TABLE %s (LIKE %s INCLUDING ALL)", COPIED, SQL.identifier(loader.table))
    )
    values = [column.name for column in loader.values]
    names = ["remote_key", "row_hash", "company_id", "currency_id", *values]
    copy = f"COPY bench_copied ({', '.join(names)}) FROM STDIN WITH (FORMAT csv)"
    company, currency = env.company.id, env.ref("base.PHP").id
    started = time.monotonic()
    for batch in batches:
        if not batch.num_rows:
            continue
        size = batch.num_rows
        columns = loader._plain(batch, [loader.key, *values])
        rows = pa.record_batch(
            [
                columns.column(0),
                columns.column(0),
                compute.cast(pa.repeat(company, size), pa.int32()),
                compute.cast(pa.repeat(currency, size), pa.int32()),
                *columns.columns[1:],
            ],
            names=names,
        )
        buffer = io.BytesIO()
        csv.write_csv(rows, buffer, csv.WriteOptions(include_header=False))
        buffer.seek(0)
        env.cr.copy_expert(copy, buffer)
    env.cr.commit()
    return round(time.monotonic() - started, 2)


def whole(view):
    before = peak_memory()
    first, run = refreshed(view)
    if run.rows_inserted != GIVEN["rows"]:
        raise SystemExit(f"{run.rows_inserted} rows instead of {GIVEN['rows']}")
    again, run = refreshed(view)
    if run.rows_inserted or run.rows_updated or run.rows_deleted:
        raise SystemExit("a refresh of the same rows changed some")
    grown = peak_memory() - before
    batches = fetched(view)
    seconds = min(copied(view, batches) for __ in range(2))
    env.cr.execute(SQL("DROP TABLE %s", COPIED))
    env.cr.commit()
    return {"copy": seconds, "first": first, "again": again, "memory_growth_mb": grown}


def peak_memory():
    """Most memory that this process has had, in MB."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def changed(view):
    view.write({"refresh_mode": "watermark", "overlap_minutes": 0})
    # all rows of before were written at the same moment: read from just after it
    view.last_watermark = "2026-01-01 00:00:01"
    env.cr.commit()
    seconds, run = refreshed(view)
    if run.complete or not 0 < run.rows_updated == run.rows_read <= GIVEN["rows"] // 100:
        raise SystemExit(f"{run.rows_updated} rows updated")
    return {"changed": seconds, "rows_read": run.rows_read}


result = {"whole": whole, "changed": changed}[GIVEN["part"]](prepared_view())
with open(os.environ["BENCH_RESULT"], "w") as target:
    json.dump(result, target)
