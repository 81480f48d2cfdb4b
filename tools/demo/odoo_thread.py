"""Second half of the thread: bills in a real Odoo, a proposal, a decision, a scheduled run."""

from __future__ import annotations

import json
import time

from tools import paths
from tools.demo import lakehouse_thread
from tools.demo.odoo_client import OdooClient
from tools.demo.report import Report, check
from tools.site import Site
from tools.steps import step

MODULES = "odoo_databricks"
COMPANIES = paths.ROOT / "lakehouse_jobs" / "generator" / "companies.json"
POLL_SECONDS = 2
RUN_SECONDS = 300


def install(site: Site) -> None:
    """Make the database and install the addon; update it when its source has changed."""
    database = site.state["database"]
    version = paths.fingerprint(site.odoo.addon_path() / paths.ADDON.name)
    if not site.has_database(database):
        with step("Odoo database with the addon"):
            site.run_odoo("-d", database, "-i", MODULES, "--stop-after-init", log="odoo-install")
    elif site.state.get("addon") != version:
        site.odoo_process.stop()
        with step("Odoo database updated to the addon's present state"):
            site.run_odoo("-d", database, "-u", MODULES, "--stop-after-init", log="odoo-update")
    site.state["addon"] = version
    site.save()


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
        "job_name": "finance_medallion",
    }
    if site.state.get("odoo_set_up") == paths.digest(wanted):
        return
    with step("companies, chart of accounts, vendor bills, workspace"):
        parameters = site.home / "odoo_setup.json"
        parameters.touch(mode=0o600)
        parameters.write_text(json.dumps(wanted))
        try:
            site.run_odoo(
                "shell",
                "-d",
                site.state["database"],
                log="odoo-setup",
                stdin=paths.ROOT / "tools" / "demo" / "odoo_setup.py",
                extra_env={"ODOO_SETUP": str(parameters)},
            )
        finally:
            parameters.unlink()
    site.state["odoo_set_up"] = paths.digest(wanted)
    site.save()


def walk(site: Site, report: Report) -> None:
    odoo = OdooClient(site.odoo_url, site.state["database"], "admin", site.state["odoo_password"])
    odoo.companies = odoo.call("res.company", "search", [[]])
    _bills(odoo, report)
    _view(site, odoo, report)
    _proposal(odoo, report)
    _scheduled_run(odoo, report)


def _bills(odoo: OdooClient, report: Report) -> None:
    with report.row("vendor bills from the same exports") as row:
        row.rows = odoo.call("account.move", "search_count", [[("move_type", "=", "in_invoice")]])
        row.where = "Accounting > Vendors > Bills"
        check(row.rows > 0, "there is no vendor bill")
