"""First half of the thread: exports land, the pipeline runs as a job, a model is served."""

from __future__ import annotations

import json

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
GOLD = ("vendor_spend_monthly", "expense_facts", "ewt_summary")
ENDPOINT = "nature-of-payment"
MODEL = "main.ml.nature_of_payment"


def client(site: Site, *arguments: object) -> object:
    """Answer of one verb of the lakehouse client."""
    python = environments.LAKEHOUSE.python
    command = [python, "-m", "tools.demo.lakehouse_client", *map(str, arguments)]
    return json.loads(output(command, site.workspace_env(), f"workspace client {arguments[0]}"))


def query(site: Site, *statements: str) -> list[list[dict]]:
    """The rows of each statement; one client answers all, since starting one takes seconds."""
    return client(site, "query", *statements)


def count(site: Site, *tables: str) -> list[int]:
    answers = query(site, *(f"SELECT count(*) AS n FROM {table}" for table in tables))
    return [int(rows[0]["n"]) for rows in answers]


def walk(site: Site, report: Report) -> None:
    wheel = lakehouse.build_wheel()
    files = _exports(site, report)
    client(site, "upload", WHEELS, wheel)
    jobs = client(site, "ensure-jobs", f"{WHEELS}/{wheel.name}")
    _pipeline(site, report, jobs["finance_medallion"], files)
    _model(site, report, jobs["train_nature_of_payment"])


def _exports(site: Site, report: Report) -> int:
    """Generate the exports once (a seed gives the same bytes), land them; how many files."""
    folder = site.home / "exports"
    with report.row("exports of three companies land in the Volume") as row:
        if not site.state.get("exports_complete"):
            command = [environments.LAKEHOUSE.python, "-m", "lakehouse_jobs.generator"]
            command += ["--out", folder, "--months", MONTHS, "--lines", LINES, "--broken"]
            output(command, lakehouse.python_env(), "generator")
            site.state["exports_complete"] = True
            site.save()
        files = sum(1 for file in folder.rglob("*") if file.is_file())
        landed = client(site, "upload", EXPORTS, folder)
        check(landed["in_volume"] == files, f"{landed} for {files} files")
        row.rows, row.where = f"{files} files", EXPORTS
    return files


def _pipeline(site: Site, report: Report, job: int, files: int) -> None:
    with report.row("pipeline Bronze, Silver, Gold as a job") as row:
        run = client(site, "run-job", job)
        check(run["state"] == "SUCCESS", _failure(run))
        row.rows, row.where = f"run {run['run_id']}", run["page"]
    _check_lines(site, report)
    _check_files(site, report, files)
    tables = [f"main.gold.{name}" for name in GOLD]
    with report.row("  Gold: " + ", ".join(GOLD)) as row:
        counts = count(site, *tables)
        check(all(counts), f"an empty table: {dict(zip(tables, counts, strict=True))}")
        row.rows, row.where = ", ".join(map(str, counts)), "main.gold"


def _check_lines(site: Site, report: Report) -> None:
    names = ("input_rows", "good_rows", "quarantined_rows", "duplicate_rows")
    sums = ", ".join(f"sum({name}) AS {name}" for name in names)
    with report.row("  each line is in Silver, quarantined, or a counted duplicate") as row:
        read, silver, quarantine = count(
            site,
            "main.bronze.finance_lines",
            "main.silver.finance_lines",
            "main.silver.finance_lines_quarantine",
        )
        found = query(site, f"SELECT {sums} FROM main.silver.load_runs")[0][0]
        taken, good, bad, duplicates = (int(found[name]) for name in names)
        check(taken == read, f"Silver took {taken} of {read} lines")
        check(good + bad + duplicates == read, f"{good} + {bad} + {duplicates} is not {read}")
        check((silver, quarantine) == (good, bad), f"{silver} and {quarantine} rows are there")
        row.rows = f"{good}+{bad}+{duplicates}={read}"
        row.where = "main.silver.finance_lines, ..._quarantine"


def _check_files(site: Site, report: Report, files: int) -> None:
    statement = (
        "SELECT count(DISTINCT path) AS files, count_if(status = 'refused') AS refused, "
        "count_if(status = 'refused' AND reason IS NULL) AS silent FROM main.bronze.load_files"
    )
    with report.row("  each file is loaded, or refused with its reason") as row:
        ledger = query(site, statement)[0][0]
        check(int(ledger["files"]) == files, f"{ledger['files']} files of {files}")
        check(int(ledger["refused"]) > 0, "the broken exports were not refused")
        check(int(ledger["silent"]) == 0, f"{ledger['silent']} refused without a reason")
        row.rows = f"{ledger['refused']} refused"
        row.where = "main.bronze.load_files"


def _failure(run: dict) -> str:
    """What a failed run's tasks said."""
    said = [
        f"task {key}: {task['error']}\n{task['trace'] or ''}"
        for key, task in run["tasks"].items()
        if task["error"]
    ]
    return f"run {run['run_id']} ended {run['state']}\n" + "\n".join(said)


def _model(site: Site, report: Report, job: int) -> None:
    with report.row("model trained and served (demo data, no accuracy claimed)") as row:
        if not site.state.get("model_served"):
            run = client(site, "run-job", job)
            check(run["state"] == "SUCCESS", _failure(run))
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
    )[0]
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
