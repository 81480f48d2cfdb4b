"""Second half of the thread: bills in a real Odoo, a proposal, a decision, a scheduled run."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime

from tools import paths
from tools.demo import lakehouse_thread, operations_thread
from tools.demo.odoo_client import OdooClient
from tools.demo.report import Report, check
from tools.site import Site
from tools.steps import StepFailed, step

MODULES = "odoo_databricks"
COMPANIES = paths.ROOT / "lakehouse_jobs" / "generator" / "companies.json"
SETUP_SCRIPT = paths.ROOT / "tools" / "demo" / "odoo_setup.py"
VIEW_MODEL = "lakehouse.vendor.spend.monthly"
JOB = "finance_medallion"
PIPELINE_CRON = "odoo_databricks.databricks_pipeline_cron"
ENDED_BADLY = ("failed", "canceled")
POLL_SECONDS = 2
RUN_SECONDS = 300


def install(site: Site) -> None:
    """Make the database and install the addon; update it when its source has changed."""
    version = paths.fingerprint(site.odoo.addon_path() / paths.ADDON.name)
    if not site.has_database(site.database):
        with step("Odoo database with the addon"):
            site.run_odoo(
                "-d", site.database, "-i", MODULES, "--stop-after-init", log="odoo-install"
            )
    elif site.done("install") != version:
        site.odoo_process.stop()
        with step("Odoo database updated to the addon's present state"):
            site.run_odoo(
                "-d", site.database, "-u", MODULES, "--stop-after-init", log="odoo-update"
            )
    site.mark_done("install", version)


def set_up(site: Site) -> None:
    """Companies with the Philippine chart, bills from the same exports, workspace, pipeline."""
    wanted = {
        "password": site.state["odoo_password"],
        "companies": json.loads(COMPANIES.read_text()),
        "bills": lakehouse_thread.bills(site),
        "workspace": {
            "host": site.workspace_host,
            "token": site.workspace_token,
            "warehouse_id": lakehouse_thread.WAREHOUSE,
        },
        "job_name": JOB,
    }
    fingerprint = paths.digest([wanted, SETUP_SCRIPT.read_text()])
    if site.done("set-up") == fingerprint:
        return
    with step("companies, chart of accounts, vendor bills, workspace"):
        parameters = site.home / "odoo_setup.json"
        parameters.touch(mode=0o600)
        parameters.write_text(json.dumps(wanted))
        try:
            site.run_odoo(
                "shell",
                "-d",
                site.database,
                log="odoo-setup",
                stdin=SETUP_SCRIPT,
                extra_env={"ODOO_SETUP": str(parameters)},
            )
        finally:
            parameters.unlink()
    site.mark_done("set-up", fingerprint)


def walk(site: Site, report: Report) -> None:
    odoo = OdooClient(site.odoo_url, site.database, "admin", site.state["odoo_password"])
    _bills(odoo, report)
    _view(site, odoo, report)
    _proposal(odoo, report)
    _scheduled_run(odoo, report)
    operations_thread.walk(site, odoo, report)


def _bills(odoo: OdooClient, report: Report) -> None:
    with report.row("vendor bills from the same exports") as row:
        row.rows = odoo.count("account.move", [("move_type", "=", "in_invoice")])
        row.where = "Accounting > Vendors > Bills"
        check(row.rows > 0, "there is no vendor bill")


def _view(site: Site, odoo: OdooClient, report: Report) -> None:
    """The rows that Odoo shows are those of the gold table, or are counted as rejected."""
    with report.row("lakehouse view refreshed: vendor spend by month") as row:
        view = odoo.call("lakehouse.view", "search", [[("model_name", "=", VIEW_MODEL)]])
        odoo.call("lakehouse.view", "action_refresh", [view])
        names = ["state", "last_error", "rejected_count"]
        found = odoo.call("lakehouse.view", "read", [view, names])[0]
        check(found["state"] == "ok", f"the refresh says: {found['last_error']}")
        row.rows = odoo.count(VIEW_MODEL, [])
        row.where = "Lakehouse > Reporting > Vendor Spend"
        gold = lakehouse_thread.count(site, "main.gold.vendor_spend_monthly")[0]
        check(
            row.rows + found["rejected_count"] == gold,
            f"{row.rows} rows and {found['rejected_count']} rejected, but {gold} in gold",
        )


def _proposal(odoo: OdooClient, report: Report) -> None:
    """One bill gets proposals from the served model; what is certain is accepted."""
    accepted = [("served_entity", "!=", False), ("decision", "=", "accept")]
    with report.row("BIR proposals on one bill, certain ones accepted") as row:
        if not odoo.count("bir.prediction", accepted):
            _auto_fill(odoo)
        kept = odoo.call("bir.prediction", "search_read", [accepted], fields=["move_id"], limit=1)
        check(bool(kept), "none of ten bills got a proposal of the model that is certain")
        move, name = kept[0]["move_id"]
        row.rows = odoo.count("bir.prediction", [("move_id", "=", move)])
        row.where = f"BIR > Review Queue > {name}, tab BIR"


def _auto_fill(odoo: OdooClient) -> None:
    """Ask for proposals, bill by bill, until one of the model's is certain; accept and apply it."""
    waiting = [("move_type", "=", "in_invoice"), ("bir_state", "=", "to_review")]
    by_model = [("served_entity", "!=", False), ("decision", "=", "accept")]
    for move in odoo.call("account.move", "search", [waiting], limit=10):
        action = odoo.call("account.move", "action_bir_autofill", [[move]])
        wizard = [action["res_id"]]
        banner = odoo.call("bir.autofill.wizard", "read", [wizard, ["banner"]])[0]["banner"]
        check(not banner, f"the wizard says: {banner}")
        odoo.call("bir.autofill.wizard", "action_accept_certain", [wizard])
        odoo.call("bir.autofill.wizard", "action_apply", [wizard])
        if odoo.count("bir.prediction", by_model):
            return


def _scheduled_run(odoo: OdooClient, report: Report) -> None:
    """The scheduled action finds the pipeline due, submits its job and follows it to its end."""
    with report.row("pipeline run by Odoo's scheduled action") as row:
        runs = [("reason", "=", "schedule"), ("state", "=", "succeeded")]
        if not odoo.count("databricks.pipeline.run", runs):
            _wait_for_scheduled_run(odoo)
        names = ["remote_run_id", "run_page_url"]
        run = odoo.call("databricks.pipeline.run", "search_read", [runs], fields=names, limit=1)[0]
        row.rows, row.where = f"run {run['remote_run_id']}", run["run_page_url"]


def _wait_for_scheduled_run(odoo: OdooClient) -> None:
    pipeline = odoo.call("databricks.pipeline", "search", [[("job_name", "=", JOB)]])
    now = datetime.now(UTC).replace(tzinfo=None)
    due = {"scheduled": True, "next_run": now.isoformat(" ", "seconds")}
    odoo.call("databricks.pipeline", "write", [pipeline, due])
    cron = odoo.record(PIPELINE_CRON)
    deadline = time.monotonic() + RUN_SECONDS
    while time.monotonic() < deadline:
        odoo.call("ir.cron", "method_direct_trigger", [[cron]])
        found = odoo.call(
            "databricks.pipeline.run",
            "search_read",
            [[("reason", "=", "schedule")]],
            fields=["state", "error"],
            limit=1,
        )
        check(bool(found), "the scheduled action submitted nothing")
        if found[0]["state"] == "succeeded":
            return
        check(found[0]["state"] not in ENDED_BADLY, f"the run {found[0]}")
        time.sleep(POLL_SECONDS)
    raise StepFailed(f"the scheduled run did not end within {RUN_SECONDS} s")
