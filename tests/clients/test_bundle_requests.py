"""A bundle deployed by the CLI's own requests: first deploy, second without a change, run, drift,
lock, destroy."""

from __future__ import annotations

import httpx
import pytest
from bundle_requests import Bundle, Locked

TASK = b"import sys\nprint('month', sys.argv[1])\n"
TABLES = b"""from pyspark import pipelines as dp
from pyspark.sql import SparkSession


@dp.materialized_view(name="bundle_numbers")
def bundle_numbers():
    return SparkSession.active().range(7)
"""


@pytest.fixture(scope="module")
def http(target):
    headers = {"Authorization": f"Bearer {target.token}", "User-Agent": "bundle-requests/1"}
    with httpx.Client(base_url=target.host, headers=headers, timeout=60) as client:
        yield client


@pytest.fixture
def bundle(http, target):
    if not target.embedded:
        pytest.skip("deploys a job without compute settings: only the embedded workspace runs it")
    made = Bundle(http, "client_suite", {"src/month.py": TASK, "src/tables/numbers.py": TABLES})
    made.validate()
    job = {
        "name": "[dev] month",
        "format": "MULTI_TASK",
        "edit_mode": "UI_LOCKED",
        "deployment": {
            "kind": "BUNDLE",
            "metadata_file_path": f"{made.root}/state/metadata.json",
        },
        "queue": {"enabled": True},
        "max_concurrent_runs": 1,
        "parameters": [{"name": "month", "default": "2026-01"}],
        "tags": {"team": "finance"},
        "schedule": {
            "quartz_cron_expression": "0 0 6 1 * ?",
            "timezone_id": "Asia/Manila",
            "pause_status": "PAUSED",
        },
        "tasks": [
            {
                "task_key": "month",
                "spark_python_task": {
                    "python_file": f"{made.root}/files/src/month.py",
                    "parameters": ["{{job.parameters.month}}"],
                },
                "max_retries": 0,
            }
        ],
    }
    pipeline = {
        "name": "[dev] numbers",
        "catalog": target.catalog,
        "schema": target.schema,
        "development": True,
        "channel": "CURRENT",
        "edition": "ADVANCED",
        "deployment": job["deployment"],
        "libraries": [{"glob": {"include": f"{made.root}/files/src/tables/**"}}],
        "configuration": {"finance.country": "PH"},
    }
    made.jobs = {"month": job}
    made.pipelines = {"numbers": pipeline}
    yield made
    made.destroy()


def test_a_first_deploy_creates_and_a_second_changes_nothing(bundle):
    assert bundle.plan() == {"jobs.month": "create", "pipelines.numbers": "create"}
    bundle.deploy()
    bundle.sent.clear()
    assert bundle.deploy() == {"jobs.month": "skip", "pipelines.numbers": "skip"}
    changing = [line for line in bundle.sent if "/jobs/" in line or "/pipelines" in line]
    assert changing and all(line.startswith("GET ") for line in changing)


def test_a_deployed_job_runs(bundle):
    bundle.deploy()
    run = bundle.run_job("month", job_parameters={"month": "2026-10"})
    assert run["state"]["result_state"] == "SUCCESS", run["state"]
    assert "month 2026-10" in run["tasks"][0]["output"]["logs"]


def test_a_deployed_pipeline_runs(bundle, target):
    bundle.deploy()
    update = bundle.run_pipeline("numbers")
    assert update["state"] == "COMPLETED", update["events"]
    answer = target.sdk().statement_execution.execute_statement(
        f"SELECT count(*) FROM {target.catalog}.{target.schema}.bundle_numbers",
        target.warehouse_id,
    )
    assert answer.result.data_array == [["7"]]


def test_a_change_by_hand_is_found_and_put_right(bundle, http):
    bundle.deploy()
    job_id = bundle.state()["jobs.month"]["id"]
    body = {"job_id": job_id, "new_settings": {"name": "renamed by hand"}}
    assert http.post("/api/2.2/jobs/update", json=body).status_code == 200
    assert bundle.plan()["jobs.month"] == "update"
    bundle.deploy()
    assert bundle.plan()["jobs.month"] == "skip"


def test_a_resource_taken_out_is_deleted(bundle, http):
    bundle.deploy()
    job_id = bundle.state()["jobs.month"]["id"]
    bundle.jobs = {}
    assert bundle.deploy()["jobs.month"] == "delete"
    assert http.get("/api/2.2/jobs/get", params={"job_id": job_id}).status_code == 400


def test_two_deployments_do_not_meet(bundle):
    bundle.lock()
    with pytest.raises(Locked):
        bundle.deploy()
    bundle.unlock()
    assert bundle.deploy()
