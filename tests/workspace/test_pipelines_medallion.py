"""The project's own pipeline on the embedded workspace gives the tables that its jobs give."""

from __future__ import annotations

import io
import time

import pytest
from databricks.sdk.service.compute import Library
from databricks.sdk.service.jobs import PythonWheelTask, Task, TaskDependency
from databricks.sdk.service.pipelines import (
    FileLibrary,
    PipelineLibrary,
    PipelinesEnvironment,
)
from deltalake import DeltaTable
from pipeline_runs import events, finished, run_update, state_of
from project_wheel import build_wheel
from workspace_process import init_workspace, serve_workspace, stop_workspace

from lakehouse_jobs import generator
from lakehouse_jobs.contracts import contract_for

WHEEL = "/Volumes/main/landing/wheels/odoo_databricks_lakehouse-0.1.0-py3-none-any.whl"
DEFINITIONS = "lakehouse_jobs/pipelines/finance_medallion.py"
# Which load brought a row and when it was computed differ from run to run.
VOLATILE = {"load_id", "loaded_at", "updated_at"}
TABLES = ("bronze.finance_lines", "silver.finance_lines", "silver.finance_lines_quarantine",
          "gold.expense_facts", "gold.vendor_spend_monthly", "gold.ewt_summary")  # fmt: skip
FIRST = generator.Options(seed=7, companies=3, months=3, lines=2400)
LATER = generator.Options(seed=11, companies=3, months=2, lines=900, start="2025-09")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A workspace of its own, with the project's wheel, and a folder with generated exports."""
    data = tmp_path_factory.mktemp("medallion")
    running = serve_workspace(data, init_workspace(data))
    wheel = build_wheel(tmp_path_factory.mktemp("wheel"))
    assert WHEEL.endswith(wheel.name)
    with wheel.open("rb") as content:
        running.sdk().files.upload(WHEEL, content)
    yield running
    stop_workspace(running)


def _deliver(running, folder, options, name):
    for path in generator.write_exports(folder / name, options):
        target = f"/Volumes/main/landing/finance_exports/{name}/{path.parent.name}-{path.name}"
        running.sdk().files.upload(target, io.BytesIO(path.read_bytes()))


def _task(entry_point, *parameters, after=None):
    return Task(
        task_key=entry_point,
        python_wheel_task=PythonWheelTask(
            package_name="odoo_databricks_lakehouse", entry_point=entry_point,
            parameters=list(parameters),
        ),
        libraries=[Library(whl=WHEEL)],
        depends_on=[TaskDependency(task_key=after)] if after else None,
    )  # fmt: skip


def _run_job(client, job_id):
    run_id = client.jobs.run_now(job_id).run_id
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        run = client.jobs.get_run(run_id)
        if run.state.result_state:
            assert run.state.result_state.value == "SUCCESS", run.state
            return
        time.sleep(0.2)
    pytest.fail("the job did not end")


def _rows(running, table):
    """The rows of a table without what differs from run to run, in a stable order."""
    folder = running.data / "tables" / "main" / table.replace(".", "/")
    columns = [c for c in contract_for(table).column_names if c not in VOLATILE]
    rows = DeltaTable(str(folder)).to_pyarrow_table(columns=columns).to_pylist()
    return sorted(rows, key=repr)


@pytest.fixture(scope="module")
def both(place, tmp_path_factory):
    """The tables after two deliveries: as the jobs made them, then as the pipeline did."""
    client = place.sdk()
    folder = tmp_path_factory.mktemp("exports")
    job = client.jobs.create(
        name="finance_medallion",
        tasks=[_task("ingest_bronze"), _task("build_silver", after="ingest_bronze"),
               _task("build_gold", after="build_silver")],
    ).job_id  # fmt: skip
    for name, options in (("first", FIRST), ("later", LATER)):
        _deliver(place, folder, options, name)
        _run_job(client, job)
    by_jobs = {table: _rows(place, table) for table in TABLES}
    kept = client.statement_execution.execute_statement(
        "SELECT expectation, sum(passed), sum(failed) FROM main.silver.quality_metrics GROUP BY 1",
        "local",
    ).result.data_array

    volumes = place.data / "volumes/main/landing/finance_exports"
    (volumes / "later").rename(place.data / "later")
    for table in (*TABLES, "bronze.load_files"):
        client.statement_execution.execute_statement(f"DROP TABLE main.{table}", "local")
    stage = client.jobs.create(
        name="stage", tasks=[_task("ingest_bronze", "--stage-only", "landing.finance_staged")]
    ).job_id
    pipeline = client.pipelines.create(
        name="finance_medallion",
        catalog="main",
        schema="silver",
        libraries=[PipelineLibrary(file=FileLibrary(path=DEFINITIONS))],
        environment=PipelinesEnvironment(dependencies=[WHEEL]),
    ).pipeline_id
    updates = []
    for name in ("first", "later"):
        if name == "later":
            (place.data / "later").rename(volumes / "later")
        _run_job(client, stage)
        updates.append(run_update(client, pipeline, seconds=120))
        assert state_of(client, pipeline, updates[-1]) == "COMPLETED", events(
            client, pipeline, updates[-1]
        )
    by_pipeline = {table: _rows(place, table) for table in TABLES}
    return {"jobs": by_jobs, "pipeline": by_pipeline, "client": client, "id": pipeline,
            "updates": updates, "metrics": kept}  # fmt: skip


@pytest.mark.parametrize("table", TABLES)
def test_the_pipeline_makes_the_tables_that_the_jobs_make(both, table):
    assert len(both["jobs"][table]) > (10 if table != "gold.ewt_summary" else 3)
    assert both["pipeline"][table] == both["jobs"][table]


def test_the_second_update_read_only_what_came_later(both):
    client, pipeline = both["client"], both["id"]
    first, second = (finished(client, pipeline, update) for update in both["updates"])
    name = "main.bronze.finance_lines"
    rows = [one[name]["metrics"]["num_output_rows"] for one in (first, second)]
    assert sum(rows) == len(both["pipeline"]["bronze.finance_lines"]) and all(rows)


def test_expectations_of_the_contracts_are_counted(both):
    """The same counts as the jobs keep in silver.quality_metrics."""
    update = finished(both["client"], both["id"], both["updates"][1])
    counted = {
        one["name"]: (one["passed_records"], one["failed_records"])
        for flow in update.values()
        for one in flow.get("data_quality", {}).get("expectations", ())
        if one["dataset"] == "judged_finance_lines"
    }
    names = [expectation.name for expectation in contract_for("silver.finance_lines").expectations]
    assert sorted(counted) == sorted(names)
    assert any(failed for _, failed in counted.values())
    total = len(both["pipeline"]["bronze.finance_lines"])
    assert {sum(pair) for pair in counted.values()} == {total}
    for name, passed, failed in both["metrics"]:
        # The jobs judge a record that misses a gate by the gate alone.
        assert int(passed) + int(failed) == total
        assert int(failed) <= counted[name][1]
