"""Jobs against a running embedded workspace: real child processes, seen through the SDK."""

import textwrap
import time

import pytest
from lib import errors, jobs

SECONDS = 60


@pytest.fixture(scope="module")
def client(workspace):
    return workspace.connect()


@pytest.fixture
def make_job(client, tmp_path, request):
    """Creates a job of Python files: task key -> (source, keys it depends on)."""
    from databricks.sdk.service import jobs as api

    made = []

    def make(name, **tasks):
        specs = []
        for key, (source, after) in tasks.items():
            path = tmp_path / f"{key}.py"
            path.write_text(textwrap.dedent(source))
            specs.append(
                api.Task(
                    task_key=key,
                    depends_on=[api.TaskDependency(task_key=other) for other in after],
                    spark_python_task=api.SparkPythonTask(
                        python_file=str(path),
                        parameters=["{{job.parameters.month}}"],
                    ),
                )
            )
        parameters = [api.JobParameterDefinition(name="month", default="2025-07")]
        job_id = client.jobs.create(name=name, tasks=specs, parameters=parameters).job_id
        made.append(job_id)
        return job_id

    yield make
    for job_id in made:
        client.jobs.delete(job_id)


def wait_for_end(client, run_id):
    deadline = time.monotonic() + SECONDS
    while True:
        run = jobs.get_run(client, run_id)
        if run.is_terminal:
            return run
        assert time.monotonic() < deadline, run
        time.sleep(0.2)


def test_run_to_success_with_parameters(client, make_job):
    job_id = make_job("sums", add=("import sys; assert sys.argv[1] == '2025-08', sys.argv", []))
    assert jobs.find_job(client, "sums") == job_id
    run_id = jobs.run_now(client, job_id, jobs.idempotency_token("a", job_id), {"month": "2025-08"})
    run = wait_for_end(client, run_id)
    assert run.is_success, run
    assert (run.run_id, run.job_id, run.result) == (run_id, job_id, "SUCCESS")
    assert run.page_url.startswith("http") and run.started <= run.ended
    assert [(task.key, task.result) for task in run.tasks] == [("add", "SUCCESS")]
    assert jobs.failures(client, run) == []


def test_a_token_seen_before_starts_nothing(client, make_job):
    job_id = make_job("once", only=("print(1)", []))
    token = jobs.idempotency_token("database", "cron", job_id, "2025-08", 1)
    first = jobs.run_now(client, job_id, token)
    assert jobs.run_now(client, job_id, token) == first
    assert wait_for_end(client, first).is_success
    assert jobs.run_now(client, job_id, token) == first
    assert len(list(client.jobs.list_runs(job_id=job_id))) == 1
    other = jobs.run_now(client, job_id, jobs.idempotency_token("another"))
    assert other != first and wait_for_end(client, other).is_success


def test_failed_code_is_explained_by_its_own_task(client, make_job):
    job_id = make_job(
        "broken",
        bronze=("print('read 3 files')", []),
        silver=("raise ValueError('31/02/2025 is no date')", ["bronze"]),
        gold=("print('never')", ["silver"]),
    )
    run = wait_for_end(client, jobs.run_now(client, job_id, jobs.idempotency_token(job_id)))
    assert run.is_terminal and not run.is_success and run.result == "FAILED"
    results = {task.key: task.result for task in run.tasks}
    assert results == {"bronze": "SUCCESS", "silver": "FAILED", "gold": "UPSTREAM_FAILED"}
    (failure,) = jobs.failures(client, run)
    assert failure.task_key == "silver"
    assert "31/02/2025 is no date" in failure.error + failure.trace
    assert "silver.py" in failure.trace


def test_repair_runs_what_failed_again(client, make_job, tmp_path):
    job_id = make_job(
        "mended", bronze=("print('ok')", []), silver=("raise ValueError('bad')", ["bronze"])
    )
    first = wait_for_end(client, jobs.run_now(client, job_id, jobs.idempotency_token(job_id)))
    assert first.repairs == () and not first.is_success
    assert jobs.repair(client, first, 0)
    second = wait_for_end(client, first.run_id)
    assert len(second.repairs) == 1 and not second.is_success
    # whoever knows of no repair has lost an answer: nothing is sent
    assert not jobs.repair(client, second, 0)
    (tmp_path / "silver.py").write_text("print('mended')")
    assert jobs.repair(client, second, 1)
    third = wait_for_end(client, first.run_id)
    assert third.is_success and len(third.repairs) == 2
    assert not jobs.repair(client, third, 2)
    silver = next(task for task in third.tasks if task.key == "silver")
    (output,) = jobs.outputs(client, [silver])
    assert (output.error, output.logs.strip()) == ("", "mended")


def test_logs_are_cut_to_their_end_and_redacted(client, make_job):
    job_id = make_job("loud", only=("print('x' * 20000); print('token=abcdefgh1234')", []))
    run = wait_for_end(client, jobs.run_now(client, job_id, jobs.idempotency_token(job_id)))
    (output,) = jobs.outputs(client, run.tasks)
    assert len(output.logs) == jobs.LOG_TAIL and output.logs.startswith("…")
    assert output.logs.rstrip().endswith("token=***")


def test_jobs_are_listed_with_their_parameters(client, make_job):
    job_id = make_job("listed", only=("print(1)", []))
    assert jobs.Job(job_id, "listed") in jobs.list_jobs(client, 100)
    assert len(jobs.list_jobs(client, 1)) == 1
    assert jobs.default_parameters(client, job_id) == {"month": "2025-07"}


def test_cancel(client, make_job):
    job_id = make_job("long", sleep=("import time; time.sleep(120)", []))
    run_id = jobs.run_now(client, job_id, jobs.idempotency_token(job_id))
    deadline = time.monotonic() + SECONDS
    while jobs.get_run(client, run_id).life_cycle != "RUNNING":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    jobs.cancel(client, run_id)
    run = wait_for_end(client, run_id)
    assert run.result == "CANCELED" and not run.is_success
    jobs.cancel(client, run_id)  # a run that ended stays as it is
    assert jobs.get_run(client, run_id).result == "CANCELED"


def test_what_does_not_exist(client):
    with pytest.raises(errors.NotFound, match="no job named 'nope'"):
        jobs.find_job(client, "nope")
    with pytest.raises(errors.WorkspaceError) as caught:
        jobs.get_run(client, 999999)
    assert caught.value.kind in ("not_found", "invalid_request")
    with pytest.raises(errors.WorkspaceError) as caught:
        jobs.run_now(client, 999999, "t")
    assert caught.value.kind in ("not_found", "invalid_request")
