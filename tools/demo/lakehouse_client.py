"""The demo's data engineer: talks to the workspace through the unmodified databricks-sdk.

Runs in the lakehouse environment with DATABRICKS_HOST and DATABRICKS_TOKEN set; each verb
prints one JSON document.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from databricks.sdk import WorkspaceClient
from databricks.sdk.core import Config
from databricks.sdk.errors import OperationFailed, ResourceAlreadyExists
from databricks.sdk.service import catalog, compute, jobs, sql

from tools.demo.lakehouse_thread import WAREHOUSE

PACKAGE = "odoo_databricks_lakehouse"
JOB_MINUTES = 20
SCRIPTS = "/Volumes/main/landing/wheels"


def client() -> WorkspaceClient:
    return WorkspaceClient(config=Config(http_timeout_seconds=60, retry_timeout_seconds=30))


def upload(workspace: WorkspaceClient, volume: str, source: str) -> dict:
    """Put a file, or a folder with all its files, into a Volume; same names are replaced."""
    root = Path(source)
    files = [root] if root.is_file() else sorted(f for f in root.rglob("*") if f.is_file())
    base = root.parent if root.is_file() else root
    folders = {file.parent.relative_to(base).as_posix() for file in files}
    for folder in sorted(folders):
        workspace.files.create_directory(f"{volume}/{folder}".removesuffix("/."))
    for file in files:
        with file.open("rb") as content:
            target = f"{volume}/{file.relative_to(base).as_posix()}"
            workspace.files.upload(target, content, overwrite=True)
    return {"uploaded": len(files), "in_volume": _count_files(workspace, volume)}


def _count_files(workspace: WorkspaceClient, folder: str) -> int:
    entries = list(workspace.files.list_directory_contents(folder))
    below = (_count_files(workspace, entry.path) for entry in entries if entry.is_directory)
    return sum(not entry.is_directory for entry in entries) + sum(below)


def _task(key: str, entry_point: str, wheel: str, after: str | None = None) -> jobs.Task:
    return jobs.Task(
        task_key=key,
        python_wheel_task=jobs.PythonWheelTask(package_name=PACKAGE, entry_point=entry_point),
        libraries=[compute.Library(whl=wheel)],
        depends_on=[jobs.TaskDependency(task_key=after)] if after else None,
    )


def ensure_jobs(workspace: WorkspaceClient, wheel: str) -> dict:
    """Create the jobs of the packaged pipelines unless they are there; return their ids."""
    wanted = {
        "finance_medallion": [
            _task("bronze", "ingest_bronze", wheel),
            _task("silver", "build_silver", wheel, after="bronze"),
            _task("gold", "build_gold", wheel, after="silver"),
        ],
        "train_nature_of_payment": [
            _task("train", "train_nature_of_payment", wheel),
            _task("deploy", "deploy", wheel, after="train"),
        ],
    }
    known = {job.settings.name: job.job_id for job in workspace.jobs.list()}
    for name, tasks in wanted.items():
        if name not in known:
            created = workspace.jobs.create(name=name, tasks=tasks, max_concurrent_runs=1)
            known[name] = created.job_id
    return {name: known[name] for name in wanted}


def ensure_script_job(workspace: WorkspaceClient, name: str, script: str) -> dict:
    """A job of one Python file, with a Volume of its own name for what it reads."""
    with suppress(ResourceAlreadyExists):
        workspace.volumes.create("main", "landing", name, catalog.VolumeType.MANAGED)
    upload(workspace, SCRIPTS, script)
    for job in workspace.jobs.list(name=name):
        return {"job_id": job.job_id}
    task = jobs.Task(
        task_key="check",
        spark_python_task=jobs.SparkPythonTask(python_file=f"{SCRIPTS}/{Path(script).name}"),
    )
    created = workspace.jobs.create(name=name, tasks=[task], max_concurrent_runs=1)
    return {"job_id": created.job_id}


def run_job(workspace: WorkspaceClient, job_id: int) -> dict:
    """Run a job to its end; a failed task's own error text is part of the answer."""
    started = time.monotonic()
    waiter = workspace.jobs.run_now(job_id)
    # the SDK raises for a failed task; which task, and why, is only in the run
    with suppress(OperationFailed):
        waiter.result(timeout=timedelta(minutes=JOB_MINUTES))
    run = workspace.jobs.get_run(waiter.run_id)
    answer = {
        "run_id": run.run_id,
        "state": run.state.result_state.value if run.state.result_state else None,
        "seconds": round(time.monotonic() - started, 1),
        "page": run.run_page_url,
        "tasks": {},
    }
    for task in run.tasks or []:
        output = workspace.jobs.get_run_output(task.run_id)
        kept = {"logs": output.logs, "error": output.error, "trace": output.error_trace}
        answer["tasks"][task.task_key] = kept
    return answer


def query(workspace: WorkspaceClient, statements: list[str]) -> list[list[dict]]:
    """Rows of small queries; every value is text or null."""
    return [_rows(workspace, statement) for statement in statements]


def _rows(workspace: WorkspaceClient, statement: str) -> list[dict]:
    answer = workspace.statement_execution.execute_statement(
        statement, WAREHOUSE, wait_timeout="50s"
    )
    if answer.status.state is not sql.StatementState.SUCCEEDED:
        raise RuntimeError(f"{answer.status.state}: {answer.status.error}")
    names = [column.name for column in answer.manifest.schema.columns]
    return [dict(zip(names, row, strict=True)) for row in answer.result.data_array or []]


def endpoint(workspace: WorkspaceClient, name: str) -> dict:
    """State and served entities of a serving endpoint."""
    found = workspace.serving_endpoints.get(name)
    entities = found.config.served_entities if found.config else []
    return {
        "ready": found.state.ready.value,
        "entities": [{"model": e.entity_name, "version": e.entity_version} for e in entities],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("upload")
    verb.add_argument("volume")
    verb.add_argument("source")
    verbs.add_parser("ensure-jobs").add_argument("wheel")
    verb = verbs.add_parser("ensure-script-job")
    verb.add_argument("name")
    verb.add_argument("script")
    verbs.add_parser("run-job").add_argument("job_id", type=int)
    verbs.add_parser("query").add_argument("statements", nargs="+")
    verbs.add_parser("endpoint").add_argument("name")
    arguments = vars(parser.parse_args())
    function = {
        "upload": upload,
        "ensure-jobs": ensure_jobs,
        "ensure-script-job": ensure_script_job,
        "run-job": run_job,
        "query": query,
        "endpoint": endpoint,
    }[arguments.pop("verb")]
    json.dump(function(client(), **arguments), sys.stdout, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
