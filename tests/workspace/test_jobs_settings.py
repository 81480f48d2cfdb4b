"""Settings of jobs: echoed without drift, merged by update, paged, refused by name, never a 500."""

from __future__ import annotations

import json
from datetime import timedelta

import httpx
import pytest
from databricks.sdk.errors import BadRequest
from databricks.sdk.errors.platform import NotImplemented, ResourceDoesNotExist
from databricks.sdk.service.jobs import (
    JobCluster,
    JobParameterDefinition,
    JobSettings,
    PythonWheelTask,
    QueueSettings,
    RunJobTask,
    SubmitTask,
    Task,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from job_runs import BAD, GOOD, SLEEP, finish, python_task, results, state, wait_running

ECHO = "import sys\nprint(*sys.argv[1:], sep='|')\n"


@pytest.fixture(scope="module")
def client(workspace):
    return workspace.sdk()


def create(client, body: dict) -> int:
    return client.api_client.do("POST", "/api/2.2/jobs/create", body=body)["job_id"]


def get(client, job_id: int) -> dict:
    return client.api_client.do("GET", "/api/2.2/jobs/get", query={"job_id": job_id})


TASK = {"task_key": "t", "spark_python_task": {"python_file": "/Workspace/x.py"}}


def test_settings_come_back_as_they_were_sent_with_the_services_defaults(client):
    sent = {
        "name": "bundle",
        "deployment": {"kind": "BUNDLE", "metadata_file_path": "/x/metadata.json"},
        "edit_mode": "UI_LOCKED",
        "format": "MULTI_TASK",
        "queue": {"enabled": True},
        "run_as": {"user_name": "somebody@example.com"},
        "tags": {"team": "tax"},
        "job_clusters": [{"job_cluster_key": "c", "new_cluster": {"num_workers": 1}}],
        "schedule": {"quartz_cron_expression": "0 0 6 * * ?", "timezone_id": "Asia/Manila"},
        "parameters": [{"name": "day", "default": "1"}],
        "tasks": [
            TASK,
            {
                "task_key": "u",
                "job_cluster_key": "c",
                "depends_on": [{"task_key": "w"}, {"task_key": "t"}],
                "sql_task": {"warehouse_id": "local", "file": {"path": "/Workspace/x.sql"}},
                "max_retries": 2,
            },
            {"task_key": "w", "pipeline_task": {"pipeline_id": "p", "full_refresh": False}},
        ],
    }
    job_id = create(client, sent)
    view = get(client, job_id)
    shown = view["settings"]
    assert view["run_as_user_name"] == "somebody@example.com"
    assert view["creator_user_name"] == "local@workspace.invalid"
    assert shown["email_notifications"] == {} and shown["webhook_notifications"] == {}
    assert (shown["timeout_seconds"], shown["max_concurrent_runs"]) == (0, 1)
    assert shown["schedule"]["pause_status"] == "UNPAUSED"
    for name in ("deployment", "edit_mode", "format", "queue", "run_as", "tags", "job_clusters",
                 "parameters", "name"):  # fmt: skip
        assert shown[name] == sent[name], name
    first, second, third = shown["tasks"]
    for task in shown["tasks"]:
        assert (task["run_if"], task["timeout_seconds"]) == ("ALL_SUCCESS", 0)
        assert task["email_notifications"] == {} and task["webhook_notifications"] == {}
    assert first["spark_python_task"]["source"] == "WORKSPACE"
    assert second["sql_task"]["file"]["source"] == "WORKSPACE"
    assert second["depends_on"] == [{"task_key": "t"}, {"task_key": "w"}]
    assert second["max_retries"] == 2
    assert third["pipeline_task"] == {"pipeline_id": "p", "full_refresh": False}
    # What is read can be written again without a change: nothing drifts.
    for how in ("reset", "update"):
        body = {"job_id": job_id, "new_settings": shown}
        client.api_client.do("POST", f"/api/2.2/jobs/{how}", body=body)
        assert get(client, job_id)["settings"] == shown
    # A reset without run_as keeps it; everything else goes.
    client.api_client.do(
        "POST", "/api/2.2/jobs/reset", body={"job_id": job_id, "new_settings": {"tasks": [TASK]}}
    )
    left = get(client, job_id)["settings"]
    assert left["run_as"] == sent["run_as"]
    assert not {"name", "tags", "schedule", "deployment"} & left.keys()


def test_update_merges_lists_by_key_and_removes(client):
    job = client.jobs.create(
        name="merge",
        tags={"a": "1"},
        tasks=[python_task(client, "a", GOOD), python_task(client, "b", GOOD, "a")],
        job_clusters=[JobCluster(job_cluster_key="c"), JobCluster(job_cluster_key="d")],
        parameters=[JobParameterDefinition(name="p", default="1")],
    )
    client.jobs.update(
        job.job_id,
        new_settings=JobSettings(
            tags={"b": "2"},
            tasks=[python_task(client, "b", BAD), python_task(client, "c", GOOD)],
            parameters=[JobParameterDefinition(name="q", default="2")],
        ),
        fields_to_remove=["job_clusters/c", "name"],
    )
    got = client.jobs.get(job.job_id).settings
    assert [task.task_key for task in got.tasks] == ["a", "b", "c"]
    assert got.tasks[1].depends_on is None or got.tasks[1].depends_on == []
    assert got.tags == {"b": "2"} and got.name is None
    assert [cluster.job_cluster_key for cluster in got.job_clusters] == ["d"]
    assert [parameter.name for parameter in got.parameters] == ["p", "q"]
    client.jobs.update(job.job_id, fields_to_remove=["tasks/c", "tags"])
    got = client.jobs.get(job.job_id).settings
    assert [task.task_key for task in got.tasks] == ["a", "b"] and not got.tags
    for wrong in (["tasks"], ["tasks/a", "tasks/b"], ["tags/a"]):
        with pytest.raises(BadRequest):
            client.jobs.update(job.job_id, fields_to_remove=wrong)
    with pytest.raises(BadRequest, match="unknown task"):
        client.jobs.update(
            job.job_id, new_settings=JobSettings(tasks=[python_task(client, "z", GOOD, "gone")])
        )
    assert [task.task_key for task in client.jobs.get(job.job_id).settings.tasks] == ["a", "b"]


def test_long_lists_come_in_pages_of_100(client):
    tasks = [TASK | {"task_key": f"t{number:03d}"} for number in range(250)]
    parameters = [{"name": f"p{number:03d}", "default": "x"} for number in range(130)]
    body = {"name": "long list", "tasks": tasks, "parameters": parameters}
    job_id = create(client, body)
    sizes, token = [], None
    while True:
        query = {"job_id": job_id} | ({"page_token": token} if token else {})
        page = client.api_client.do("GET", "/api/2.2/jobs/get", query=query)
        settings_ = page["settings"]
        sizes.append((len(settings_["tasks"]), len(settings_["parameters"])))
        assert page.get("has_more", False) == ("next_page_token" in page)
        token = page.get("next_page_token")
        if token is None:
            break
    assert sizes == [(100, 100), (100, 30), (50, 0)]
    whole = client.jobs.get(job_id).settings
    assert [task.task_key for task in whole.tasks] == [task["task_key"] for task in tasks]
    listed = next(iter(client.jobs.list(name="LONG LIST", expand_tasks=True)))
    assert len(listed.settings.tasks) == 250
    raw = client.api_client.do(
        "GET", "/api/2.2/jobs/list", query={"name": "long list", "expand_tasks": "true"}
    )
    assert raw["jobs"][0]["has_more"] and len(raw["jobs"][0]["settings"]["tasks"]) == 100
    assert "tasks" not in client.api_client.do(
        "GET", "/api/2.2/jobs/list", query={"name": "long list"}
    )["jobs"][0]["settings"]  # fmt: skip
    client.jobs.delete(job_id)


def test_pages_of_jobs_and_of_runs(client):
    job = client.jobs.create(
        name="pages", tasks=[python_task(client, "t", GOOD)], max_concurrent_runs=100
    )
    made = [client.jobs.run_now(job.job_id).run_id for _ in range(7)]
    for run_id in made:
        finish(client, run_id)

    def listed(**asked):
        return [run.run_id for run in client.jobs.list_runs(job_id=job.job_id, **asked)]

    assert listed(limit=3) == made[::-1]
    assert listed(limit=3, offset=5) == made[1::-1]
    assert listed(completed_only=True) == made[::-1] and listed(active_only=True) == []
    times = {run.run_id: run.start_time for run in client.jobs.list_runs(job_id=job.job_id)}
    middle = times[made[3]]
    assert listed(start_time_from=middle) == [r for r in made[::-1] if times[r] >= middle]
    assert listed(start_time_to=middle) == [r for r in made[::-1] if times[r] <= middle]
    run = next(iter(client.jobs.list_runs(job_id=job.job_id, expand_tasks=True)))
    assert results(run) == {"t": "SUCCESS"}
    with pytest.raises(BadRequest, match="exclude"):
        listed(active_only=True, completed_only=True)
    for wrong in ({"limit": 101}, {"page_token": "x"}, {"page_token": "9" * 20}):
        with pytest.raises(BadRequest):
            client.api_client.do("GET", "/api/2.2/jobs/runs/list", query=wrong)


def test_a_one_time_run(client):
    task = python_task(client, "t", ECHO, parameters=["{{job.name}}", "{{task.name}}"])
    one = SubmitTask(task_key="t", spark_python_task=task.spark_python_task)
    waiting = client.jobs.submit(run_name="once", tasks=[one], idempotency_token="submit-1")
    again = client.jobs.submit(run_name="once", tasks=[one], idempotency_token="submit-1")
    assert waiting.run_id == again.run_id
    run = waiting.result(timeout=timedelta(seconds=60))
    assert (run.run_name, run.run_type.value, state(run)) == (
        "once", "SUBMIT_RUN", ("TERMINATED", "SUCCESS"),
    )  # fmt: skip
    assert client.jobs.get_run_output(run.tasks[0].run_id).logs == "once|t\n"
    with pytest.raises(ResourceDoesNotExist):
        client.jobs.get(run.job_id)
    assert [r.run_id for r in client.jobs.list_runs(job_id=run.job_id)] == [run.run_id]
    assert run.run_id not in [
        r.run_id for r in client.jobs.list_runs(run_type=None, active_only=True)
    ]
    job = client.jobs.create(name="j", tasks=[python_task(client, "t", GOOD)])
    with pytest.raises(BadRequest, match="another job"):
        client.jobs.run_now(job.job_id, idempotency_token="submit-1")


def test_deleting_a_run(client):
    job = client.jobs.create(name="gone", tasks=[python_task(client, "t", SLEEP)])
    run_id = client.jobs.run_now(job.job_id, idempotency_token="gone-1").run_id
    task_run = wait_running(client, run_id)
    with pytest.raises(BadRequest, match="active"):
        client.jobs.delete_run(run_id)
    client.jobs.cancel_run(run_id)
    finish(client, run_id)
    client.jobs.delete_run(run_id)
    with pytest.raises(ResourceDoesNotExist):
        client.jobs.get_run(run_id)
    with pytest.raises(ResourceDoesNotExist):
        client.jobs.get_run_output(task_run.run_id)
    with pytest.raises(BadRequest, match="deleted"):
        client.jobs.run_now(job.job_id, idempotency_token="gone-1")


def test_cancel_all(client):
    job = client.jobs.create(
        name="all", tasks=[python_task(client, "t", SLEEP)], queue=QueueSettings(enabled=True)
    )
    made = [client.jobs.run_now(job.job_id).run_id for _ in range(3)]
    wait_running(client, made[0])
    client.jobs.cancel_all_runs(job_id=job.job_id, all_queued_runs=True)
    assert [state(client.jobs.get_run(run_id)) for run_id in made[1:]] == [
        ("TERMINATED", "CANCELED")
    ] * 2
    assert client.jobs.get_run(made[0]).state.life_cycle_state.value == "RUNNING"
    client.jobs.cancel_all_runs(job_id=job.job_id)
    assert state(finish(client, made[0])) == ("TERMINATED", "CANCELED")
    with pytest.raises(BadRequest):
        client.jobs.cancel_all_runs()


def test_references_and_overrides(client):
    job = client.jobs.create(
        name="refs",
        parameters=[
            JobParameterDefinition(name="day", default="{{job.start_time.iso_date}}"),
            JobParameterDefinition(name="a.b", default="dotted"),
        ],
        tasks=[
            python_task(client, "first", GOOD),
            python_task(
                client,
                "t",
                ECHO,
                "first",
                parameters=[
                    "{{job.parameters.day}}", "{{ job.parameters.`a.b` }}", "{{job.id}}",
                    "{{job.run_id}}-{{task.run_id}}", "{{task.name}}{{task.execution_count}}",
                    "{{tasks.first.result_state}}", "{{job.trigger.type}}", "{{braces}}",
                    "{{job.start_time.is_weekday}}",
                ],
            ),
        ],
    )  # fmt: skip
    run = finish(client, client.jobs.run_now(job.job_id, job_parameters={"a.b": "given"}).run_id)
    task = next(task for task in run.tasks if task.task_key == "t")
    shown = client.jobs.get_run_output(task.run_id).logs.strip().split("|")
    assert shown[1:3] == ["given", str(job.job_id)]
    assert shown[3:8] == [
        f"{run.run_id}-{task.run_id}", "t1", "success", "one_time", "{{braces}}",
    ]  # fmt: skip
    assert shown[8] in ("true", "false") and len(shown[0]) == len("2026-01-01")
    assert {p.name: p.value for p in run.job_parameters}["a.b"] == "given"
    run = finish(client, client.jobs.run_now(job.job_id, python_params=["x", "y"]).run_id)
    task = next(task for task in run.tasks if task.task_key == "t")
    assert client.jobs.get_run_output(task.run_id).logs == "x|y\n"
    assert run.overriding_parameters.python_params == ["x", "y"]


@pytest.mark.parametrize(
    ("reference", "status"),
    [
        ("{{job.parameters.none}}", 400), ("{{job.nonsense}}", 400), ("{{tasks.none.run_id}}", 400),
        ("{{task.nonsense}}", 400), ("{{workspace.nonsense}}", 400),
        ("{{tasks.t.values.x}}", 501), ("{{run_id}}", 501), ("{{job.trigger.time.iso_date}}", 501),
        ("{{input}}", 501), ("{{tasks.t.error_code}}", 501),
    ],
)  # fmt: skip
def test_references_that_lead_nowhere_are_refused(client, reference, status):
    task = {"task_key": "t", "spark_python_task": {"python_file": "x", "parameters": [reference]}}
    with pytest.raises((BadRequest, NotImplemented)) as refused:
        create(client, {"tasks": [task]})
    assert isinstance(refused.value, NotImplemented) == (status == 501)
    assert reference.strip("{}").split(".")[-1] in str(refused.value)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"tasks": [{"task_key": "t", "sql_task": {"warehouse_id": "w", "query": {}}}]},
         "sql_task.query"),
        ({"tasks": [{"task_key": "t", "sql_task": {"warehouse_id": "w", "alert": {}}}]},
         "sql_task.alert"),
        ({"tasks": [TASK | {"disabled": True}]}, "disabled"),
        ({"tasks": [TASK | {"libraries": [{"pypi": {"package": "x"}}]}]}, "library"),
        ({"git_source": {"git_url": "x"}, "tasks": [TASK]}, "git_source"),
        ({"tasks": [TASK, TASK | {"task_key": "u", "depends_on":
                                  [{"task_key": "t", "outcome": "true"}]}]}, "outcome"),
        ({"tasks": [{"task_key": "t", "spark_python_task": {"python_file": "x", "source": "GIT"}}]},
         "GIT"),
    ],
)  # fmt: skip
def test_what_is_not_computed_is_refused_by_name(client, change, name):
    with pytest.raises(NotImplemented, match=name):
        create(client, change)


def test_parameters_that_nothing_reads_are_refused(client):
    job = client.jobs.create(name="p", tasks=[python_task(client, "t", GOOD)])
    with pytest.raises(BadRequest, match="'x'"):
        client.jobs.run_now(job.job_id, job_parameters={"x": "1"})
    for name in ("notebook_params", "jar_params", "spark_submit_params", "dbt_commands"):
        value = {"a": "b"} if name == "notebook_params" else ["a"]
        with pytest.raises(NotImplemented, match=name):
            client.jobs.run_now(job.job_id, **{name: value})


def test_a_job_cannot_start_itself(client):
    leaf = client.jobs.create(name="leaf", tasks=[python_task(client, "t", GOOD)])
    calls = Task(task_key="call", run_job_task=RunJobTask(job_id=leaf.job_id))
    caller = client.jobs.create(name="caller", tasks=[calls])
    for called in (leaf.job_id, caller.job_id):
        back = Task(task_key="back", run_job_task=RunJobTask(job_id=called))
        with pytest.raises(BadRequest, match="start itself"):
            client.jobs.reset(leaf.job_id, JobSettings(name="leaf", tasks=[back]))


def test_wheel_parameters_get_the_jobs_parameters(client):
    """Only a wheel with named parameters gets them; checked in the settings of the task run."""
    from local_workspace.runs.kinds.python import arguments

    assert arguments({"parameters": ["a"], "named_parameters": {"b": "c"}}) == ["a", "--b=c"]
    wheel = PythonWheelTask(package_name="x", entry_point="y", named_parameters={"a": "1"})
    job = client.jobs.create(
        name="wheel",
        parameters=[JobParameterDefinition(name="day", default="2")],
        tasks=[Task(task_key="t", python_wheel_task=wheel)],
    )
    run = finish(client, client.jobs.run_now(job.job_id).run_id)
    assert "entry point 'y'" in client.jobs.get_run_output(run.tasks[0].run_id).error


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
FIELDS = ("name", "tasks", "schedule", "parameters", "max_concurrent_runs", "timeout_seconds",
          "environments", "job_clusters", "queue", "run_as", "tags", "trigger")  # fmt: skip
TASK_FIELDS = ("task_key", "depends_on", "run_if", "max_retries", "libraries", "environment_key",
               "spark_python_task", "python_wheel_task", "sql_task", "run_job_task",
               "pipeline_task", "timeout_seconds", "min_retry_interval_millis")  # fmt: skip


@settings(max_examples=80, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(
    st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=4),
    st.dictionaries(st.sampled_from(TASK_FIELDS), json_values, max_size=4),
)
def test_no_settings_break_the_workspace(workspace, job, task):
    body = {"tasks": [TASK | task]} | job
    headers = {"Authorization": f"Bearer {workspace.token}", "content-type": "application/json"}
    for path, content in (
        ("jobs/create", body),
        ("jobs/runs/submit", body | {"idempotency_token": "fuzz"}),
        ("jobs/update", {"job_id": 1, "new_settings": body}),
        ("jobs/run-now", {"job_id": 1} | job | task),
        ("jobs/runs/repair", {"run_id": 1} | job | task),
    ):
        answer = httpx.post(
            f"{workspace.host}/api/2.2/{path}", content=json.dumps(content), headers=headers
        )
        assert answer.status_code in (200, 400, 501), (path, content, answer.text)
        if path == "jobs/create" and answer.status_code == 200:
            job_id = answer.json()["job_id"]
            got = httpx.get(
                f"{workspace.host}/api/2.2/jobs/get", params={"job_id": job_id}, headers=headers
            )
            assert got.status_code == 200
            httpx.post(
                f"{workspace.host}/api/2.2/jobs/delete", json={"job_id": job_id}, headers=headers
            )


@pytest.mark.parametrize(
    "number", ["-1", "0", str(2**63 - 1), str(2**63), str(10**30), str(-(10**30)), "x"]
)
def test_any_number_as_an_id(workspace, number):
    headers = {"Authorization": f"Bearer {workspace.token}"}
    for path in ("jobs/get?job_id=", "jobs/runs/get?run_id=", "jobs/runs/get-output?run_id=",
                 "jobs/runs/export?run_id=", "jobs/runs/list?job_id=",
                 "jobs/runs/list?start_time_from=", "jobs/list?page_token="):  # fmt: skip
        answer = httpx.get(f"{workspace.host}/api/2.2/{path}{number}", headers=headers)
        assert answer.status_code in (200, 400), (path, answer.text)
