"""First half of the thread: exports land, the pipeline runs as a job, a model is served."""

from __future__ import annotations

import json
from pathlib import Path

from tools import environments, lakehouse
from tools.demo.report import Report, check
from tools.site import Site
from tools.steps import output

WHEELS = "/Volumes/main/landing/wheels"
EXPORTS = "/Volumes/main/landing/finance_exports"
WAREHOUSE = "local"
MONTHS = 6
LINES = 6000
BILLS_SHOWN = 30
ENDPOINT = "nature-of-payment"
MODEL = "main.ml.nature_of_payment"


def client(site: Site, *arguments: object) -> object:
    """Answer of one verb of the lakehouse client."""
    python = environments.LAKEHOUSE.python
    command = [python, "-m", "tools.demo.lakehouse_client", *map(str, arguments)]
    return json.loads(output(command, site.workspace_env(), f"workspace client {arguments[0]}"))


def query(site: Site, statement: str) -> list[dict]:
    return client(site, "query", statement)


def count(site: Site, table: str) -> int:
    return int(query(site, f"SELECT count(*) AS n FROM {table}")[0]["n"])


def walk(site: Site, report: Report) -> None:
    wheel = lakehouse.build_wheel()
    exports = _exports(site, report)
    client(site, "upload", WHEELS, wheel)
    jobs = client(site, "ensure-jobs", f"{WHEELS}/{wheel.name}")
    site.state["jobs"] = jobs
    site.save()
    _pipeline(site, report, jobs["finance_medallion"], len(exports))
    _model(site, report, jobs["train_nature_of_payment"])


def _exports(site: Site, report: Report) -> list[Path]:
    """Generate the exports once (a seed gives the same bytes) and land them in the Volume."""
    folder = site.home / "exports"
    with report.row("exports of three companies land in the Volume") as row:
        if not (folder / "complete").exists():
            command = [environments.LAKEHOUSE.python, "-m", "lakehouse_jobs.generator"]
            command += ["--out", folder, "--months", MONTHS, "--lines", LINES, "--broken"]
            output(command, lakehouse.python_env(), "generator")
            (folder / "complete").touch()
        files = sorted(f for f in folder.iterdir() if f.name != "complete")
        landed = client(site, "upload", EXPORTS, *files)
        check(landed["in_volume"] == len(files), f"{landed} for {len(files)} files")
        row.rows, row.where = f"{len(files)} files", EXPORTS
    return files


def _pipeline(site: Site, report: Report, job: int, files: int) -> None:
    with report.row("pipeline Bronze, Silver, Gold as a job") as row:
        run = client(site, "run-job", job)
        check(run["state"] == "SUCCESS", f"the run ended {run['state']}: {run['tasks']}")
        row.rows, row.where = f"run {run['run_id']}", run["page"]
    with report.row("  every line is in Silver, in quarantine, or a counted duplicate") as row:
        read = count(site, "main.bronze.finance_lines")
        good = count(site, "main.silver.finance_lines")
        bad = count(site, "main.silver.finance_lines_quarantine")
        duplicates = read - good - bad
        ledger = query(
            site, "SELECT status, count(*) AS n FROM main.bronze.load_files GROUP BY status"
        )
        by_status = {entry["status"]: int(entry["n"]) for entry in ledger}
        check(sum(by_status.values()) == files, f"ledger {by_status} for {files} files")
        check(good > 0 and bad > 0 and duplicates > 0, f"{good} + {bad} + {duplicates} = {read}")
        row.rows = f"{good}+{bad}+{duplicates}={read}"
        row.where = "main.silver.finance_lines, ..._quarantine"
    with report.row("  refused files are named with their reason") as row:
        row.rows = f"{by_status.get('refused', 0)} files"
        row.where = "main.bronze.load_files"
        check(by_status.get("refused", 0) > 0, "the broken exports were not refused")
    for table in ("vendor_spend_monthly", "expense_facts", "ewt_summary"):
        with report.row(f"  gold.{table}") as row:
            row.rows, row.where = count(site, f"main.gold.{table}"), f"main.gold.{table}"
            check(row.rows > 0, "the table is empty")


def _model(site: Site, report: Report, job: int) -> None:
    with report.row("model trained and served (demo data, no accuracy claimed)") as row:
        if not site.state.get("model_served"):
            run = client(site, "run-job", job)
            check(run["state"] == "SUCCESS", f"the run ended {run['state']}: {run['tasks']}")
        served = client(site, "endpoint", ENDPOINT)
        check(served["ready"] == "READY", f"the endpoint is {served['ready']}")
        check(served["entities"][0]["model"] == MODEL, f"it serves {served['entities']}")
        site.state["model_served"] = True
        site.save()
        row.rows = f"version {served['entities'][0]['version']}"
        row.where = f"{site.workspace_host}/serving-endpoints/{ENDPOINT}"


def bills(site: Site) -> list[dict]:
    """About thirty vendor bills of the newest months, with their lines, from Silver."""
    lines = query(
        site,
        "SELECT company_code, document_no, document_date, vendor_key, vendor_name, vendor_tin, "
        "payee_kind, vat_status, description, amount_net, line_no "
        "FROM main.silver.finance_lines WHERE document_kind = 'vendor_bill' AND amount_net > 0 "
        "AND currency = 'PHP' "
        "ORDER BY document_date DESC, company_code, document_no, vendor_key, line_no LIMIT 400",
    )
    found: dict[tuple, dict] = {}
    for line in lines:
        key = (line["company_code"], line["document_no"], line["vendor_key"])
        if key not in found and len(found) == BILLS_SHOWN:
            continue
        bill = found.setdefault(key, {**line, "lines": []})
        bill["lines"].append(
            {name: line[name] for name in ("description", "amount_net", "vat_status")}
        )
    return list(found.values())
