"""What an administrator does in Odoo: publish a gold table, and repair a run that failed."""

from __future__ import annotations

import time

from tools import paths
from tools.demo import lakehouse_thread
from tools.demo.odoo_client import OdooClient
from tools.demo.report import Report, check
from tools.site import Site
from tools.steps import StepFailed

TABLE = "main.gold.expense_facts"
JOB = "bank_statements"
TASK = paths.ROOT / "tools" / "demo" / f"{JOB}.py"
VOLUME = "/Volumes/main/landing/bank_statements"
STATEMENT = "date,description,amount\n2025-12-15,Rent of the warehouse,-85000.00\n"
RUN_SECONDS = 180
POLL_SECONDS = 1


def walk(site: Site, odoo: OdooClient, report: Report) -> None:
    workspace = odoo.call("databricks.workspace", "search", [[]], limit=1)[0]
    _published_view(site, odoo, report, workspace)
    _repaired_run(site, odoo, report, workspace)


def _published_view(site: Site, odoo: OdooClient, report: Report, workspace: int) -> None:
    with report.row("gold table published as a report: expense facts") as row:
        view = odoo.call("lakehouse.view", "search", [[("source_table", "=", TABLE)]])
        if not view:
            values = {"name": "Expense facts", "workspace_id": workspace, "source_table": TABLE}
            view = [odoo.call("lakehouse.view", "create", [values])]
            odoo.call("lakehouse.view", "action_load_columns", [view])
            odoo.call("lakehouse.view", "action_publish", [view])
        found = _refreshed(odoo, view)
        row.rows = odoo.count(found["model_name"], [])
        row.where = "Lakehouse > Reporting > Expense facts"
        gold = lakehouse_thread.count(site, TABLE)[0]
        check(
            row.rows + found["rejected_count"] == gold,
            f"{row.rows} rows and {found['rejected_count']} rejected, but {gold} in gold",
        )


def _refreshed(odoo: OdooClient, view: list[int]) -> dict:
    """The view after a refresh: ours, or that of the scheduled action which was faster."""
    names = ["state", "last_error", "model_name", "rejected_count"]
    deadline = time.monotonic() + RUN_SECONDS
    while time.monotonic() < deadline:
        odoo.call("lakehouse.view", "action_refresh", [view])
        found = odoo.call("lakehouse.view", "read", [view, names])[0]
        check(found["state"] != "failed", f"the refresh says: {found['last_error']}")
        if found["state"] == "ok":
            return found
        time.sleep(POLL_SECONDS)
    raise StepFailed(f"the view of {TABLE} was not refreshed within {RUN_SECONDS} s")


def _repaired_run(site: Site, odoo: OdooClient, report: Report, workspace: int) -> None:
    """The statement comes after the job was run: the failed task is run again, in the same run."""
    with report.row("run that failed, repaired when its file had come") as row:
        repaired = [("pipeline_id.job_name", "=", JOB), ("state", "=", "succeeded")]
        if not odoo.count("databricks.pipeline.run", repaired):
            _fail_and_repair(site, odoo, workspace)
        run = odoo.call(
            "databricks.pipeline.run", "search_read", [repaired], fields=["repair_count"], limit=1
        )[0]
        check(run["repair_count"] > 0, "the run succeeded without a repair")
        row.rows = f"run {run['id']}"
        row.where = "Lakehouse > Operations > Pipeline Runs"


def _fail_and_repair(site: Site, odoo: OdooClient, workspace: int) -> None:
    lakehouse_thread.client(site, "ensure-script-job", JOB, TASK)
    pipeline = odoo.call("databricks.pipeline", "search", [[("job_name", "=", JOB)]])
    if not pipeline:
        values = {"name": "Bank statements", "workspace_id": workspace, "job_name": JOB}
        pipeline = [odoo.call("databricks.pipeline", "create", [values])]
    run = [odoo.call("databricks.pipeline", "action_run_now", [pipeline])["res_id"]]
    _follow(odoo, run, "failed")
    file = site.home / "2025-12.csv"
    file.write_text(STATEMENT)
    lakehouse_thread.client(site, "upload", VOLUME, file)
    odoo.call("databricks.pipeline.run", "action_repair", [run])
    _follow(odoo, run, "succeeded")


def _follow(odoo: OdooClient, run: list[int], wanted: str) -> None:
    deadline = time.monotonic() + RUN_SECONDS
    while time.monotonic() < deadline:
        found = odoo.call("databricks.pipeline.run", "read", [run, ["state", "error"]])[0]
        if found["state"] == wanted:
            return
        check(found["state"] in ("queued", "submitted", "running"), f"the run is {found}")
        time.sleep(POLL_SECONDS)
        odoo.call("databricks.pipeline.run", "action_poll", [run])
    raise StepFailed(f"the run of {JOB} was not {wanted} within {RUN_SECONDS} s")
